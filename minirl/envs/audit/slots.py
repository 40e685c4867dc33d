"""Where the answer stands in a completion, so that an audit can put something else there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from minirl.envs.tool_calls import parse_tool_calls
from minirl.rewards.answer import LABEL, strict_answer

_TAG = re.compile(r"<answer>(.*?)</answer>\s*\Z", re.DOTALL)
_LONGEST_LINE = 300


@dataclass(frozen=True, slots=True)
class Slot:
    """The answer of a completion.

    Attributes:
        answer: as it stands there.
        fill: a completion that commits to another answer, and says nothing else.
        kind: ``label`` (``Answer: X``), ``tag`` (``<answer>X</answer>``), ``call`` (an argument of
            a tool call) or ``line`` (the whole completion is one line).
    """

    answer: str
    fill: Callable[[str], str]
    kind: str


def find_slot(text: str) -> Slot | None:
    """The answer's place in ``text``; None where it has none that is known (a program, say)."""
    labelled = strict_answer(text)
    if labelled is not None:
        return Slot(labelled, lambda answer: f"{LABEL} {answer}", "label")
    tagged = _TAG.search(text)
    if tagged:
        return Slot(tagged[1].strip(), lambda answer: f"<answer>{answer}</answer>", "tag")
    if "<tool_call>" in text:
        return _argument(text)
    line = text.strip()
    if line and "\n" not in line and len(line) <= _LONGEST_LINE:
        return Slot(line, lambda answer: answer, "line")
    return None


def _argument(text: str) -> Slot | None:
    """The last text or number among the arguments of the only tool call."""
    calls = parse_tool_calls(text)
    if len(calls) != 1:
        return None
    name, arguments = calls[0].name, dict(calls[0].arguments)
    plain = [k for k, v in arguments.items() if isinstance(v, str | int | float)]
    if not plain:
        return None
    key, was = plain[-1], arguments[plain[-1]]

    def fill(answer: str) -> str:
        body = {"name": name, "arguments": {**arguments, key: _like(was, answer)}}
        return f"<tool_call>{json.dumps(body, ensure_ascii=False)}</tool_call>"

    return Slot(was if isinstance(was, str) else json.dumps(was), fill, "call")


def _like(was: object, answer: str) -> str | int:
    """``answer`` as a JSON number where one stood there, else as a text."""
    if isinstance(was, str) or not re.fullmatch(r"-?[0-9]{1,30}", answer):
        return answer
    return int(answer)
