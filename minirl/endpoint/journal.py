"""Answers that came back, kept as they come, so that nothing is paid for twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minirl.endpoint.spend import Spent
from minirl.endpoint.wire import Answer, Call, Question
from minirl.errors import RunDirError
from minirl.rundir import append_jsonl, read_jsonl


@dataclass(frozen=True, slots=True)
class Slot:
    """Which completion is meant.

    Attributes:
        request: :func:`digest` of the question.
        turn: of the episode, from 0.
        sample: its number among the call's samples of this task and turn.
        seed: of the engine's call.
    """

    request: str
    task: str
    turn: int
    sample: int
    seed: int


def digest(question: Question) -> str:
    """A hash of what is asked: model, conversation, tools and sampling; not of the server's
    address, dialect or request sizes, which may change on the way.
    """
    asked = [
        question.model,
        question.messages,
        question.tools,
        question.max_tokens,
        asdict(question.sampling),
    ]
    text = json.dumps(asked, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Journal:
    """A JSONL file with a line a completion; without a path, it remembers nothing.

    Raises:
        RunDirError: the file is damaged before its last line.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.spent = Spent()
        self._answers: dict[Slot, Answer] = {}
        for number, record in enumerate(read_jsonl(path) if path else [], start=1):
            try:
                slot = Slot(**record["slot"])
                self._answers[slot] = _answer(record["answer"])
                self.spent += Spent(**record["spent"])
            except (KeyError, TypeError) as error:
                raise RunDirError(
                    f"{path}, line {number} is no answer of a server ({error!r:.80})",
                    fix="restore the file, or start anew with --force",
                ) from None

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, slot: Slot) -> Answer | None:
        return self._answers.get(slot)

    def keep(self, slots: Sequence[Slot], answers: Sequence[Answer], spent: Spent) -> None:
        """Keep the answers of one request, all or none; its price stands in the first line."""
        self.spent += spent
        self._answers.update(zip(slots, answers, strict=True))
        if self.path:
            shares = [spent, *[Spent()] * (len(slots) - 1)]
            append_jsonl(
                self.path,
                [
                    {"slot": asdict(s), "answer": asdict(a), "spent": asdict(p)}
                    for s, a, p in zip(slots, answers, shares, strict=True)
                ],
            )


def _answer(record: dict[str, Any]) -> Answer:
    return Answer(**{**record, "calls": tuple(Call(**c) for c in record["calls"])})
