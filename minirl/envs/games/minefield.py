"""A minefield, and the logic that opens it without a guess."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import TypeAlias

MINE, FIRST, CLEAR, CLOSED = "*o.#"

Cell: TypeAlias = tuple[int, int]  # row and column, from 0


@lru_cache(maxsize=64)
def neighbours(height: int, width: int) -> dict[Cell, frozenset[Cell]]:
    """The up to eight neighbours of each cell of such a board; not to be written to."""
    cells = frozenset(product(range(height), range(width)))
    near = [step for step in product((-1, 0, 1), repeat=2) if step != (0, 0)]
    return {
        (row, column): cells & {(row + down, column + right) for down, right in near}
        for row, column in cells
    }


@dataclass(frozen=True)
class Field:
    """``rows`` draws it: ``*`` a mine, ``o`` the cell that is opened first, ``.`` the others."""

    rows: tuple[str, ...]

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(product(range(len(self.rows)), range(len(self.rows[0]))))

    @cached_property
    def mines(self) -> frozenset[Cell]:
        return frozenset((r, c) for r, c in self.cells if self.rows[r][c] == MINE)

    @cached_property
    def safe(self) -> frozenset[Cell]:
        return frozenset(self.cells) - self.mines

    @cached_property
    def first(self) -> Cell:
        return next((r, c) for r, c in self.cells if self.rows[r][c] == FIRST)

    @cached_property
    def numbers(self) -> dict[Cell, int]:
        """How many mines lie around each safe cell."""
        near, mines = self._around, self.mines
        return {cell: len(near[cell] & mines) for cell in self.cells if cell not in mines}

    def around(self, cell: Cell) -> frozenset[Cell]:
        """The up to eight neighbours."""
        return self._around[cell]

    @cached_property
    def _around(self) -> dict[Cell, frozenset[Cell]]:
        return neighbours(len(self.rows), len(self.rows[0]))

    def opened(self, cell: Cell, already: Iterable[Cell] = ()) -> frozenset[Cell]:
        """What is open once ``cell``, a safe one, is opened too: around a 0 everything opens."""
        found = set(already)
        waiting = [cell]
        while waiting:
            here = waiting.pop()
            if here not in found:
                found.add(here)
                if self.numbers[here] == 0:
                    waiting.extend(self.around(here) - found)
        return frozenset(found)


def picture(field: Field, opened: frozenset[Cell]) -> str:
    """The field as the player sees it, with row and column numbers from 1."""
    width = len(field.rows[0])
    lines = [" ".join([" ", *(str(c + 1) for c in range(width))])]
    for row in range(len(field.rows)):
        shown = (str(field.numbers[row, c]) if (row, c) in opened else CLOSED for c in range(width))
        lines.append(" ".join([str(row + 1), *shown]))
    return "\n".join(lines)


def certain(field: Field, opened: frozenset[Cell]) -> frozenset[Cell]:
    """Closed cells that are proved safe by what is open and by the number of mines.

    Each open number, and the count of all mines, says how many mines a set of closed cells holds.
    A set with none is safe, a full one is all mines, and where one set lies within another, so does
    what is left between them say a number. No mine is looked at. Sound, and not complete: it may
    miss what only a longer argument proves.
    """
    closed = frozenset(field.cells) - opened
    said = {(field.around(cell) & closed, field.numbers[cell]) for cell in opened}
    said.add((closed, len(field.mines)))
    mines: frozenset[Cell] = frozenset()
    safe: frozenset[Cell] = frozenset()
    while True:
        said = {(where - mines - safe, n - len(where & mines)) for where, n in said}
        said.discard((frozenset(), 0))
        between = {
            (large - small, n - m)
            for large, n in said
            for small, m in said
            if small < large and (n == m or n - m == len(large) - len(small))
        }
        more_safe = frozenset().union(*(where for where, n in said | between if n == 0))
        more_mines = frozenset().union(*(where for where, n in said | between if n == len(where)))
        if not more_safe and not more_mines:
            return safe
        safe, mines = safe | more_safe, mines | more_mines


def solution(field: Field) -> tuple[tuple[Cell, ...], ...] | None:
    """Rounds of certainly safe cells that open everything; None where one has to guess.

    The cells of a round are all known to be safe before the first of them is opened; one that opens
    with another of its round is left out.
    """
    opened = field.opened(field.first)
    rounds = []
    while opened != field.safe:
        found = certain(field, opened)
        if not found:
            return None
        needed = []
        for cell in sorted(found):
            if cell not in opened:
                needed.append(cell)
                opened = field.opened(cell, opened)
        rounds.append(tuple(needed))
    return tuple(rounds)


def turned(
    field: Field, rounds: Sequence[Sequence[Cell]]
) -> list[tuple[Field, tuple[tuple[Cell, ...], ...]]]:
    """The seven other ways to lay the same field, each with ``rounds`` as they are there."""
    height, width = len(field.rows), len(field.rows[0])
    found = []
    for swap, down, across in list(product((False, True), repeat=3))[1:]:

        def laid(cell: Cell, swap: bool = swap, down: bool = down, across: bool = across) -> Cell:
            row, column = cell
            row = height - 1 - row if down else row
            column = width - 1 - column if across else column
            return (column, row) if swap else (row, column)

        shape = (width, height) if swap else (height, width)
        drawing = [[""] * shape[1] for _ in range(shape[0])]
        for row, column in field.cells:
            to_row, to_column = laid((row, column))
            drawing[to_row][to_column] = field.rows[row][column]
        rows = tuple("".join(line) for line in drawing)
        found.append((Field(rows), tuple(tuple(map(laid, each)) for each in rounds)))
    return found
