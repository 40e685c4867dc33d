"""What goes over the wire: chat completions, as OpenAI-compatible servers read and write them.

Pure functions. What a server wrote is hostile: here it is checked, counted, and made into what the
engine takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minirl.types import Message

JsonObject = Mapping[str, Any]
BYTES_PER_TOKEN = 4  # where a server does not count
MOST_BYTES_PER_TOKEN = 8  # above it, a count is not that of the whole text
_SURROGATE = re.compile("[\ud800-\udfff]")


class Malformed(ValueError):
    """An answer that is no chat completion."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the server shall draw tokens; ``top_p`` 1 and ``top_k`` 0 are off, and are not sent."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation to be continued ``n`` times, whatever dialect the server speaks."""

    model: str
    messages: tuple[JsonObject, ...]
    tools: tuple[JsonObject, ...]
    n: int
    max_tokens: int
    sampling: Sampling
    seed: int

    def prompt_bound(self) -> int:
        """About the most tokens that the server will count for the conversation."""
        sent = len(json.dumps([self.messages, self.tools], ensure_ascii=False).encode())
        return sent // 3 + 8 * len(self.messages)


@dataclass(frozen=True, slots=True)
class Call:
    """A structured tool call; ``arguments`` is the text that the model wrote."""

    id: str
    name: str
    arguments: str

    @property
    def is_sound(self) -> bool:
        try:
            return isinstance(json.loads(self.arguments), dict)
        except (ValueError, RecursionError):
            return False


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of a chat completion.

    Attributes:
        content: what the model wrote, without structured calls and without reasoning.
        cut_off: whether it ended at the token limit.
        tokens: how many the server counted for it, reasoning included; at least 1.
        counted: whether the server counted; else ``tokens`` is an estimate from the text's length.
    """

    content: str
    calls: tuple[Call, ...]
    cut_off: bool
    tokens: int
    counted: bool

    @property
    def text(self) -> str:
        """The turn as the engine reads it: structured calls in the ``<tool_call>`` convention
        (:mod:`minirl.envs.tool_calls`).
        """
        return "\n".join([*([self.content] if self.content else []), *map(_spelled, self.calls)])

    def as_message(self) -> JsonObject:
        """The turn as the server gets it back: as it came, unless a call in it is unsound: servers
        refuse those, so then everything is text.
        """
        if not self.calls or not all(c.is_sound for c in self.calls):
            return {"role": "assistant", "content": self.text}
        calls = [_structured(c.id, c.name, c.arguments) for c in self.calls]
        return {"role": "assistant", "content": self.content, "tool_calls": calls}


def _spelled(call: Call) -> str:
    arguments: Any = call.arguments
    if call.is_sound:
        # A closing tag inside a string would end the call early.
        plain = json.dumps(json.loads(call.arguments), ensure_ascii=False)
        arguments = clean(plain.replace("</", "<\\/"))
    name = json.dumps(call.name, ensure_ascii=False).replace("</", "<\\/")
    return f'<tool_call>{{"name": {name}, "arguments": {arguments}}}</tool_call>'


def _structured(identity: str, name: str, arguments: str) -> JsonObject:
    function = {"name": name, "arguments": arguments}
    return {"id": identity, "type": "function", "function": function}


def clean(text: str) -> str:
    """``text`` as UTF-8 can carry it: lone surrogates, which JSON can spell, are replaced."""
    return _SURROGATE.sub("\ufffd", text)


def wire_messages(messages: Sequence[Message]) -> tuple[JsonObject, ...]:
    """An environment's messages, before tool results are told which call they answer."""
    out: list[JsonObject] = []
    for m in messages:
        message: dict[str, Any] = {"role": m.role, "content": clean(m.content)}
        if m.tool_calls and "<tool_call>" not in m.content:
            message["tool_calls"] = [
                _structured(f"given_{i}", c.name, json.dumps(dict(c.arguments)))
                for i, c in enumerate(m.tool_calls)
            ]
        out.append(message)
    return tuple(out)


def linked(messages: Sequence[JsonObject]) -> tuple[JsonObject, ...]:
    """The conversation with each tool result told which call it answers, in order."""
    out: list[JsonObject] = []
    waiting: list[str] = []
    for m in messages:
        if m["role"] == "assistant":
            waiting = [call["id"] for call in m.get("tool_calls", ())]
        elif m["role"] == "tool":
            m = {**m, "tool_call_id": waiting.pop(0) if waiting else f"call_{len(out)}"}
        out.append(m)
    return tuple(out)


# What a server answers ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer; ``prompt_tokens`` is None where the server does not say."""

    answers: tuple[Answer, ...]
    prompt_tokens: int | None


def read_completion(raw: str, question: Question) -> Completion:
    """Read the body of a chat completion: at most ``question.n`` choices.

    Raises:
        Malformed: it is none; the message says why.
    """
    try:
        data = json.loads(raw)
    except RecursionError:
        raise Malformed("JSON that is nested too deeply") from None
    except ValueError as error:
        raise Malformed(f"no JSON ({error})") from None
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices:
        raise Malformed("no choices in it")
    read = [_read_choice(c) for c in choices[: question.n]]
    given = data.get("usage")
    usage = given if isinstance(given, dict) else {}
    sizes = [size for *_, size in read]
    cut = [cut_off for _, _, cut_off, _ in read]
    total = _count(usage.get("completion_tokens"))
    if total is not None and not _is_of_all(total, sizes, cut, question.max_tokens):
        total = None
    if total is None:
        tokens = [
            question.max_tokens if c else min(question.max_tokens, -(-s // BYTES_PER_TOKEN))
            for s, c in zip(sizes, cut, strict=True)
        ]
    else:
        tokens = apportion(total, sizes, cut, question.max_tokens)
    answers = tuple(
        # What is claimed beyond the limit and beyond a token a byte is no count.
        Answer(content, calls, c, max(1, min(t, max(question.max_tokens, s))), total is not None)
        for (content, calls, c, s), t in zip(read, tokens, strict=True)
    )
    return Completion(answers, _count(usage.get("prompt_tokens")))


def _is_of_all(total: int, sizes: Sequence[int], cut: Sequence[bool], limit: int) -> bool:
    """Whether a count can be that of several choices; llama-server's is that of one of them."""
    if len(sizes) == 1:
        return True
    least = limit * sum(cut) + len(cut) - sum(cut)
    return total >= least and sum(sizes) <= MOST_BYTES_PER_TOKEN * total


def apportion(total: int, sizes: Sequence[int], cut: Sequence[bool], limit: int) -> list[int]:
    """Divide a server's count over its choices: what was cut off has ``limit`` tokens, the rest
    share what is left by their bytes. Sums to ``total``.
    """
    fixed = limit * sum(cut)
    if len(sizes) == 1 or fixed > total or all(cut):
        fixed, cut = 0, [False] * len(sizes)
    weights = [0 if c else s + 1 for s, c in zip(sizes, cut, strict=True)]
    left, whole = total - fixed, sum(weights)
    bounds = [left * sum(weights[: i + 1]) // whole for i in range(len(weights))]
    parts = [b - a for a, b in zip([0, *bounds], bounds, strict=False)]
    return [limit if c else part for c, part in zip(cut, parts, strict=True)]


def _read_choice(choice: Any) -> tuple[str, tuple[Call, ...], bool, int]:
    """Content, calls, whether it was cut off, and bytes of all that the model wrote."""
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise Malformed("a choice without a message")
    content = _text(message.get("content"))
    calls = tuple(_read_calls(message.get("tool_calls")))
    reasoning = _text(message.get("reasoning_content") or message.get("reasoning"))
    written = [content, reasoning, *(c.name + c.arguments for c in calls)]
    return content, calls, choice.get("finish_reason") == "length", sum(map(_bytes, written))


def _text(content: Any) -> str:
    """A message's content: text, nothing, or parts of which some are text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return clean(content)
    if isinstance(content, list):
        parts = [p.get("text") for p in content if isinstance(p, dict)]
        return clean("".join(p for p in parts if isinstance(p, str)))
    raise Malformed("a message whose content is no text")


def _read_calls(calls: Any) -> list[Call]:
    out = []
    for i, call in enumerate(calls if isinstance(calls, list) else []):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            continue  # as malformed calls in a text are left out
        arguments = function.get("arguments", "{}")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        given = call.get("id")
        identity = given if isinstance(given, str) and given else f"call_{i}"
        out.append(Call(clean(identity), clean(function["name"]), clean(arguments) or "{}"))
    return out


def _count(value: Any) -> int | None:
    """A count of tokens; None where it is missing or none."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    return value if whole else None


def _bytes(text: str) -> int:
    return len(text.encode())
