"""The words of the house as frozen dataclasses; standard library only.

Shapes: T is the number of tokens of one rollout's completion, G the size of a group.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the assistant wrote. ``arguments`` is model output: nothing in it can be
    trusted.
    """

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, in the fields that chat templates read."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The form that ``tokenizer.apply_chat_template`` takes."""
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            out["tool_calls"] = [
                {"type": "function", "function": {"name": c.name, "arguments": dict(c.arguments)}}
                for c in self.tool_calls
            ]
        return out


@dataclass(frozen=True, slots=True)
class Task:
    """One problem: a pure function of (environment config, split, index).

    Attributes:
        env: the environment's name with its level, e.g. ``arithmetic:2``.
        split: ``train`` or ``test``; no task stands in both.
        index: its number within the split.
        prompt: the opening messages.
        data: what the verifier needs; never shown to the model.
    """

    env: str
    split: Split
    index: int
    prompt: tuple[Message, ...]
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.env}/{self.split}/{self.index}"


@dataclass(frozen=True, slots=True)
class Score:
    """A verifier's judgement of one episode.

    Attributes:
        value: the reward, in [0, 1].
        solved: the verifier's yes or no; what evaluation counts.
        parts: named components (``format``, ``lenient``, …), always logged, never trained on.
        reason: why, in a few words, for a person who reads the rollout.
    """

    value: float
    solved: bool
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and 0.0 <= self.value <= 1.0):
            raise ValueError(f"Score.value must be a number in [0, 1], got {self.value!r}")
        for name, part in self.parts.items():
            if not math.isfinite(part):
                raise ValueError(f"Score.parts[{name!r}] must be finite, got {part!r}")


class StopReason(StrEnum):
    """Why a turn, or an episode, ended."""

    EOS = "eos"  # the model closed its turn
    LENGTH = "length"  # the token limit cut it off
    TURNS = "turns"  # the episode used up its turns


@dataclass(frozen=True, slots=True)
class Request:
    """Ask a policy for ``n`` continuations of one token sequence.

    ``task`` and ``turn`` tell scripted policies where they are; a model policy does not look at
    them.
    """

    prompt_ids: tuple[int, ...]
    n: int
    max_tokens: int
    task: Task
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One continuation: the sampled ids, EOS included where the model wrote it, and log π(id) of
    each.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    stop: StopReason


@dataclass(frozen=True, slots=True)
class Rollout:
    """The tokens of one episode.

    Attributes:
        prompt_ids: the opening, tokenized once; shared by the group.
        completion_ids: everything after it, T ids: what the policy wrote and, between its turns,
            what the environment answered.
        loss_mask: T booleans, true where the policy wrote the token.
        logprobs: T floats, log-probability under the sampling policy at its temperature; 0 where
            masked.
        messages: the conversation after the opening, decoded, for people and verifiers.
        stop: why the episode ended.
        score: the verifier's judgement.
    """

    task: Task
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    loss_mask: tuple[bool, ...]
    logprobs: tuple[float, ...]
    messages: tuple[Message, ...]
    stop: StopReason
    score: Score

    @property
    def text(self) -> str:
        """What the policy wrote last."""
        written = [m.content for m in self.messages if m.role == "assistant"]
        return written[-1] if written else ""

    @property
    def tokens_written(self) -> int:
        return sum(self.loss_mask)

    def as_record(self) -> dict[str, Any]:
        """A JSON-ready line for rollouts.jsonl and samples.jsonl."""
        return {
            "task": self.task.id,
            "prompt": [m.as_dict() for m in self.task.prompt],
            "messages": [m.as_dict() for m in self.messages],
            "value": self.score.value,
            "solved": self.score.solved,
            "parts": dict(self.score.parts),
            "reason": self.score.reason,
            "stop": self.stop.value,
            "tokens": self.tokens_written,
            "completion_ids": list(self.completion_ids),
            "loss_mask": [int(m) for m in self.loss_mask],
            "logprobs": [round(x, 5) for x in self.logprobs],
        }


@dataclass(frozen=True, slots=True)
class Group:
    """The G rollouts of one task."""

    task: Task
    rollouts: tuple[Rollout, ...]

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(r.score.value for r in self.rollouts)

    @property
    def solved(self) -> int:
        return sum(r.score.solved for r in self.rollouts)

    @property
    def has_signal(self) -> bool:
        """Whether the rewards differ: without a difference every advantage is zero."""
        return max(self.values) - min(self.values) > 1e-8


def json_line(record: Mapping[str, Any] | Sequence[Any]) -> str:
    """One strict JSON line: no NaN, no newline inside, keys in the given order."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
