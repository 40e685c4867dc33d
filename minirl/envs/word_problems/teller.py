"""The teller of a word problem: its random numbers, its people, and the arithmetic done so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from minirl.envs.word_problems.family import MOST, Family
from minirl.rewards.draws import below, pick
from minirl.rewards.expression import Op, Tree

PEOPLE = (
    ("Amara", "she"), ("Bela", "he"), ("Carla", "she"), ("Dev", "he"), ("Elif", "she"),
    ("Farid", "he"), ("Grace", "she"), ("Hugo", "he"), ("Ines", "she"), ("Jonas", "he"),
    ("Keiko", "she"), ("Luca", "he"), ("Maya", "she"), ("Nils", "he"), ("Olga", "she"),
    ("Pavel", "he"), ("Rosa", "she"), ("Samir", "he"), ("Tessa", "she"), ("Viktor", "he"),
    ("Wanda", "she"), ("Yusuf", "he"), ("Zoe", "she"), ("Owen", "he"),
)  # fmt: skip
PRONOUNS = {"she": ("her", "her"), "he": ("his", "him")}
TIMES = {2: "twice", 3: "three times", 4: "four times"}
FRACTIONS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 10: "a tenth"}
PERCENTS = (5, 10, 15, 20, 25, 30, 40, 50, 60, 75)


class Unfit(Exception):
    """Inside this package only: these random numbers make no sensible story; draw others."""


class Amount(NamedTuple):
    """A number of the story: how it comes about, and what it is."""

    tree: Tree
    value: int


@dataclass
class Teller:
    """The state of one story while it is told."""

    rng: Random
    family: Family
    largest: int
    steps: list[str] = field(default_factory=list)
    fields: dict[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._people = list(PEOPLE)
        for name, words in self.family.words.items():
            self.fields[name] = pick(self.rng, words)
        self.meet(self._somebody())

    def draw(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        if low > high:
            raise Unfit
        return low + below(self.rng, high - low + 1)

    def one_of(self, choices: Sequence[int]) -> int:
        if not choices:
            raise Unfit
        return pick(self.rng, choices)

    def first(self) -> int:
        low, high = self.family.first
        return self.draw(low, min(high, self.largest))

    def change(self, below: int = MOST) -> int:
        """How much an event adds or takes away, less than ``below``."""
        low, high = self.family.change
        return self.draw(low, min(high, self.largest, below - 1))

    def groups(self) -> tuple[int, int]:
        """How many, and how much in each."""
        low, high = self.family.each
        return self.draw(2, 9), self.draw(low, min(high, self.largest))

    def work(self, operator: str, left: Amount | int, right: Amount | int) -> Amount:
        """One step. What does not come out as a whole number of at least 1 is unfit."""
        tree, a = left if isinstance(left, Amount) else (left, left)
        other, b = right if isinstance(right, Amount) else (right, right)
        rest = 0
        if operator == "+":
            value = a + b
        elif operator == "-":
            value = a - b
        elif operator == "*":
            value = a * b
        else:
            value, rest = divmod(a, b)
        if rest or not 1 <= value <= self.family.most:
            raise Unfit
        self.steps.append(f"{a} {operator} {b} = {value}")
        return Amount(Op(operator, tree, other), value)

    def percent(self, amount: Amount) -> Amount:
        """Some percent of ``amount``; the field ``p`` says how many. One step."""
        p = self.one_of([p for p in PERCENTS if amount.value * p % 100 == 0])
        part = amount.value * p // 100
        self.fields["p"] = p
        self.steps.append(f"{amount.value} * {p} / 100 = {part}")
        return Amount(Op("/", Op("*", amount.tree, p), 100), part)

    def divisor(self, amount: Amount, choices: Sequence[int]) -> int:
        """One of ``choices`` that divides ``amount`` and leaves more than 1."""
        return self.one_of([d for d in choices if amount.value % d == 0 and amount.value > d])

    def newcomer(self) -> tuple[str, str]:
        """Somebody whom the story has not met; ``{new}`` is the name."""
        person = self._somebody()
        self.fields["new"] = person[0]
        return person

    def _somebody(self) -> tuple[str, str]:
        return self._people.pop(below(self.rng, len(self._people)))

    def meet(self, person: tuple[str, str]) -> None:
        """From now on the story is about this person."""
        name, she = person
        her, him = PRONOUNS[she]
        self.fields.update(
            who=name, she=she, her=her, him=him, She=she.capitalize(), Her=her.capitalize()
        )

    def let(self, **numbers: int) -> None:
        """Numbers for the text."""
        self.fields.update(numbers)
