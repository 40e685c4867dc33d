"""Queries that a model wrote, run read-only and in bounded time and memory.

A query sees one in-memory copy of a database and may only read it: SQLite's authorizer admits
SELECT, its limits bound texts, expressions and joins, and a budget of virtual-machine steps bounds
the time. What is *not* given: protection against a defect of SQLite itself.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Any, TypeAlias

MAX_CHARS = 1000
MAX_STEPS = 200_000  # of SQLite's virtual machine: some 10 ms
MAX_CELL = 4000  # bytes of one text or row
MAX_ROWS = 1000

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = tuple[Value, ...]

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_CELL,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * MAX_CHARS,  # in bytes
    sqlite3.SQLITE_LIMIT_COLUMN: 32,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 10_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 8,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

# Pure functions of their arguments that cannot make long texts. Without the clock and chance.
_FUNCTIONS = frozenset(
    """abs avg ceil ceiling coalesce count cume_dist dense_rank first_value floor group_concat
    ifnull iif instr lag last_value lead length like lower ltrim max min mod nth_value ntile nullif
    percent_rank rank round row_number rtrim sign substr substring sum total trim typeof
    upper""".split()  # noqa: SIM905
)

_UNPRINTABLE = re.compile(r"[^\t\r\n -~]")

# SQLite copies a common table expression wherever it is named, those inside it included, before
# the step budget runs. These two bounds keep the copies to some thousands.
_NAMED_SELECT = re.compile(r"\bas\s*(?:(?:not\s+)?materialized\s*)?\(", re.IGNORECASE)
_SOURCE = re.compile(r",|\bjoin\b", re.IGNORECASE)
_MAX_NAMED, _MAX_SOURCES = 3, 40


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query returned; ``more`` where it has further rows than were asked for."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class BadSql:
    """A query that was refused or failed, and why, in words that hold nothing but SQLite's own."""

    reason: str


def open_snapshot(snapshot: bytes) -> sqlite3.Connection:
    """A private copy of a database (``Connection.serialize``) in memory, guarded as above."""
    # Without a cache of statements: one used again would go on counting its earlier steps.
    db = sqlite3.connect(
        ":memory:", check_same_thread=False, isolation_level=None, cached_statements=0
    )
    db.deserialize(snapshot)
    db.execute("PRAGMA query_only=ON")
    db.execute("PRAGMA temp_store=MEMORY")
    for limit, value in _LIMITS.items():
        db.setlimit(limit, value)
    tables = frozenset(row[0] for row in db.execute("SELECT name FROM sqlite_master"))
    db.set_authorizer(_Authorizer(tables))
    db.set_progress_handler(_stop, MAX_STEPS)
    return db


def run_query(db: sqlite3.Connection, sql: str, max_rows: int = MAX_ROWS) -> Rows | BadSql:
    """Run one SELECT on a connection of :func:`open_snapshot`; never raises for what it says."""
    fault = _fault(sql)
    if fault is not None:
        return BadSql(fault)
    try:
        cursor = db.execute(sql)
        rows = tuple(cursor.fetchmany(max_rows + 1))
        columns = tuple(name for name, *_ in cursor.description or ())
        cursor.close()
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        reason = "it takes too long" if str(error) == "interrupted" else str(error)
        return BadSql(reason[:200])
    return Rows(columns, rows[:max_rows], len(rows) > max_rows)


class _Authorizer:
    """Admits reading the given tables (and SQLite's list of them) with pure functions."""

    def __init__(self, tables: frozenset[str]) -> None:
        self._tables = tables | {"sqlite_master", "sqlite_schema"}

    def __call__(self, action: int, first: Any, second: Any, *_: Any) -> int:
        if action == sqlite3.SQLITE_SELECT:
            allowed = True
        elif action == sqlite3.SQLITE_READ:
            # A common table expression of which no column is read comes with an empty column.
            allowed = first in self._tables or (second == "" and "_" not in first)
        elif action == sqlite3.SQLITE_FUNCTION:
            allowed = str(second).lower() in _FUNCTIONS
        else:
            allowed = False
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _stop() -> int:
    return 1


def _fault(sql: str) -> str | None:
    if len(sql) > MAX_CHARS:
        return f"the query is longer than {MAX_CHARS} characters"
    if _UNPRINTABLE.search(sql):
        return "only printable ASCII characters are allowed"
    if not sql.lstrip(" \t\r\n(")[:6].lower().startswith(("select", "with")):
        return "only a SELECT is allowed"
    if sql.rstrip().endswith("."):
        return "a query does not end with a full stop"  # SQLite would read "> 5." as a number
    if "--" in sql or "/*" in sql:
        return "comments are not allowed"
    if len(_NAMED_SELECT.findall(sql)) > _MAX_NAMED or len(_SOURCE.findall(sql)) > _MAX_SOURCES:
        return "the query is too complex"
    return None
