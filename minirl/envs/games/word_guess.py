"""Word guessing: find a secret word from what each guess has in common with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from minirl.envs.base import EnvConfig, Environment, Episode, Turns, opening
from minirl.envs.games.episode import Answer, GameEpisode, line_decoys
from minirl.envs.games.words import LENGTHS, WORDS_OF
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Universe
from minirl.types import Message, Split, Task

LABEL = "Guess:"
RIGHT, MOVED, ABSENT = "+?-"
_COMPARED = 24  # words that the solver weighs against one another in one turn
_LETTERS = re.compile(r"[a-z]+")

# None of these is in WORDS_OF, so that copying the example never wins.
_EXAMPLES = {3: ("gnu", "yak", "emu"), 4: ("lynx", "ibex", "mink"), 5: ("hyena", "koala", "llama")}


class WordGuessConfig(EnvConfig):
    letters: int = 5
    """How long the word is: 3, 4 or 5 letters."""
    shortlist: int = Field(0, ge=0, le=40)
    """How many words the prompt names, one of them the secret; 0 names none."""
    clues: int = Field(0, ge=0, le=6)
    """How many guesses have been answered before the game begins."""
    guesses: int = Field(6, ge=1, le=20)
    """How many guesses the policy has."""
    worked_example: bool = True
    """Show one turn first. The tasks are the same without it."""

    @field_validator("letters")
    @classmethod
    def _listed(cls, value: int) -> int:
        if value not in LENGTHS:
            raise ValueError(f"letters must be one of {LENGTHS}, got {value}")
        return value

    @model_validator(mode="after")
    def _a_choice(self) -> WordGuessConfig:
        if self.shortlist == 1:
            raise ValueError("a shortlist of one word is the answer; use 0, or 2 and more")
        return self


@dataclass(frozen=True, slots=True)
class Problem:
    """The secret, the words named in the prompt (if any), and the guesses answered already."""

    secret: str
    shortlist: tuple[str, ...]
    clues: tuple[str, ...]

    @property
    def key(self) -> str:
        return "|".join((self.secret, " ".join(self.shortlist), " ".join(self.clues)))


@register
class WordGuess(Environment[WordGuessConfig]):
    """Find a secret word in a few guesses."""

    name = "word_guess"
    Config = WordGuessConfig
    levels: ClassVar = {
        "1": {"letters": 4, "shortlist": 12, "clues": 1, "guesses": 2},
        "2": {"letters": 4, "shortlist": 24, "clues": 1, "guesses": 3},
        "3": {"letters": 3, "clues": 3, "guesses": 6},
        "4": {"letters": 4, "clues": 3, "guesses": 6},
        "5": {"letters": 5, "clues": 1, "guesses": 6},
    }
    # The secret stands in the shortlist, and nothing says which word of it is the one.
    answer_in_prompt = True

    def __init__(self, config: WordGuessConfig, *, level: str | None = None) -> None:
        super().__init__(config, level=level)
        self.max_turns = config.guesses

    def task(self, split: Split, index: int) -> Task:
        return self._task(self._universe.pick(split, index), split, index)

    def gold(self, task: Task) -> tuple[str, ...]:
        """A solver's guesses; only where it runs out of them is the last one the secret itself."""
        problem = _problem(task)
        words = problem.shortlist or WORDS_OF[self.config.letters]
        left = _still_possible(words, problem.secret, problem.clues)
        guesses: list[str] = []
        while problem.secret not in guesses[-1:]:
            last = len(guesses) == self.config.guesses - 1
            guess = problem.secret if last else _best_guess(left)
            guesses.append(guess)
            left = _still_possible(left, problem.secret, [guess])
        return tuple(map(_line, guesses))

    def decoys(self, task: Task) -> Sequence[Turns]:
        problem, turns = _problem(task), self.max_turns
        secret, words = problem.secret, problem.shortlist or WORDS_OF[self.config.letters]
        wrong = next(word for word in words if word != secret)
        return (
            *line_decoys(LABEL, secret, wrong, turns),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            (f"{LABEL} {' '.join(words[:30])}",) * turns,
            ("\n".join(map(_line, words)),) * turns,
            (f"{LABEL} {secret.upper()}",) * turns,
            (f"{LABEL} {' '.join(secret)}",) * turns,
            (f"{LABEL} {secret}s",) * turns,
            (f"{LABEL} {secret[:-1]}",) * turns,
            (f"{LABEL} {''.join(letter + RIGHT for letter in secret)}",) * turns,
            (marked(secret, secret),) * turns,
            (*((f"{LABEL} {secret} ?",) * turns), _line(secret)),  # right, and too late
            *((_line(clue),) * turns for clue in problem.clues),
        )

    def alternatives(self, task: Task) -> Sequence[Turns]:
        secret, gold = _problem(task).secret, self.gold(task)
        lucky = (f"I have a feeling.\n{_line(secret)} \n",)
        late = (*(("hm",) * (self.config.guesses - 1)), _line(secret))
        stumbling = [(f"{LABEL} 12345", *gold)] if len(gold) < self.config.guesses else []
        return (lucky, late, *stumbling)

    def shifted(self, task: Task, rng: Random) -> tuple[Task, Turns] | None:
        """Another secret that the clues allow: what is told stays, and the answer is another."""
        problem, gold = _problem(task), self.gold(task)
        words = problem.shortlist or WORDS_OF[self.config.letters]
        others = [
            word
            for word in _still_possible(words, problem.secret, problem.clues)
            if _line(word) not in gold
        ]
        if not others:
            return None
        changed = Problem(rng.choice(others), problem.shortlist, problem.clues)
        other = self._task(changed, task.split, task.index)
        return other, self.gold(other)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def episode(self, task: Task) -> Episode:
        return _Game(task.prompt, _problem(task), self._form, self.config.guesses)

    def _task(self, problem: Problem, split: Split, index: int) -> Task:
        example = None
        if self.config.worked_example:
            words = _EXAMPLES[self.config.letters]
            clues = words[2:] if self.config.clues else ()
            shown = Problem(words[0], words[:2] if self.config.shortlist else (), clues)
            example = (self._question(shown), _line(words[0]))
        prompt = opening(self._system, self._question(problem), example)
        data = {
            "secret": problem.secret,
            "shortlist": list(problem.shortlist),
            "clues": list(problem.clues),
            "key": problem.key,
        }
        return Task(self.label, split, index, prompt, data)

    def _question(self, problem: Problem) -> str:
        told = [f"One of: {', '.join(problem.shortlist)}."] if problem.shortlist else []
        told += [marked(clue, problem.secret) for clue in problem.clues]
        return "\n".join([*told, f"Guesses left: {self.config.guesses}."])

    @property
    def _form(self) -> str:
        which = (
            "of the words" if self.config.shortlist else f"word of {self.config.letters} letters"
        )
        return f"Write one guess as the last line: '{LABEL}' and one {which}."

    @property
    def _system(self) -> str:
        return (
            f"Find the secret word of {self.config.letters} letters. After a guess each letter is "
            f"marked: {RIGHT} right place, {MOVED} another place, {ABSENT} not in the word. "
            f"{self._form}"
        )

    @cached_property
    def _universe(self) -> Universe[Problem]:
        options = self.config
        shape = (options.letters, options.shortlist, options.clues)
        return Drawn(f"{self.name} of {shape}", self._draw, lambda p: p.key)

    def _draw(self, rng: Random) -> Problem:
        words = WORDS_OF[self.config.letters]
        secret, *others = rng.sample(words, max(1, self.config.shortlist) + self.config.clues)
        clues, others = others[: self.config.clues], others[self.config.clues :]
        shortlist = sorted([secret, *others]) if self.config.shortlist else []
        return Problem(secret, tuple(shortlist), tuple(sorted(clues)))


class _Game(GameEpisode):
    def __init__(
        self, prompt: tuple[Message, ...], problem: Problem, form: str, guesses: int
    ) -> None:
        super().__init__(prompt, label=LABEL, form=form, turns=guesses)
        self._problem = problem
        self._told = list(problem.clues)
        self._consistent = 0
        self._placed = 0

    def play(self, move: str) -> Answer:
        secret, shortlist = self._problem.secret, self._problem.shortlist
        if len(move) != len(secret) or not _LETTERS.fullmatch(move):
            return self.refused(f"A guess is one word of {len(secret)} small letters.")
        if shortlist and move not in shortlist:
            return self.refused("That word is not one of those named.")
        self._consistent += bool(_still_possible([move], secret, self._told))
        self._placed = max(self._placed, marks(move, secret).count(RIGHT))
        self._told.append(move)
        if move == secret:
            return Answer("found the word", over=True, won=True)
        return Answer(marked(move, secret))

    def view(self) -> str:
        return f"Guesses left: {self.left()}."

    def progress(self) -> float:
        return self._placed / len(self._problem.secret)

    def details(self) -> Mapping[str, float]:
        return {"consistent": self._consistent / max(self.turns, 1)}


def marks(guess: str, secret: str) -> str:
    """A mark a letter. A letter is marked as often as the secret has it, right places first."""
    spare = Counter(s for g, s in zip(guess, secret, strict=True) if g != s)
    out = []
    for g, s in zip(guess, secret, strict=True):
        if g == s:
            out.append(RIGHT)
        elif spare[g] > 0:
            spare[g] -= 1
            out.append(MOVED)
        else:
            out.append(ABSENT)
    return "".join(out)


def marked(guess: str, secret: str) -> str:
    """The line that answers a guess: ``cart: c+ a? r- t-``."""
    letters = zip(guess, marks(guess, secret), strict=True)
    return f"{guess}: {' '.join(letter + mark for letter, mark in letters)}"


def _still_possible(words: Sequence[str], secret: str, told: Iterable[str]) -> Sequence[str]:
    """The words that would have been marked as ``secret`` was, for each guess told."""
    for guess in told:
        answer = marks(guess, secret)
        words = [word for word in words if marks(guess, word) == answer]
    return words


def _best_guess(words: Sequence[str]) -> str:
    """A word still possible whose worst answer leaves the fewest, by a sample of them."""
    sample = words[:: max(1, len(words) // _COMPARED)]

    def worst(guess: str) -> int:
        return max(Counter(marks(guess, word) for word in sample).values())

    return min(sample, key=worst)


def _line(word: str) -> str:
    return f"{LABEL} {word}"


def _problem(task: Task) -> Problem:
    data = task.data
    return Problem(data["secret"], tuple(data["shortlist"]), tuple(data["clues"]))
