"""Tool calls in text, read and written: ``<tool_call>{"name": …, "arguments": …}</tool_call>``.

It is what the chat templates of Qwen, Hermes and SmolLM 3 teach their models to write.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from minirl.types import ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MAX_DEPTH = 32  # of nested arguments


def parse_tool_calls(text: str) -> tuple[ToolCall, ...]:
    """The well-formed calls of ``text``, in order; what is malformed is left out, never raised.

    Well-formed means that it can be written back as JSON in UTF-8: NaN, infinities, lone
    surrogates and nesting deeper than :data:`MAX_DEPTH` are malformed.
    """
    return tuple(call for call in read_tool_calls(text) if call is not None)


def read_tool_calls(text: str) -> tuple[ToolCall | None, ...]:
    """Every attempt at a call in ``text``, in order: None for a malformed one or one not closed."""
    return tuple(None if body is None else _read(body) for body in _bodies(text))


def tool_call_text(name: str, **arguments: Any) -> str:
    """One call as :func:`parse_tool_calls` reads it; for gold turns, worked examples and tests."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False, allow_nan=False)
    return f"{OPEN}{body}{CLOSE}"


def _bodies(text: str) -> Iterator[str | None]:
    """What stands between the tags, in time linear in the text; None where a tag is not closed."""
    start = text.find(OPEN)
    while start >= 0:
        end = text.find(CLOSE, start)
        yield None if end < 0 else text[start + len(OPEN) : end]
        start = -1 if end < 0 else text.find(OPEN, end)


def _read(body: str) -> ToolCall | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not _is_plain(value, MAX_DEPTH):
        return None
    name, arguments = value.get("name"), value.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return ToolCall(name, arguments)


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
