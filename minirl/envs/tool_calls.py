"""Tool calls in text, read and written: ``<tool_call>{"name": …, "arguments": …}</tool_call>``.

It is what the chat templates of Qwen, Hermes and SmolLM 3 teach their models to write.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from minirl.types import ToolCall

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
MAX_DEPTH = 32  # of nested arguments


def parse_tool_calls(text: str) -> tuple[ToolCall, ...]:
    """The well-formed calls of ``text``, in order; what is malformed is left out, never raised.

    Well-formed means that it can be written back as JSON in UTF-8: NaN, infinities, lone
    surrogates and nesting deeper than :data:`MAX_DEPTH` are malformed.
    """
    calls = []
    for body in _CALL.findall(text):
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict) or not _is_plain(value, MAX_DEPTH):
            continue
        name, arguments = value.get("name"), value.get("arguments", {})
        if isinstance(name, str) and isinstance(arguments, dict):
            calls.append(ToolCall(name, arguments))
    return tuple(calls)


def tool_call_text(name: str, **arguments: Any) -> str:
    """One call as :func:`parse_tool_calls` reads it; for gold turns, worked examples and tests."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False, allow_nan=False)
    return f"<tool_call>{body}</tool_call>"


def _is_plain(value: Any, depth: int) -> bool:
    """Whether what ``json.loads`` returned is also what strict JSON can say."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return depth > 0 and all(
            _is_plain(k, 0) and _is_plain(v, depth - 1) for k, v in value.items()
        )
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(v, depth - 1) for v in value)
    return True
