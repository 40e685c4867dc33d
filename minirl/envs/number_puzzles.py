"""Find whole numbers that meet stated conditions; every set of numbers that meets them is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, permutations
from math import prod
from operator import lt
from random import Random
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from minirl.envs.base import EnvConfig, Environment, opening
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Universe
from minirl.rewards.answer import LABEL, NUMBER, parse_integer, score_answer, slot_decoys
from minirl.types import Score, Split, Task

SYSTEM = (
    "Find whole numbers above 0 that meet every condition. "
    f"Give them on the last line as '{LABEL} number, number'."
)
HOW_MANY = {1: "one number", 2: "two numbers", 3: "three numbers"}
ALTERNATIVES = 12  # so many at most are declared

Numbers: TypeAlias = Sequence[int]
Condition: TypeAlias = tuple[
    str, int
]  # the name of a kind, and its parameter (0 where it has none)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of condition.

    Attributes:
        text: how it is stated, with ``{n}`` for its parameter.
        holds: whether numbers meet it.
        degree: when all numbers grow c-fold its parameter grows c^degree-fold; None stands for as
            many as there are numbers.
        each: it is said of each number alone.
    """

    text: str
    holds: Callable[[Numbers, int], bool]
    degree: int | None = 1
    each: bool = False


KINDS = {
    "above": Kind("above {n}", lambda xs, n: min(xs) > n, each=True),
    "below": Kind("below {n}", lambda xs, n: max(xs) < n, each=True),
    "multiple": Kind("a multiple of {n}", lambda xs, n: not any(x % n for x in xs), each=True),
    "no_multiple": Kind("not a multiple of {n}", lambda xs, n: all(x % n for x in xs), each=True),
    "sum": Kind("their sum is {n}", lambda xs, n: sum(xs) == n),
    "difference": Kind("the first minus the second is {n}", lambda xs, n: xs[0] - xs[1] == n),
    "product": Kind("their product is {n}", lambda xs, n: prod(xs) == n, None),
    "squares": Kind("their squares add up to {n}", lambda xs, n: sum(x * x for x in xs) == n, 2),
    "rising": Kind("each above the one before", lambda xs, n: all(map(lt, xs, xs[1:]))),
}


@dataclass(frozen=True, slots=True)
class Puzzle:
    """Conditions, and numbers that meet them."""

    conditions: tuple[Condition, ...]
    solution: tuple[int, ...]

    @property
    def question(self) -> str:
        several = len(self.solution) > 1
        told = [
            ("each " if several and KINDS[kind].each else "") + KINDS[kind].text.format(n=n)
            for kind, n in self.conditions
        ]
        return f"Find {HOW_MANY[len(self.solution)]}: {', '.join(told)}."


def meets(numbers: Numbers, conditions: Sequence[Condition]) -> bool:
    """Whether ``numbers`` are all above 0 and meet every condition."""
    return min(numbers) > 0 and all(KINDS[kind].holds(numbers, n) for kind, n in conditions)


# How a family of puzzles is drawn: the solution first, then conditions that it meets -----------


def _sum(rng: Random, largest: int) -> Puzzle:
    a, b = rng.randint(2, largest), rng.randint(2, largest)
    return Puzzle((("sum", a + b), ("above", rng.randint(1, min(a, b, 20) - 1))), (a, b))


def _multiple(rng: Random, largest: int) -> Puzzle:
    step = rng.choice((2, 3, 4, 5, 10))
    x = step * rng.randint(3, max(3, largest // step))
    return Puzzle((*_around(rng, x, 2 * step), ("multiple", step)), (x,))


def _sieve(rng: Random, largest: int) -> Puzzle | None:
    step, other = rng.randint(3, 12), rng.randint(2, 9)
    x = step * rng.randint(3, max(3, largest // step))
    if x % other == 0:
        return None
    conditions = (*_around(rng, x, 2 * step), ("multiple", step), ("no_multiple", other))
    return Puzzle(conditions, (x,))


def _around(rng: Random, x: int, most: int) -> tuple[Condition, Condition]:
    return ("above", x - rng.randint(1, most)), ("below", x + rng.randint(1, most))


def _difference(rng: Random, largest: int) -> Puzzle:
    b = rng.randint(1, largest)
    a = b + rng.randint(1, largest)
    return Puzzle((("sum", a + b), ("difference", a - b)), (a, b))


def _product(rng: Random, largest: int) -> Puzzle:
    a, b = rng.randint(2, largest), rng.randint(2, largest)
    return Puzzle((("sum", a + b), ("product", a * b)), (a, b))


def _triple(rng: Random, largest: int) -> Puzzle:
    xs = tuple(sorted(rng.sample(range(1, largest + 3), 3)))
    return Puzzle((("sum", sum(xs)), ("product", prod(xs)), ("rising", 0)), xs)


def _squares(rng: Random, largest: int) -> Puzzle:
    xs = tuple(sorted(rng.sample(range(1, largest + 3), 3)))
    squares = sum(x * x for x in xs)
    return Puzzle((("sum", sum(xs)), ("squares", squares), ("rising", 0)), xs)


FamilyName = Literal["sum", "multiple", "sieve", "difference", "product", "triple", "squares"]
FAMILIES: dict[str, Callable[[Random, int], Puzzle | None]] = {
    "sum": _sum,
    "multiple": _multiple,
    "sieve": _sieve,
    "difference": _difference,
    "product": _product,
    "triple": _triple,
    "squares": _squares,
}
EXAMPLES = {
    "sum": Puzzle((("sum", 39), ("above", 5)), (30, 9)),
    "multiple": Puzzle((("above", 41), ("below", 54), ("multiple", 6)), (48,)),
    "sieve": Puzzle(
        (("above", 60), ("below", 90), ("multiple", 13), ("no_multiple", 3)),
        (65,),
    ),
    "difference": Puzzle((("sum", 31), ("difference", 7)), (19, 12)),
    "product": Puzzle((("sum", 19), ("product", 84)), (12, 7)),
    "triple": Puzzle((("sum", 24), ("product", 440), ("rising", 0)), (5, 8, 11)),
    "squares": Puzzle((("sum", 24), ("squares", 210), ("rising", 0)), (5, 8, 11)),
}


class NumberPuzzlesConfig(EnvConfig):
    family: FamilyName = "product"
    """What the conditions are: sum (two numbers, sum and a bound), multiple (one number in an
    interval), sieve (a multiple, and no multiple of another), difference (sum and difference),
    product (sum and product), triple (three rising numbers, sum and product), squares (three
    rising numbers, sum and sum of squares).
    """
    largest: int = Field(50, ge=20, le=1000)
    """About the largest number of a solution."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""


@register
class NumberPuzzles(Environment[NumberPuzzlesConfig]):
    """Find whole numbers that meet stated conditions."""

    name = "number_puzzles"
    Config = NumberPuzzlesConfig
    levels: ClassVar = {
        "1": {"family": "sum", "largest": 200},
        "2": {"family": "multiple", "largest": 300},
        "3": {"family": "sieve", "largest": 300},
        "4": {"family": "difference", "largest": 60},
        "5": {"family": "product", "largest": 80},
        "6": {"family": "triple", "largest": 30},
        "7": {"family": "squares", "largest": 100},
    }

    def task(self, split: Split, index: int) -> Task:
        return self._task(split, index, self._universe.pick(split, index))

    def gold(self, task: Task) -> str:
        return f"{LABEL} {_written(task.data['solution'])}"

    def alternatives(self, task: Task) -> Sequence[str]:
        solution = tuple(task.data["solution"])
        found = dict.fromkeys(
            numbers
            for numbers in _neighbours(solution)
            if numbers != solution and self._right(task, numbers)
        )
        return [f"{LABEL} {_written(numbers)}" for numbers in islice(found, ALTERNATIVES)]

    def decoys(self, task: Task) -> Sequence[str]:
        solution = task.data["solution"]
        *before, last = solution
        right, wrong = _written(solution), _written([*before, last + 1])
        near = (
            solution[::-1],
            [*before, last - 1],
            [last] * len(solution),
            [solution[0], *solution[1:-1], 0] if before else [0],
            [*before, -last],
            [x * 10 for x in solution],
            [*(n for _, n in task.data["conditions"])],
            [n + 1 for _, n in task.data["conditions"]][: len(solution)],
        )
        return (
            *slot_decoys(right, wrong),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            self._example[1],  # the example, copied
            *(f"{LABEL} {_written(numbers)}" for numbers in near if not self._right(task, numbers)),
            f"{LABEL} {right}, 1",
            f"{LABEL} {right},",
            f"{LABEL} {right}.0",
            f"{LABEL} 0{right}",
            f"{LABEL} +{right}",
            f"{LABEL} {' and '.join(map(str, solution))} and so on",
            f"{LABEL} {'9' * 31}",
            f"{LABEL} {right.translate({ord('0') + d: 0xFF10 + d for d in range(10)})}",
            f"{LABEL} number, number",
            f"{LABEL} nan",
            f"{LABEL} inf, -inf",
        )

    def shifted(self, task: Task, rng: Random) -> tuple[Task, str]:
        """All numbers grow c-fold, and so the parameters by the powers of c that they follow."""
        c, count = rng.randint(2, 5), len(task.data["solution"])
        grown = []
        for kind, n in task.data["conditions"]:
            degree = KINDS[kind].degree
            grown.append((kind, n * c ** (count if degree is None else degree)))
        puzzle = Puzzle(tuple(grown), tuple(c * x for x in task.data["solution"]))
        changed = self._task(task.split, task.index, puzzle)
        return changed, f"{LABEL} {_written(puzzle.solution)}"

    def score(self, task: Task, text: str) -> Score:
        def accepts(slot: str) -> bool:
            numbers = [parse_integer(part.strip(" ")) for part in slot.split(",", 3)]
            return self._right(task, [n for n in numbers if n is not None], len(numbers))

        def lenient(whole: str) -> bool:
            last = NUMBER.findall(whole)[-len(task.data["solution"]) :]
            return accepts(", ".join(last))

        return score_answer(text, accepts, lenient=lenient)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def _right(self, task: Task, numbers: Numbers, written: int | None = None) -> bool:
        """Whether ``numbers`` are as many as asked, none of those written left out, and fit."""
        count = len(task.data["solution"])
        if len(numbers) != count or written not in (None, count):
            return False
        return meets(numbers, task.data["conditions"])

    def _task(self, split: Split, index: int, puzzle: Puzzle) -> Task:
        data = {
            "conditions": [list(condition) for condition in puzzle.conditions],
            "solution": list(puzzle.solution),
            "key": puzzle.question,
        }
        example = self._example if self.config.worked_example else None
        return Task(self.label, split, index, opening(SYSTEM, puzzle.question, example), data)

    @cached_property
    def _example(self) -> tuple[str, str]:
        puzzle = EXAMPLES[self.config.family]
        return puzzle.question, f"{LABEL} {_written(puzzle.solution)}"

    @cached_property
    def _universe(self) -> Universe[Puzzle]:
        family, largest = self.config.family, self.config.largest
        shown = EXAMPLES[family].solution

        def draw(rng: Random) -> Puzzle | None:
            puzzle = FAMILIES[family](rng, largest)
            # else copying the example would be right
            copied = puzzle is not None and meets(shown, puzzle.conditions)
            return None if copied else puzzle

        title = f"{self.name}, {family} up to {largest}"
        return Drawn(title, draw, lambda puzzle: puzzle.question)


def _written(numbers: Numbers) -> str:
    return ", ".join(map(str, numbers))


def _neighbours(solution: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Where other right answers are likely: other orders, and steps that keep the sum."""
    yield from permutations(solution)
    steps = range(-12, 13)
    if len(solution) == 1:
        yield from ((solution[0] + d,) for d in range(-40, 41))
    elif len(solution) == 2:
        yield from ((solution[0] + d, solution[1] - d) for d in steps)
    else:
        a, b, c = solution
        yield from ((a + d, b + e, c - d - e) for d in steps for e in steps)
