"""The game 2048 on a square board: pure functions, random state passed in.

A board is a tuple of rows of tile values, 0 where empty.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import Literal, TypeAlias

Board: TypeAlias = tuple[tuple[int, ...], ...]
Move = Literal["up", "down", "left", "right"]
MOVES: tuple[Move, ...] = ("up", "down", "left", "right")


def start(size: int, tiles: int, fours: float, rng: Random) -> Board:
    """A board with ``tiles`` tiles; each is a 4 with probability ``fours``, else a 2."""
    board: Board = ((0,) * size,) * size
    for _ in range(tiles):
        board = spawn(board, fours, rng)
    return board


def spawn(board: Board, fours: float, rng: Random) -> Board:
    """``board`` with one more tile on an empty cell; there must be one."""
    size = len(board)
    empty = [i for i in range(size * size) if board[i // size][i % size] == 0]
    row, column = divmod(rng.choice(empty), size)
    tile = 4 if rng.random() < fours else 2
    changed = (*board[row][:column], tile, *board[row][column + 1 :])
    return (*board[:row], changed, *board[row + 1 :])


def slide(board: Board, move: Move) -> Board:
    """``board`` after the tiles slid and merged; equal to ``board`` where nothing moves."""
    if move == "left":
        return tuple(_to_left(row) for row in board)
    if move == "right":
        return tuple(_to_left(row[::-1])[::-1] for row in board)
    columns = tuple(zip(*board, strict=True))
    return tuple(zip(*slide(columns, "left" if move == "up" else "right"), strict=True))


def legal(board: Board) -> tuple[Move, ...]:
    """The moves that change ``board``, in the order of :data:`MOVES`."""
    return tuple(move for move in MOVES if slide(board, move) != board)


def largest(board: Board) -> int:
    """The largest tile."""
    return max(map(max, board))


@lru_cache(maxsize=65536)
def _to_left(row: tuple[int, ...]) -> tuple[int, ...]:
    merged: list[int] = []
    fresh = False  # whether the last tile is the product of a merge in this move
    for tile in filter(None, row):
        if merged and merged[-1] == tile and not fresh:
            merged[-1] = 2 * tile
            fresh = True
        else:
            merged.append(tile)
            fresh = False
    return (*merged, *(0,) * (len(row) - len(merged)))
