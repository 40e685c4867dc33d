"""Minesweeper: open every cell without a mine; no board asks for a guess."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from math import comb
from random import Random
from typing import ClassVar

from pydantic import Field as Option
from pydantic import model_validator

from minirl.envs.base import EnvConfig, Environment, Episode, Turns, opening
from minirl.envs.games.episode import Answer, GameEpisode, line_decoys
from minirl.envs.games.minefield import (
    CLEAR,
    FIRST,
    MINE,
    Cell,
    Field,
    neighbours,
    picture,
    solution,
    turned,
)
from minirl.envs.recited import recite
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Universe
from minirl.types import Message, Split, Task

LABEL = "Open:"
_CELL = re.compile(r"([1-9]) ([1-9])")

# Two mines, and one cell left to open: fewer than in any task.
EXAMPLE = Field(("o.*", "..*", "..."))
# Of so many boards with a first cell, logic opens more than a block of test tasks; of the 22,800 of
# 4 x 5 cells with 3 mines it may open too few.
ENDLESS_FROM = 50_000


class MinesweeperConfig(EnvConfig):
    rows: int = Option(5, ge=3, le=9)
    """How many rows the board has."""
    columns: int = Option(5, ge=3, le=9)
    """How many columns the board has."""
    mines: int = Option(5, ge=1, le=30)
    """How many mines lie on it."""
    closed: tuple[int, int] = (2, 81)
    """Fewest and most safe cells that are still closed when the game begins."""
    cells_per_turn: int = Option(4, ge=1, le=12)
    """How many cells one turn may open."""
    turns: int = Option(8, ge=1, le=64)
    """Most turns of a game."""
    worked_example: bool = True
    """Show one turn first. The tasks are the same without it."""

    @model_validator(mode="after")
    def _room(self) -> MinesweeperConfig:
        if self.mines > self.rows * self.columns // 2:
            raise ValueError(
                f"{self.mines} mines are too many for {self.rows} x {self.columns} cells; at most "
                "half of them"
            )
        if not 2 <= self.closed[0] <= self.closed[1]:
            raise ValueError(f"closed needs 2 <= low <= high, got {list(self.closed)}")
        return self


@register
class Minesweeper(Environment[MinesweeperConfig]):
    """Open every cell without a mine; logic always suffices."""

    name = "minesweeper"
    Config = MinesweeperConfig
    levels: ClassVar = {
        "1": {
            "rows": 5,
            "columns": 5,
            "mines": 3,
            "closed": (2, 5),
            "cells_per_turn": 3,
            "turns": 3,
        },
        "2": {
            "rows": 5,
            "columns": 5,
            "mines": 4,
            "closed": (4, 9),
            "cells_per_turn": 3,
            "turns": 6,
        },
        "3": {"rows": 5, "columns": 5, "mines": 5, "closed": (8, 20)},
        "4": {"rows": 6, "columns": 6, "mines": 7, "closed": (10, 29), "turns": 10},
        "5": {
            "rows": 8,
            "columns": 8,
            "mines": 10,
            "closed": (12, 51),
            "cells_per_turn": 6,
            "turns": 14,
        },
    }

    def __init__(self, config: MinesweeperConfig, *, level: str | None = None) -> None:
        super().__init__(config, level=level)
        self.max_turns = config.turns

    def task(self, split: Split, index: int) -> Task:
        return self._task(self._universe.pick(split, index), split, index)

    def gold(self, task: Task) -> tuple[str, ...]:
        return self._lines(solution(_field(task)) or ())

    def decoys(self, task: Task) -> Sequence[Turns]:
        field, gold = _field(task), self.gold(task)
        mine, turns = min(field.mines), self.max_turns
        first, right = self._line([field.first]), gold[0].removeprefix(f"{LABEL} ")
        every = [cell for cell in field.cells if cell != field.first]
        digits = {ord("0") + d: 0x0660 + d for d in range(10)}
        return (
            *line_decoys(LABEL, right, _named(mine), turns),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            self._line(every),
            gold[:-1] or "",  # stops before the last cells
            (*gold[:-1], self._line([mine])),
            (self._line([mine]), *gold),
            (*((first,) * turns), *gold),  # already open, turn by turn
            (self._line([mine, *every]),) * turns,
            ("\n".join(gold),) * turns if len(gold) > 1 else "hm",
            (f"{LABEL} {right.translate(digits)}",) * turns,
            (f"{LABEL} 0 0",) * turns,
            (f"{LABEL} {'1' * 300} 1",) * turns,
            (f"{LABEL} {right.replace(' ', '')}",) * turns,
            (f"{LABEL} all safe cells",) * turns,
            (picture(field, field.safe),) * turns,
        )

    def alternatives(self, task: Task) -> Sequence[Turns]:
        rounds, gold = solution(_field(task)) or (), self.gold(task)
        spoken = tuple(f"These hold no mine.\n\n{line} \n" for line in gold)
        backwards = self._lines([tuple(reversed(each)) for each in rounds])
        stumbling = [("hm", *gold)] if len(gold) < self.max_turns else []
        # Backwards, a cell may open with another one before its turn comes in a later line.
        return (spoken, *stumbling, *([backwards] if len(gold) == len(rounds) else []))

    def shifted(self, task: Task, rng: Random) -> tuple[Task, Turns] | None:
        field, gold = _field(task), self.gold(task)
        laid = turned(field, solution(field) or ())
        for other, rounds in rng.sample(laid, len(laid)):
            changed = self._task(other, task.split, task.index)
            if not recite(self, changed, gold).solved:
                return changed, self._lines(rounds)
        return None

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def episode(self, task: Task) -> Episode:
        return _Game(self.config, task.prompt, _field(task), self._form)

    def _task(self, field: Field, split: Split, index: int) -> Task:
        example = None
        if self.config.worked_example:
            cells = [cell for each in solution(EXAMPLE) or () for cell in each]
            example = (_question(EXAMPLE), self._line(cells))
        prompt = opening(self._system, _question(field), example)
        data = {"rows": list(field.rows), "key": "/".join(field.rows)}
        return Task(self.label, split, index, prompt, data)

    def _lines(self, rounds: Sequence[Sequence[Cell]]) -> tuple[str, ...]:
        """One line a turn; what is certain in one round may take several."""
        step = self.config.cells_per_turn
        return tuple(
            self._line(each[i : i + step]) for each in rounds for i in range(0, len(each), step)
        )

    @staticmethod
    def _line(cells: Sequence[Cell]) -> str:
        return f"{LABEL} {', '.join(map(_named, cells))}"

    @property
    def _form(self) -> str:
        if self.config.cells_per_turn == 1:
            return f"Write row and column of one closed cell as the last line, as '{LABEL} 2 1'."
        return (
            f"Write row and column of 1 to {self.config.cells_per_turn} closed cells as the last "
            f"line, as '{LABEL} 2 1, 3 3'."
        )

    @property
    def _system(self) -> str:
        return (
            "Open every cell that holds no mine; opening a mine loses. # is closed, a number says "
            f"how many of its 8 neighbours are mines. {self._form}"
        )

    @cached_property
    def _universe(self) -> Universe[Field]:
        options = self.config
        shape = (options.rows, options.columns, options.mines, options.closed)
        limits = (options.cells_per_turn, options.turns)
        name = f"{self.name} of {(*shape, *limits)}"
        cells = options.rows * options.columns
        endless = cells * comb(cells, options.mines) > ENDLESS_FROM
        return Drawn(name, self._draw, lambda f: "/".join(f.rows), self._is_fair, endless=endless)

    def _is_fair(self, field: Field) -> bool:
        """Whether logic opens the board, in no more turns than there are."""
        rounds = solution(field)
        return bool(rounds) and len(self._lines(rounds or ())) <= self.config.turns

    def _draw(self, rng: Random) -> Field | None:
        options = self.config
        cells = list(product(range(options.rows), range(options.columns)))
        mines = set(rng.sample(cells, options.mines))
        near = neighbours(options.rows, options.columns)
        # A first cell without a mine around it opens a region: else logic has too little to go by.
        firsts = [cell for cell in cells if cell not in mines and near[cell].isdisjoint(mines)]
        if not firsts:
            return None
        marks = {**dict.fromkeys(mines, MINE), rng.choice(firsts): FIRST}
        drawn = "".join(marks.get(cell, CLEAR) for cell in cells)
        width = options.columns
        field = Field(tuple(drawn[i : i + width] for i in range(0, len(drawn), width)))
        low, high = options.closed
        if not low <= len(field.safe) - len(field.opened(field.first)) <= high:
            return None
        return field


class _Game(GameEpisode):
    def __init__(
        self, config: MinesweeperConfig, prompt: tuple[Message, ...], field: Field, form: str
    ) -> None:
        super().__init__(prompt, label=LABEL, form=form, turns=config.turns)
        self._most, self._field = config.cells_per_turn, field
        self._opened = field.opened(field.first)

    def play(self, move: str) -> Answer:
        named = [_CELL.fullmatch(part.strip(" ")) for part in move.split(",")]
        cells = [(int(found[1]) - 1, int(found[2]) - 1) for found in named if found]
        if len(cells) < len(named):
            return self.refused()
        if len(cells) > self._most:
            return self.refused("Those are too many cells.")
        if not all(cell in self._field.cells for cell in cells):
            return self.refused("Not all of that is on the board.")
        if len(set(cells)) < len(cells) or not self._opened.isdisjoint(cells):
            return self.refused("Not all of that is closed.")
        for cell in cells:
            if cell in self._field.mines:
                return Answer(f"opened the mine at {_named(cell)}", over=True)
            self._opened = self._field.opened(cell, self._opened)
            if self._opened == self._field.safe:
                return Answer("opened everything", over=True, won=True)
        return Answer("")

    def view(self) -> str:
        return _view(self._field, self._opened)

    def progress(self) -> float:
        before = len(self._field.opened(self._field.first))
        return (len(self._opened) - before) / (len(self._field.safe) - before)


def _view(field: Field, opened: frozenset[Cell]) -> str:
    left = len(field.safe - opened)
    return f"{picture(field, opened)}\nMines: {len(field.mines)}. Cells to open: {left}."


def _question(field: Field) -> str:
    return _view(field, field.opened(field.first))


def _named(cell: Cell) -> str:
    return f"{cell[0] + 1} {cell[1] + 1}"


def _field(task: Task) -> Field:
    return Field(tuple(task.data["rows"]))
