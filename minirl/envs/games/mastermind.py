"""Mastermind: find a secret row of colours from how near each guess comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from operator import eq
from random import Random
from typing import ClassVar, TypeAlias

from pydantic import Field, model_validator

from minirl.envs.base import EnvConfig, Environment, Episode, Turns, opening
from minirl.envs.games.episode import Answer, GameEpisode, line_decoys
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Universe
from minirl.types import Message, Split, Task

LABEL = "Guess:"
COLOURS = tuple("black blue brown green orange pink purple red white yellow".split())  # noqa: SIM905
LISTED_UP_TO = 5_000  # codes that a solver may have to go through
_COMPARED = 24  # guesses and secrets that the solver weighs against one another in one turn

Code: TypeAlias = tuple[str, ...]


class MastermindConfig(EnvConfig):
    pegs: int = Field(3, ge=2, le=6)
    """How many places the secret row has."""
    colours: int = Field(4, ge=2, le=len(COLOURS))
    """How many colours are in play; which ones, is drawn for each task."""
    clues: int = Field(0, ge=0, le=6)
    """How many guesses have been answered before the game begins."""
    guesses: int = Field(6, ge=1, le=20)
    """How many guesses the policy has."""
    worked_example: bool = True
    """Show one turn first. The tasks are the same without it."""

    @model_validator(mode="after")
    def _playable(self) -> MastermindConfig:
        codes = self.colours**self.pegs
        if codes > LISTED_UP_TO:
            raise ValueError(
                f"{self.pegs} pegs of {self.colours} colours make {codes} rows; at most "
                f"{LISTED_UP_TO} are supported"
            )
        if codes < self.clues + 2:
            raise ValueError(f"{self.clues} clues leave no choice among {codes} rows")
        return self


@dataclass(frozen=True, slots=True)
class Problem:
    """The colours in play, the secret, and the guesses that were answered already."""

    palette: Code
    secret: Code
    clues: tuple[Code, ...]

    @property
    def key(self) -> str:
        return "|".join(" ".join(row) for row in (self.palette, self.secret, *self.clues))


@register
class Mastermind(Environment[MastermindConfig]):
    """Find a secret row of colours in a few guesses."""

    name = "mastermind"
    Config = MastermindConfig
    levels: ClassVar = {
        "1": {"pegs": 2, "colours": 4, "clues": 2, "guesses": 3},
        "2": {"pegs": 3, "colours": 4, "clues": 2, "guesses": 4},
        "3": {"pegs": 3, "colours": 6, "clues": 1, "guesses": 6},
        "4": {"pegs": 4, "colours": 6, "guesses": 8},
        "5": {"pegs": 4, "colours": 8, "guesses": 8},
    }

    def __init__(self, config: MastermindConfig, *, level: str | None = None) -> None:
        super().__init__(config, level=level)
        self.max_turns = config.guesses

    def task(self, split: Split, index: int) -> Task:
        return self._task(self._universe.pick(split, index), split, index)

    def gold(self, task: Task) -> tuple[str, ...]:
        """A solver's guesses; only where it runs out of them is the last one the secret itself."""
        problem = _problem(task)
        rows = product(problem.palette, repeat=self.config.pegs)
        rows_left = _still_possible(list(rows), problem.secret, problem.clues)
        guesses: list[Code] = []
        while problem.secret not in guesses[-1:]:
            last = len(guesses) == self.config.guesses - 1
            guess = problem.secret if last else _best_guess(rows_left)
            guesses.append(guess)
            rows_left = _still_possible(rows_left, problem.secret, [guess])
        return tuple(map(_line, guesses))

    def decoys(self, task: Task) -> Sequence[Turns]:
        problem, turns = _problem(task), self.max_turns
        right = " ".join(problem.secret)
        wrong = next(
            row
            for row in product(problem.palette, repeat=self.config.pegs)
            if row != problem.secret
        )
        every = ", ".join(" ".join(r) for r in product(problem.palette, repeat=self.config.pegs))
        return (
            *line_decoys(LABEL, right, " ".join(wrong), turns),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            (f"{LABEL} {every[:380]}",) * turns,
            (f"{LABEL} {' '.join(problem.palette)} {right}",) * turns,
            (f"{LABEL} {right.upper()}",) * turns,
            (f"{LABEL} {right.replace(' ', ', ')}",) * turns,
            (f"{LABEL} {right.replace(' ', '  ')}",) * turns,
            (f"{LABEL} {' '.join(problem.secret[:-1])}",) * turns,
            (f"{LABEL} {self.config.pegs} exact",) * turns,
            (f"{right}: {self.config.pegs} exact, 0 near",) * turns,
            (*((f"{LABEL} {right} ?",) * turns), _line(problem.secret)),  # right, and too late
            *((_line(clue),) * turns for clue in problem.clues),
        )

    def alternatives(self, task: Task) -> Sequence[Turns]:
        problem, gold = _problem(task), self.gold(task)
        lucky = (f"I have a feeling.\n{_line(problem.secret)} \n",)
        late = (*(("hm",) * (self.config.guesses - 1)), _line(problem.secret))
        stumbling = [(f"{LABEL} mauve", *gold)] if len(gold) < self.config.guesses else []
        return (lucky, late, *stumbling)

    def shifted(self, task: Task, rng: Random) -> tuple[Task, Turns] | None:
        problem, gold = _problem(task), self.gold(task)
        for _ in range(20):
            renamed = dict(zip(COLOURS, rng.sample(COLOURS, len(COLOURS)), strict=True))

            def other(row: Iterable[str], names: dict[str, str] = renamed) -> Code:
                return tuple(names[colour] for colour in row)

            changed = Problem(
                tuple(sorted(other(problem.palette))),
                other(problem.secret),
                tuple(map(other, problem.clues)),
            )
            if _line(changed.secret) not in gold:
                answer = tuple(_line(other(line.removeprefix(LABEL).split())) for line in gold)
                return self._task(changed, task.split, task.index), answer
        return None

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def episode(self, task: Task) -> Episode:
        return _Game(task.prompt, _problem(task), self._form, self.config.guesses)

    def _task(self, problem: Problem, split: Split, index: int) -> Task:
        example = None
        if self.config.worked_example:
            # None of its colours is ever in play, so that copying it is never a legal guess.
            shown = Problem(("gold", "silver"), ("gold",) * self.config.pegs, ())
            row = ("silver", *shown.secret[1:])
            clue = Problem(shown.palette, shown.secret, (row,) if self.config.clues else ())
            example = (self._question(clue), _line(shown.secret))
        prompt = opening(self._system, self._question(problem), example)
        data = {
            "palette": list(problem.palette),
            "secret": list(problem.secret),
            "clues": [list(clue) for clue in problem.clues],
            "key": problem.key,
        }
        return Task(self.label, split, index, prompt, data)

    def _question(self, problem: Problem) -> str:
        told = [f"Colours: {', '.join(problem.palette)}."]
        told += [told_feedback(clue, problem.secret) for clue in problem.clues]
        return "\n".join([*told, f"Guesses left: {self.config.guesses}."])

    @property
    def _form(self) -> str:
        return (
            f"Write one guess as the last line: '{LABEL}' and {self.config.pegs} of the colours, "
            "with spaces between."
        )

    @property
    def _system(self) -> str:
        return (
            f"Find the secret row of {self.config.pegs} colours; a colour may come twice. After a "
            "guess you hear how many are exact (right colour, right place) and how many are near "
            f"(right colour, wrong place). {self._form}"
        )

    @cached_property
    def _universe(self) -> Universe[Problem]:
        options = self.config
        shape = (options.pegs, options.colours, options.clues)
        return Drawn(f"{self.name} of {shape}", self._draw, lambda p: p.key)

    def _draw(self, rng: Random) -> Problem | None:
        palette = tuple(sorted(rng.sample(COLOURS, self.config.colours)))
        rows = {
            tuple(rng.choices(palette, k=self.config.pegs)) for _ in range(self.config.clues + 1)
        }
        if len(rows) <= self.config.clues:
            return None
        secret, *clues = rng.sample(sorted(rows), len(rows))
        return Problem(palette, secret, tuple(sorted(clues)))


class _Game(GameEpisode):
    def __init__(
        self, prompt: tuple[Message, ...], problem: Problem, form: str, guesses: int
    ) -> None:
        super().__init__(prompt, label=LABEL, form=form, turns=guesses)
        self._problem = problem
        self._told: list[Code] = list(problem.clues)
        self._consistent = 0
        self._exact = 0

    def play(self, move: str) -> Answer:
        guess, secret = tuple(move.split(" ")), self._problem.secret
        if len(guess) != len(secret):
            return self.refused(f"A guess has {len(secret)} colours.")
        if not all(colour in self._problem.palette for colour in guess):
            return self.refused("Not all of that is in play.")
        self._consistent += bool(_still_possible([guess], secret, self._told))
        self._exact = max(self._exact, feedback(guess, secret)[0])
        self._told.append(guess)
        if guess == secret:
            return Answer("found the secret", over=True, won=True)
        return Answer(told_feedback(guess, secret))

    def view(self) -> str:
        return f"Guesses left: {self.left()}."

    def progress(self) -> float:
        return self._exact / len(self._problem.secret)

    def details(self) -> Mapping[str, float]:
        return {"consistent": self._consistent / max(self.turns, 1)}


def feedback(guess: Sequence[str], secret: Sequence[str]) -> tuple[int, int]:
    """(exact, near): right colours in the right place, and further right colours elsewhere."""
    exact = sum(map(eq, guess, secret))
    shared = sum(min(guess.count(colour), secret.count(colour)) for colour in set(guess))
    return exact, shared - exact


def told_feedback(guess: Sequence[str], secret: Sequence[str]) -> str:
    """The line that answers a guess."""
    exact, near = feedback(guess, secret)
    return f"{' '.join(guess)}: {exact} exact, {near} near"


def _still_possible(
    rows: Sequence[Code], secret: Code, told: Iterable[Sequence[str]]
) -> Sequence[Code]:
    """The rows that would have been answered as ``secret`` was, for each guess told."""
    for guess in told:
        answer = feedback(guess, secret)
        rows = [row for row in rows if feedback(guess, row) == answer]
    return rows


def _best_guess(rows: Sequence[Code]) -> Code:
    """A row still possible whose worst answer leaves the fewest (Knuth 1977), by a sample."""
    stride = max(1, len(rows) // _COMPARED)
    sample = rows[::stride]

    def worst(guess: Code) -> int:
        return max(Counter(feedback(guess, row) for row in sample).values())

    return min(sample, key=worst)


def _line(row: Iterable[str]) -> str:
    return f"{LABEL} {' '.join(row)}"


def _problem(task: Task) -> Problem:
    data = task.data
    return Problem(tuple(data["palette"]), tuple(data["secret"]), tuple(map(tuple, data["clues"])))
