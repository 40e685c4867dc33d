"""How one task words the game: the name of the function, of the moves, the form of the board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minirl.envs.strategy_2048.game import MOVES, Board, Move

FUNCTIONS = ("strategy", "choose_move", "next_move", "play", "decide", "best_move")
EXAMPLE_FUNCTION = "example"  # never asked for, so that copying the example does not pay

# In the order of MOVES: up, down, left, right.
NAMES: Mapping[str, tuple[str, ...]] = {
    "words": ("up", "down", "left", "right"),
    "capitals": ("UP", "DOWN", "LEFT", "RIGHT"),
    "WASD": ("W", "S", "A", "D"),
    "wasd": ("w", "s", "a", "d"),
    "letters": ("U", "D", "L", "R"),
    "compass": ("north", "south", "west", "east"),
    "digits": ("0", "2", "3", "1"),
}

FORMS: Mapping[str, str] = {
    "rows": "a list of rows from top to bottom, each a list of tile values from left to right, "
    "with 0 for an empty cell",
    "columns": "a list of columns from left to right, each a list of tile values from top to "
    "bottom, with 0 for an empty cell",
    "flat": "a list of all tile values, row by row from the top left, with 0 for an empty cell",
    "powers": "a list of rows from top to bottom, each a list from left to right, where a tile of "
    "value 2 ** k is written as k and an empty cell as 0",
}


def shown(board: Board, form: str) -> list[Any]:
    """``board`` as the strategy sees it."""
    if form == "columns":
        return [list(column) for column in zip(*board, strict=True)]
    if form == "flat":
        return [tile for row in board for tile in row]
    if form == "powers":
        return [[max(tile.bit_length() - 1, 0) for tile in row] for row in board]
    return [list(row) for row in board]


def move_named(name: object, names: str) -> Move | None:
    """The move that the strategy's answer stands for; None for anything but an exact name."""
    known = NAMES[names]
    return MOVES[known.index(name)] if type(name) is str and name in known else None
