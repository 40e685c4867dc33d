"""Database schemas and the databases that stand on them, all from seeds."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from random import Random
from threading import Lock
from typing import Literal

from minirl.envs.base import task_rng
from minirl.envs.sql.safe_sql import MAX_ROWS, BadSql, Rows, Value, open_snapshot, run_query

Kind = Literal["key", "label", "category", "number", "reference"]

NULL_SHARE = 0.25  # of a column that may be empty
EMPTY_OWNERS = 2  # owners that own nothing


@dataclass(frozen=True, slots=True)
class Column:
    """A column: how it is spoken of, and what its values are drawn from."""

    name: str
    kind: Kind
    words: str = ""
    choices: tuple[str | int | float, ...] = ()
    is_nullable: bool = False
    refers_to: str = ""  # the table whose key a reference holds

    @property
    def sql_type(self) -> str:
        if self.kind in ("label", "category"):
            return "TEXT"
        return "REAL" if any(isinstance(c, float) for c in self.choices) else "INTEGER"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; ``one`` and ``many`` are the words for its rows."""

    name: str
    one: str
    many: str
    columns: tuple[Column, ...]

    def of(self, kind: Kind, *, nullable: bool = False) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.kind == kind and c.is_nullable == nullable)

    def only(self, kind: Kind) -> Column:
        """The one column of a kind that a table has once (key, label, reference)."""
        (column,) = self.of(kind)
        return column

    @property
    def text(self) -> str:
        """The table as a prompt shows it."""
        return f"{self.name}({', '.join(map(_shown, self.columns))})"

    @property
    def ddl(self) -> str:
        return f"CREATE TABLE {self.name} ({', '.join(map(_declared, self.columns))})"


@dataclass(frozen=True, eq=False)
class Schema:
    """Owners own items, items have events: ``tables`` in this order, each referring to the one
    before. Compared by identity, for each stands once in ``domains.SCHEMAS``.
    """

    name: str
    domain: str
    tables: tuple[Table, ...]

    @property
    def text(self) -> str:
        return "\n".join(table.text for table in self.tables)

    def table(self, name: str) -> Table | None:
        return next((t for t in self.tables if t.name.lower() == name.lower()), None)


@dataclass(frozen=True)
class Database:
    """The rows of one database, and its image for ``Connection.deserialize``."""

    snapshot: bytes
    rows: dict[str, list[dict[str, Value]]]
    _turn: Lock = field(default_factory=Lock)

    def query(self, sql: str, max_rows: int = MAX_ROWS) -> Rows | BadSql:
        """Run a query that a model wrote. All share one connection: none can leave a trace."""
        with self._turn:
            return run_query(self._guarded, sql, max_rows)

    @cached_property
    def _guarded(self) -> sqlite3.Connection:
        return open_snapshot(self.snapshot)

    def values(self, table: Table, column: Column) -> list[Value]:
        """The values of a column, without NULL, in the order of the rows."""
        found = (row[column.name] for row in self.rows[table.name])
        return [value for value in found if value is not None]


@lru_cache(maxsize=1024)
def database(schema: Schema, seed: int) -> Database:
    """The database number ``seed`` of a schema: a pure function of both."""
    rng = task_rng("sql", schema.name, seed)
    rows: dict[str, list[dict[str, Value]]] = {}
    counts = (rng.randint(8, 11), rng.randint(24, 34), rng.randint(50, 70))
    above: list[Value] = []
    for place, (table, count) in enumerate(zip(schema.tables, counts, strict=False)):
        usable = above[:-EMPTY_OWNERS] if place else above
        rows[table.name] = _fill(table, count, usable, rng)
        above = [row[table.only("key").name] for row in rows[table.name]]
        rng.shuffle(above)
    return Database(image(schema.tables, rows), rows)


def image(tables: Sequence[Table], rows: dict[str, list[dict[str, Value]]]) -> bytes:
    """The bytes of a database with these rows."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("PRAGMA page_size=1024")
    for table in tables:
        db.execute(table.ddl)
        marks = ", ".join("?" * len(table.columns))
        db.execute("BEGIN")
        db.executemany(
            f"INSERT INTO {table.name} VALUES ({marks})",
            [tuple(row.values()) for row in rows[table.name]],
        )
        db.execute("COMMIT")
    snapshot = db.serialize()
    db.close()
    return snapshot


def _fill(table: Table, count: int, above: list[Value], rng: Random) -> list[dict[str, Value]]:
    columns: dict[str, Sequence[Value]] = {}
    for column in table.columns:
        if column.kind == "key":
            columns[column.name] = range(1, count + 1)
        elif column.kind == "label":
            columns[column.name] = rng.sample(column.choices, count)
        elif column.kind == "reference":
            columns[column.name] = rng.choices(above, k=count)
        else:
            drawn: list[Value] = list(rng.choices(column.choices, k=count))
            if column.is_nullable:
                drawn = [None if rng.random() < NULL_SHARE else value for value in drawn]
            columns[column.name] = drawn
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _shown(column: Column) -> str:
    return column.name + (f" -> {column.refers_to}" if column.refers_to else "")


def _declared(column: Column) -> str:
    key = " PRIMARY KEY" if column.kind == "key" else ""
    must = "" if column.is_nullable or key else " NOT NULL"
    return f"{column.name} {column.sql_type}{key}{must}"
