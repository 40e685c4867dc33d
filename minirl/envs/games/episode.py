"""What the turn-based games share: one strict move line a turn, a limit of turns, one outcome.

A turn may reason first; its last line alone is the move, ``Move: …`` with the game's own label, and
the label stands nowhere else in it. A line that is no move costs its turn and is answered with what
a move looks like. The reward is 1 for a game that is won, else 0; how far it came is logged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minirl.envs.base import Step, Turns
from minirl.errors import EnvironmentFault
from minirl.rewards.answer import BLANK
from minirl.types import Message, Score

MAX_LINE = 400  # characters; no game has a longer move


@dataclass(frozen=True, slots=True)
class Answer:
    """The world's answer to one turn.

    Attributes:
        text: what the policy reads, or the reason of the score where the game is over.
        legal: False for a line that is no move in this position.
        over: whether the game ends here.
        won: whether it ends with the win.
    """

    text: str
    legal: bool = True
    over: bool = False
    won: bool = False


class GameEpisode(ABC):
    """One attempt at a game; a subclass holds the position and plays a move."""

    tools: tuple[dict[str, Any], ...] = ()

    def __init__(self, prompt: tuple[Message, ...], *, label: str, form: str, turns: int) -> None:
        """
        Args:
            prompt: the opening messages.
            label: what the move line begins with, as ``Move:``.
            form: what a move looks like, told to a policy that writes something else.
            turns: how many turns the game lasts at most.
        """
        self.messages = prompt
        self.turns = 0
        self.illegal = 0
        self._label, self._form, self._limit = label, form, turns
        self._over = False

    def step(self, message: Message) -> Step:
        if self._over:
            raise EnvironmentFault("this game is over", fix="open another episode of the task")
        self.turns += 1
        move = move_line(message.content, self._label)
        answer = self.refused() if move is None else self.play(move)
        self.illegal += not answer.legal
        if answer.over:
            return Step(score=self._end(answer.text, won=answer.won))
        if self.left() <= 0:
            return Step(score=self._end("no turns left", won=False))
        return Step(messages=(Message("user", f"{answer.text}\n{self.view()}".lstrip("\n")),))

    def give_up(self, reason: str) -> Score:
        return self._end(reason, won=False)

    def refused(self, why: str = "That is not a move.") -> Answer:
        """The answer to what is no move in this position; it costs the turn."""
        return Answer(f"{why} {self._form}", legal=False)

    def left(self) -> int:
        """How many turns are left."""
        return self._limit - self.turns

    @abstractmethod
    def play(self, move: str) -> Answer:
        """Make the move that one line names; any text at all may come, and none raises."""

    @abstractmethod
    def view(self) -> str:
        """The position as the policy sees it after a turn."""

    @abstractmethod
    def progress(self) -> float:
        """How far the game has come, from 0 to 1: logged, never rewarded."""

    def details(self) -> Mapping[str, float]:
        """More parts of the score."""
        return {}

    def _end(self, reason: str, *, won: bool) -> Score:
        self._over = True
        parts = {
            "turns": float(self.turns),
            "illegal": float(self.illegal),
            "progress": 1.0 if won else self.progress(),
            **self.details(),
        }
        return Score(float(won), won, parts, reason)


def move_line(text: str, label: str) -> str | None:
    """What the last line says after ``label``; None where it is no move line, or not the only one.

    Lines longer than :data:`MAX_LINE` are no moves.
    """
    if text.count(label) != 1:
        return None
    last = text.rstrip(BLANK).rpartition("\n")[2].strip(BLANK)
    move = last.removeprefix(label).strip(BLANK)
    return move if last.startswith(label) and 0 < len(move) <= MAX_LINE else None


def line_decoys(label: str, right: str, wrong: str, turns: int) -> tuple[Turns, ...]:
    """Transcripts that try to get paid for ``right`` without committing to it; each must score 0.

    Args:
        label: what a move line begins with.
        right: a move that wins the game.
        wrong: a move that does not.
        turns: how often each is said.
    """
    wide = right.translate({c: c + 0xFEE0 for c in range(0x21, 0x7F)})
    texts = (
        label,
        right,
        f"{label} {wrong}",
        f"{label} {wrong}\n{label} {right}",
        f"{label} {right}\n{label} {wrong}",
        f"{label} {right}\n{label} {right}",
        f"{label} {wrong} {label} {right}",
        f"{label} {wrong}, {right}",
        f"{label} {wrong} {right}",
        f"{label} {right} {wrong}",
        f"{label} {right} or {wrong}",
        f"{label} {right}\nI have won.",
        f"{label} {right}.",
        f"{label} {right}\x00",
        f"{label} {right}\u200b",
        f"{label} {wide}",
        f"{label} <{right}>",
        f"{label} '{right}'",
        f"{label}\n{right}",
        f"So {label} {right}",
        f"{label.lower()} {right}",
        f"**{label}** {right}",
        "I have won the game. It is solved.",
        f"{label} {'9' * 50}",
        f"{label} -1 -1",
        f"{label} nan",
    )
    return ("", *((text,) * turns for text in texts))
