"""When two query results are the same: rows as a multiset, or as a list where order was asked."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from minirl.envs.sql.safe_sql import BadSql, Row, Rows, Value

Cell: TypeAlias = tuple[str, int | str | bytes]

DIGITS = 10  # two floats are the same if this many significant digits are


def same_result(right: Rows, got: Rows | BadSql, *, ordered: bool) -> bool:
    """Whether ``got`` has the rows of ``right``.

    Rows have to agree in number, columns and every cell; duplicates count, column names do not. A
    number equals a number of the same value, whatever its type (2 and 2.0; floats to
    :data:`DIGITS` digits); a text never equals a number, and NULL only NULL.
    """
    if isinstance(got, BadSql) or got.more or len(got.rows) != len(right.rows):
        return False
    ours, theirs = ([_row(row) for row in rows.rows] for rows in (right, got))
    return ours == theirs if ordered else Counter(ours) == Counter(theirs)


def _row(row: Row) -> tuple[Cell, ...]:
    return tuple(_cell(value) for value in row)


def _cell(value: Value) -> Cell:
    if value is None:
        return ("null", "")
    if isinstance(value, int):
        return ("number", value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 2**53:
            return ("number", int(value))
        rounded = float(f"{value:.{DIGITS}g}")
        near = rounded.is_integer() and abs(rounded) < 2**53
        return ("number", int(rounded)) if near else ("number", repr(rounded))
    return ("text", value) if isinstance(value, str) else ("blob", value)
