"""minirl: reinforcement learning with verifiable rewards on one GPU, or none.

The public names load on first use: ``import minirl`` costs next to nothing and brings no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minirl.envs.base import EnvConfig, Environment
    from minirl.envs.registry import list_envs, make_env
    from minirl.types import Group, Message, Rollout, Score, Task

__version__ = "0.1.0"

__all__ = [
    "EnvConfig",
    "Environment",
    "Group",
    "Message",
    "Rollout",
    "Score",
    "Task",
    "__version__",
    "list_envs",
    "make_env",
]

_HOME = {
    "EnvConfig": "minirl.envs",
    "Environment": "minirl.envs",
    "Group": "minirl.types",
    "Message": "minirl.types",
    "Rollout": "minirl.types",
    "Score": "minirl.types",
    "Task": "minirl.types",
    "list_envs": "minirl.envs",
    "make_env": "minirl.envs",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
