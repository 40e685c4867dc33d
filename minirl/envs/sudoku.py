"""Sudoku, 4x4 and 9x9: any completion that keeps the rules and the givens is right.

A puzzle is a solved grid with cells blanked at random, so it may have several solutions. To prove
that it has one would cost more than everything else here and buy nothing: the rules decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice, permutations, product
from math import isqrt
from operator import eq, itemgetter
from random import Random
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from minirl.envs.base import EnvConfig, Environment, opening
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Listed, Universe
from minirl.rewards.answer import LABEL, score_answer, slot_decoys
from minirl.types import Score, Split, Task

BLANK = "_"
DIGITS = "123456789"
LISTED_UP_TO = 50_000
OTHER_SOLUTIONS = 4  # so many at most are declared as alternatives


class SudokuConfig(EnvConfig):
    size: Literal[4, 9] = 9
    """Cells in a row, a column and a box."""
    blanks: int = Field(30, ge=1, le=64)
    """How many cells are empty: at most 12 of 16, or 64 of 81."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""

    @model_validator(mode="after")
    def _some_givens(self) -> SudokuConfig:
        if self.size == 4 and self.blanks > 12:
            raise ValueError(f"blanks: a grid of 16 cells has at most 12, got {self.blanks}")
        return self


@dataclass(frozen=True, slots=True)
class Puzzle:
    """Two grids, row after row without separators: with blanks, and solved."""

    givens: str
    solution: str


@register
class Sudoku(Environment[SudokuConfig]):
    """Fill in a sudoku of 4x4 or 9x9 cells."""

    name = "sudoku"
    Config = SudokuConfig
    levels: ClassVar = {
        "1": {"size": 4, "blanks": 1},
        "2": {"size": 4, "blanks": 3},
        "3": {"size": 4, "blanks": 6},
        "4": {"size": 4, "blanks": 9},
        "5": {"size": 9, "blanks": 6},
        "6": {"size": 9, "blanks": 20},
        "7": {"size": 9, "blanks": 45},
    }

    def task(self, split: Split, index: int) -> Task:
        return self._task(split, index, self._universe.pick(split, index))

    def gold(self, task: Task) -> str:
        return f"{LABEL} {written(task.data['solution'])}"

    def alternatives(self, task: Task) -> Sequence[str]:
        found = solutions(task.data["givens"])
        others = (grid for grid in found if grid != task.data["solution"])
        return [f"{LABEL} {written(grid)}" for grid in islice(others, OTHER_SOLUTIONS)]

    def decoys(self, task: Task) -> Sequence[str]:
        givens, right = task.data["givens"], task.data["solution"]
        size = self.config.size
        at = givens.index(BLANK)
        following = dict(zip(DIGITS[:size], DIGITS[1:size] + "1", strict=True))
        slip = right[:at] + following[right[at]] + right[at + 1 :]
        renamed = right.translate(str.maketrans(following))  # keeps the rules, not the givens
        rows = written(right).split()
        grids = (
            written(givens),
            written(slip),
            written(renamed),
            written(givens.replace(BLANK, "0")),
            " ".join(rows[1:]),
            " ".join([*rows, rows[-1]]),
            " ".join([rows[0]] * size),
            " ".join([DIGITS[:size]] * size),
            right,
            "\n".join(rows),
            ",".join(rows),
            " ".join(right),
            "/".join(rows),
            written(right).translate({ord("0") + d: 0xFF10 + d for d in range(10)}),
        )
        return (
            *slot_decoys(written(right), written(renamed)),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            self._example[1],  # the example, copied
            *(f"{LABEL} {grid}" for grid in grids),
        )

    def shifted(self, task: Task, rng: Random) -> tuple[Task, str]:
        """Each digit renamed, in the puzzle and in its solution."""
        size, by = self.config.size, rng.randrange(1, self.config.size)
        digits = DIGITS[:size]
        rename = str.maketrans(digits, digits[by:] + digits[:by])
        puzzle = Puzzle(*(task.data[k].translate(rename) for k in ("givens", "solution")))
        changed = self._task(task.split, task.index, puzzle)
        return changed, f"{LABEL} {written(puzzle.solution)}"

    def score(self, task: Task, text: str) -> Score:
        givens = task.data["givens"]
        rows = _rows(self.config.size)

        def lenient(whole: str) -> bool:
            return solves("".join(rows.findall(whole)[-self.config.size :]), givens)

        return score_answer(text, lambda slot: solves(unwritten(slot), givens), lenient=lenient)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def _task(self, split: Split, index: int, puzzle: Puzzle) -> Task:
        example = self._example if self.config.worked_example else None
        data = {"givens": puzzle.givens, "solution": puzzle.solution, "key": puzzle.givens}
        prompt = opening(self._system, _question(puzzle), example)
        return Task(self.label, split, index, prompt, data)

    @property
    def _system(self) -> str:
        size, box = self.config.size, isqrt(self.config.size)
        return (
            f"Fill in each {BLANK} so that every row, column and {box}x{box} box holds 1 to "
            f"{size}. Give all rows on the last line as '{LABEL} row row ...'."
        )

    @cached_property
    def _example(self) -> tuple[str, str]:
        """A puzzle with as many blanks as the tasks have, spread out."""
        solution = solved_grid(self.config.size, Random(7))
        cells, step = self.config.size**2, 5  # 5 has no factor in common with 16 or 81
        blank = {i * step % cells for i in range(self.config.blanks)}
        puzzle = _blanked(solution, blank)
        return _question(puzzle), f"{LABEL} {written(solution)}"

    @cached_property
    def _universe(self) -> Universe[Puzzle]:
        size, blanks = self.config.size, self.config.blanks
        cells = range(size**2)
        shown = unwritten(self._example[1].removeprefix(f"{LABEL} "))

        def fair(puzzle: Puzzle) -> bool:
            return not solves(shown, puzzle.givens)  # else copying the example would be right

        def draw(rng: Random) -> Puzzle | None:
            puzzle = _blanked(solved_grid(size, rng), rng.sample(cells, blanks))
            return puzzle if fair(puzzle) else None

        if size == 4 and blanks == 1:
            every = (_blanked(grid, [i]) for grid in solutions(BLANK * 16) for i in cells)
            return Listed(self.name, filter(fair, every), lambda p: p.givens)
        return Drawn(f"{self.name} {size}, {blanks} blanks", draw, lambda p: p.givens)


def solves(grid: str, givens: str) -> bool:
    """Whether ``grid`` (digits, row after row) keeps the rules and every given of a puzzle."""
    size = isqrt(len(givens))
    if len(grid) != len(givens) or set(grid) != set(DIGITS[:size]):
        return False
    if sum(map(eq, grid, givens)) != len(givens) - givens.count(BLANK):
        return False
    return all(len(set(unit(grid))) == size for unit in _units(size))


def solutions(givens: str) -> Iterator[str]:
    """Every solution of a puzzle; the cell with the fewest candidates is filled first."""
    size = isqrt(len(givens))
    peers, digits = _peers(size), DIGITS[:size]

    def fill(grid: list[str]) -> Iterator[str]:
        best: tuple[int, list[str]] | None = None
        for i in [i for i, digit in enumerate(grid) if digit == BLANK]:
            taken = {grid[j] for j in peers[i]}
            candidates = [digit for digit in digits if digit not in taken]
            if best is None or len(candidates) < len(best[1]):
                best = i, candidates
        if best is None:
            yield "".join(grid)
            return
        cell, candidates = best
        for digit in candidates:
            yield from fill([*grid[:cell], digit, *grid[cell + 1 :]])

    return fill(list(givens))


def solved_grid(size: int, rng: Random) -> str:
    """A solved grid: for 4x4 any of the 288; for 9x9 one grid with its digits, rows, columns, bands
    and stacks exchanged, which keeps the rules (a class of many grids, not all of them).
    """
    if size == 4:
        return rng.choice(_all_small())
    start, orders = _start(size), _orders(size)
    rows, columns = rng.choice(orders), rng.choice(orders)
    grid = "".join(["".join(columns(row)) for row in rows(start)])
    return grid.translate(str.maketrans(DIGITS, "".join(rng.sample(DIGITS, size))))


def written(grid: str) -> str:
    """A grid as the question and the answer write it: rows with a space between them."""
    size = isqrt(len(grid))
    return " ".join([grid[i : i + size] for i in range(0, len(grid), size)])


def unwritten(text: str) -> str:
    """The grid that ``text`` writes; empty where its rows are not as many as long."""
    rows = [row for row in text.split(" ") if row]
    return "".join(rows) if all(len(row) == len(rows) for row in rows) else ""


def _blanked(solution: str, cells: Collection[int]) -> Puzzle:
    givens = list(solution)
    for cell in cells:
        givens[cell] = BLANK
    return Puzzle("".join(givens), solution)


def _question(puzzle: Puzzle) -> str:
    return f"Sudoku: {written(puzzle.givens)}"


@cache
def _all_small() -> tuple[str, ...]:
    return tuple(solutions(BLANK * 16))


@cache
def _start(size: int) -> tuple[str, ...]:
    """A solved grid as rows: each is the first one, moved on."""
    box, twice = isqrt(size), DIGITS[:size] * 2
    return tuple(twice[k : k + size] for k in (box * (r % box) + r // box for r in range(size)))


@cache
def _orders(size: int) -> tuple[Callable[[Sequence[str]], tuple[str, ...]], ...]:
    """Every order of the rows (or columns) of a grid that keeps those of a band together."""
    box = isqrt(size)
    within = list(permutations(range(box)))
    bands = product(within, *[within] * box)
    return tuple(
        itemgetter(*(box * band + i for band in order for i in inner[band]))
        for order, *inner in bands
    )


@cache
def _unit_cells(size: int) -> tuple[tuple[int, ...], ...]:
    """The cells of each row, column and box."""
    box, span = isqrt(size), range(size)
    rows = [tuple(size * r + c for c in span) for r in span]
    columns = [tuple(size * r + c for r in span) for c in span]
    boxes = [
        tuple(size * (b // box * box + i // box) + b % box * box + i % box for i in span)
        for b in span
    ]
    return (*rows, *columns, *boxes)


@cache
def _units(size: int) -> tuple[Callable[[str], tuple[str, ...]], ...]:
    return tuple(itemgetter(*cells) for cells in _unit_cells(size))


@cache
def _peers(size: int) -> tuple[frozenset[int], ...]:
    """Cell -> the cells that must differ from it."""
    units = _unit_cells(size)
    return tuple(
        frozenset(j for unit in units if i in unit for j in unit) - {i} for i in range(size**2)
    )


@cache
def _rows(size: int) -> re.Pattern[str]:
    return re.compile(rf"(?<![0-9])[1-{size}]{{{size}}}(?![0-9])")
