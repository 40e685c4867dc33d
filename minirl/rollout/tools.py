"""Reading tool calls out of a turn: the ``<tool_call>{"name": …, "arguments": …}</tool_call>``
convention.

It is what the chat templates of Qwen, Hermes and SmolLM 3 teach their models to write.
"""

from __future__ import annotations

import json
import re

from minirl.types import ToolCall

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


def parse_tool_calls(text: str) -> tuple[ToolCall, ...]:
    """The well-formed calls of ``text``, in order; what is malformed is left out, never raised."""
    calls = []
    for body in _CALL.findall(text):
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict):
            continue
        name, arguments = value.get("name"), value.get("arguments", {})
        if isinstance(name, str) and isinstance(arguments, dict):
            calls.append(ToolCall(name, arguments))
    return tuple(calls)
