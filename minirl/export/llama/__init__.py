"""Real llama.cpp, served to this process by a child of its own.

The names load on first use: the child imports this package too, and needs none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minirl.export.llama.backends import find_backend
    from minirl.export.llama.client import LlamaServer
    from minirl.export.llama.policy import LlamaPolicy
    from minirl.export.llama.read import Completion, Next
    from minirl.export.llama.server import serve

__all__ = ["Completion", "LlamaPolicy", "LlamaServer", "Next", "find_backend", "serve"]

_HOME = {
    "Completion": "read",
    "LlamaPolicy": "policy",
    "LlamaServer": "client",
    "Next": "read",
    "find_backend": "backends",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
