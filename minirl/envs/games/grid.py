"""A grid with walls, one goal, and perhaps a key and the door that it opens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

MOVES = ("up", "down", "left", "right")
START, GOAL, KEY, DOOR, WALL, FREE = "AGkD#."

# Where the walker stands (an index into ``cells``), and whether it holds the key.
State: TypeAlias = tuple[int, bool]


@dataclass(frozen=True, slots=True)
class World:
    """``cells`` in reading order with a border of wall all around, ``width`` cells a row."""

    cells: str
    width: int

    @classmethod
    def of(cls, rows: Sequence[str]) -> World:
        """The world that ``rows`` draw, without the border."""
        width = len(rows[0]) + 2
        border = WALL * width
        return cls(border + "".join(f"{WALL}{row}{WALL}" for row in rows) + border, width)

    @property
    def rows(self) -> tuple[str, ...]:
        """The drawing without the border."""
        starts = range(self.width, len(self.cells) - self.width, self.width)
        return tuple(self.cells[i + 1 : i + self.width - 1] for i in starts)

    @property
    def key(self) -> str:
        """The drawing in one line."""
        return "/".join(self.rows)

    def placed(self, marks: Mapping[int, str]) -> World:
        """The same world with other things on some of its cells."""
        cells = list(self.cells)
        for at, mark in marks.items():
            cells[at] = mark
        return World("".join(cells), self.width)

    @property
    def start(self) -> State:
        return self.cells.index(START), False

    @property
    def goal(self) -> int:
        return self.cells.index(GOAL)

    @property
    def offsets(self) -> dict[str, int]:
        """How far each move goes in ``cells``."""
        return {"up": -self.width, "down": self.width, "left": -1, "right": 1}

    def after(self, state: State, move: str) -> State | None:
        """Where one move leads; None where a wall, or the door without the key, is in the way."""
        at = state[0] + self.offsets[move]
        cell = self.cells[at]
        if cell == WALL or (cell == DOOR and not state[1]):
            return None
        return at, state[1] or cell == KEY

    def across(self, at: int) -> tuple[int, int]:
        """(rows down, columns right) from ``at`` to the goal."""
        row, column = divmod(at, self.width)
        goal_row, goal_column = divmod(self.goal, self.width)
        return goal_row - row, goal_column - column


def shortest_path(
    world: World, state: State, order: Iterable[str] = MOVES
) -> tuple[str, ...] | None:
    """The moves of a shortest way to the goal, by breadth-first search; None where there is none.

    Args:
        world: where.
        state: from where.
        order: which moves are tried first; it chooses among several shortest ways.
    """
    cells, goal = world.cells, world.goal
    steps = [(move, world.offsets[move]) for move in order]
    came: dict[State, tuple[State, str] | None] = {state: None}
    queue = [state]
    for here in queue:  # grows while it is read: first in, first out
        at, held = here
        if at == goal:
            return _way(came, here)
        for move, offset in steps:
            cell = cells[at + offset]
            if cell == WALL or (cell == DOOR and not held):
                continue
            there = (at + offset, held or cell == KEY)
            if there not in came:
                came[there] = (here, move)
                queue.append(there)
    return None


def distances(world: World, at: int) -> dict[int, int]:
    """How many moves each cell lies from ``at``, doors open; cells out of reach are left out."""
    cells, offsets = world.cells, tuple(world.offsets.values())
    far = [-1] * len(cells)
    far[at] = 0
    queue = [at]
    for here in queue:
        for offset in offsets:
            there = here + offset
            if far[there] < 0 and cells[there] != WALL:
                far[there] = far[here] + 1
                queue.append(there)
    return {cell: far[cell] for cell in queue}


def _way(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    moves = []
    while (step := came[state]) is not None:
        state, move = step
        moves.append(move)
    return tuple(reversed(moves))


def picture(world: World, state: State, sight: int = 0) -> str:
    """The world as text, a row a line; what lies more than ``sight`` cells away is ``?``.

    The walker stands on its cell as ``A``; its start, a key that is held and a door that can be
    opened with it are free ground. ``sight`` 0 sees everything.
    """
    at, held = state
    here = divmod(at, world.width)
    gone = (START, KEY, DOOR) if held else (START,)

    def cell(row: int, column: int) -> str:
        if (row, column) == here:
            return START
        if sight and max(abs(row - here[0]), abs(column - here[1])) > sight:
            return "?"
        found = world.cells[row * world.width + column]
        return FREE if found in gone else found

    height = len(world.cells) // world.width
    return "\n".join(
        " ".join(cell(row, column) for column in range(1, world.width - 1))
        for row in range(1, height - 1)
    )


def transposed(rows: Sequence[str]) -> tuple[str, ...]:
    """``rows`` with rows and columns exchanged."""
    return tuple(map("".join, zip(*rows, strict=True)))


_FLIPPED = {"up": "down", "down": "up", "left": "left", "right": "right"}
_TRANSPOSED = {"up": "left", "left": "up", "down": "right", "right": "down"}


def symmetries(world: World, moves: Sequence[str]) -> list[tuple[World, tuple[str, ...]]]:
    """The seven other ways to lay the same world, each with ``moves`` as they are there."""
    rows, path = world.rows, tuple(moves)
    found = []
    for turn in range(7):
        if turn % 2:
            rows, path = rows[::-1], tuple(_FLIPPED[m] for m in path)
        else:
            rows, path = transposed(rows), tuple(_TRANSPOSED[m] for m in path)
        found.append((World.of(rows), path))
    return found
