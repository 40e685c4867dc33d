"""Source text of strategies: the gold one, the worked example, and some that must lose."""

from __future__ import annotations

from minirl.envs.strategy_2048.dialect import NAMES

# Board as rows of tile values, whatever form it came in.
_ROWS = {
    "rows": "rows = [list(row) for row in board]",
    "columns": "rows = [[column[i] for column in board] for i in range(len(board))]",
    "flat": (
        "size = int(len(board) ** 0.5)\n"
        "    rows = [board[i * size : (i + 1) * size] for i in range(size)]"
    ),
    "powers": "rows = [[2**k if k else 0 for k in row] for row in board]",
}

# One move ahead: big tiles along a snake from one corner, smooth neighbours, empty cells.
_HELPERS = """\
def slide_left(row):
    out = []
    fresh = False
    for tile in row:
        if tile:
            if out and out[-1] == tile and not fresh:
                out[-1] = 2 * tile
                fresh = True
            else:
                out.append(tile)
                fresh = False
    return out + [0] * (len(row) - len(out))


def turned(rows):
    return [[row[j] for row in rows] for j in range(len(rows))]


def moved(rows, way):
    if way == 2:
        return [slide_left(row) for row in rows]
    if way == 3:
        return [slide_left(row[::-1])[::-1] for row in rows]
    return turned(moved(turned(rows), way + 2))


LOG = {0: 0}
for k in range(1, 18):
    LOG[2**k] = k


def worth(rows):
    size = len(rows)
    total = 0
    for i in range(size):
        for j in range(size):
            tile = LOG[rows[i][j]]
            if tile == 0:
                total += 3
                continue
            place = size * size - i * size - (j if i % 2 == 0 else size - 1 - j)
            total += 0.36 * tile * tile * place / (size * size)
            if j + 1 < size and rows[i][j + 1]:
                total -= abs(tile - LOG[rows[i][j + 1]])
            if i + 1 < size and rows[i + 1][j]:
                total -= abs(tile - LOG[rows[i + 1][j]])
    return total
"""


def winning(function: str, names: str, form: str) -> str:
    """A strategy that looks one move ahead; it does not need to be told the legal moves."""
    return f"""{_HELPERS}

def {function}(board, moves=None):
    {_ROWS[form]}
    best = None
    chosen = None
    for way, name in enumerate({list(NAMES[names])}):
        after = moved(rows, way)
        if after == rows:
            continue
        value = worth(after)
        if best is None or value > best:
            best = value
            chosen = name
    return chosen
"""


def first_legal(function: str) -> str:
    """The simplest strategy that never makes an illegal move, where it is told the legal ones."""
    return f"def {function}(board, moves):\n    return moves[0]"


def constant(function: str, names: str, way: int) -> str:
    """A strategy that always makes one move, and so soon an illegal one."""
    return f"def {function}(board, moves=None):\n    return {NAMES[names][way]!r}"
