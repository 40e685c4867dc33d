"""Environments that live in another process: tasks are their rows, episodes their sessions.

Rewards are outcome rewards here too: 1 at full reward, else 0. What their own functions said is
logged as parts: ``reward`` (as they sum it up) and each function by its name.
"""

from __future__ import annotations

import json
import math
import re
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import Field

from minirl.envs.adapters.pipe import Pipe
from minirl.envs.base import EnvConfig, Environment, Step, Turns, split_of
from minirl.envs.recited import recite
from minirl.errors import ConfigError, EnvironmentFault, UnknownGold
from minirl.types import Message, Score, Split, Task

_CALL = re.compile(r"<tool_call>.*?</tool_call>", re.DOTALL)
_CLOSE_TO = 1e-9


class ForeignConfig(EnvConfig):
    python: str | None = None
    """The Python interpreter that has the library and the environment; minirl's own without it."""
    solved_at: float | None = None
    """The reward from which an answer counts as solved; full reward where it is known."""
    max_turns: int = Field(16, ge=1, le=1000)
    """How often the policy may speak in one episode, where the environment names no limit."""
    timeout_s: float = Field(120.0, gt=0)
    """How long the environment may take for one answer, in seconds."""


ForeignT = TypeVar("ForeignT", bound=ForeignConfig)


class ForeignEnvironment(Environment[ForeignT]):
    """Tasks that are rows of another process, played there."""

    def __init__(self, config: ForeignT, label: str, kind: str, options: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.label = label
        self.pipe = Pipe(label, kind, options, python=config.python, timeout_s=config.timeout_s)
        facts = self.pipe.facts
        limit = facts.get("max_turns") or -1
        self.max_turns = limit if limit > 0 else config.max_turns
        full = facts.get("full") if config.solved_at is None else config.solved_at
        if full is None:
            raise ConfigError(
                f"{label} does not say what full reward is",
                fix="set the option solved_at to the reward of a right answer",
            )
        self.solved_at = float(full)
        self._rows, doubled = split_rows(facts["keys"])
        notices = [*facts.get("notices", ()), *([doubled] if doubled else [])]
        self.notice = f"{label}: {'; '.join(notices)}" if notices else None

    def row(self, split: Split, index: int) -> tuple[str, int, str]:
        """Where task ``index`` stands: part, row, and the key of its content."""
        rows = self._rows[split]
        if index < 0:
            raise ConfigError(f"{self.label}: task indices start at 0", got=str(index))
        if not rows or (split == "test" and index >= len(rows)):
            raise ConfigError(
                f"{self.label}: there is no {split} task {index}; it has {len(rows)}",
                fix="evaluate on fewer tasks, or let more of them be read",
            )
        return rows[index % len(rows)]

    def size(self, split: Split) -> int:
        return len(self._rows[split])

    def task(self, split: Split, index: int) -> Task:
        part, row, key = self.row(split, index)
        opened = self.pipe.ask("open", part=part, row=row)
        self.pipe.ask("close", session=opened["session"])
        data = {
            "key": key,
            "part": part,
            "row": row,
            "answer": opened.get("answer"),
            "tools": opened["tools"],
        }
        return Task(self.label, split, index, messages_of(opened["messages"]), data)

    def episode(self, task: Task) -> ForeignEpisode:
        return ForeignEpisode(self.pipe, task, self.solved_at)

    def gold(self, task: Task) -> Turns:
        """The stored answer in the first of the usual forms that is paid in full."""
        answer = task.data["answer"]
        for written in usual_forms(answer) if answer else ():
            if recite(self, task, written).solved:
                return written
        raise UnknownGold(f"{task.id}: {self.label} stores no answer that it accepts in full")

    def decoys(self, task: Task) -> Sequence[Turns]:
        return ("", "I do not know.")


class ForeignEpisode:
    """A session of the other process, opened at the first step."""

    def __init__(self, pipe: Pipe, task: Task, solved_at: float) -> None:
        self.messages = task.prompt
        self.tools: tuple[dict[str, Any], ...] = tuple(task.data["tools"])
        self._pipe, self._task, self._solved_at = pipe, task, solved_at
        self._session: int | None = None
        self._forget: weakref.finalize[Any, Any] | None = None

    def step(self, message: Message) -> Step:
        session = self._open() if self._session is None else self._session
        calls = [[c.name, json.dumps(dict(c.arguments))] for c in message.tool_calls]
        said = _CALL.sub("", message.content).strip() if calls else message.content
        said = said.encode("utf-8", "replace").decode()  # JSON there may refuse lone surrogates
        answer = self._pipe.ask("step", session=session, content=said, calls=calls)
        if "done" not in answer:
            replies = messages_of(answer["messages"])
            return Step(replies or (Message("user", ""),))
        self._leave()
        return Step(score=self._score(**answer["done"]))

    def give_up(self, reason: str) -> Score:
        if self._forget:
            self._forget()
        return Score(0.0, False, reason=reason)

    def _open(self) -> int:
        opened = self._pipe.ask("open", part=self._task.data["part"], row=self._task.data["row"])
        session: int = opened["session"]
        self._session = session
        self._forget = weakref.finalize(self, self._pipe.forget, session)
        if messages_of(opened["messages"]) != self._task.prompt:
            raise EnvironmentFault(
                f"{self._task.id} opens differently each time: it is no function of its row"
            )
        return session

    def _leave(self) -> None:
        if self._forget:
            self._forget.detach()

    def _score(self, reward: Any, parts: Mapping[str, Any], reason: str) -> Score:
        raw = _finite(reward)
        named = {str(k): v for k, v in ((k, _finite(v)) for k, v in parts.items()) if v is not None}
        if raw is None:
            return Score(0.0, False, named, reason or f"the reward is {reward!r}")
        solved = raw >= self._solved_at - _CLOSE_TO
        told = reason or f"reward {raw:g} of {self._solved_at:g}"
        return Score(float(solved), solved, {**named, "reward": raw}, told)


def messages_of(wire: Sequence[Mapping[str, str]]) -> tuple[Message, ...]:
    """Messages as they came over the pipe."""
    return tuple(Message(m["role"], m["content"]) for m in wire)  # type: ignore[arg-type]


def usual_forms(answer: str) -> tuple[str, ...]:
    """How an answer is usually asked for."""
    return (
        answer,
        f"<answer>\n{answer}\n</answer>",
        f"\\boxed{{{answer}}}",
        f"#### {answer}",
        f"Answer: {answer}",
        f"<think>\nSo.\n</think>\n<answer>\n{answer}\n</answer>",
        f"<think>\nSo.\n</think>\n\\boxed{{{answer}}}",
    )


def split_rows(
    keys: Mapping[str, Sequence[str]],
) -> tuple[dict[Split, list[tuple[str, int, str]]], str | None]:
    """Rows by split, with what had to be left out.

    Their eval rows are the test split, and a row that stands in both is no train row. Without eval
    rows the content decides, as everywhere in minirl. A row that stands twice counts once.
    """
    train, test = keys.get("train", ()), keys.get("eval", ())
    seen: set[str] = set()
    out: dict[Split, list[tuple[str, int, str]]] = {"train": [], "test": []}
    for part, rows in (("eval", test), ("train", train)):
        for row, key in enumerate(rows):
            if key in seen:
                continue
            seen.add(key)
            both = bool(train) and bool(test)
            split: Split = split_of(key) if not both else "test" if part == "eval" else "train"
            out[split].append((part, row, key))
    dropped = len(train) + len(test) - len(seen)
    notice = f"{dropped} rows stand there more than once and count once" if dropped else None
    return out, notice


def _finite(value: Any) -> float | None:
    ok = isinstance(value, int | float) and math.isfinite(value) if _sane(value) else False
    return float(value) if ok else None


def _sane(value: Any) -> bool:
    return not isinstance(value, int) or abs(value) < 10**300
