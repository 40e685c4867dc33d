"""The tools with which a policy looks at a database, and the worked example's little one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from minirl.envs.sql.safe_sql import BadSql, Rows, Value
from minirl.envs.sql.schema import Column, Database, Schema, Table, image
from minirl.envs.tools import ToolError, Toolset, tool

ROWS_SHOWN = 10
_CELL_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Session:
    """What the tools work on: nothing of it changes."""

    schema: Schema
    database: Database


def list_tables(session: Session) -> str:
    """The names of the tables."""
    return ", ".join(table.name for table in session.schema.tables)


def describe_table(session: Session, table: str) -> str:
    """The columns of a table."""
    found = session.schema.table(table)
    if found is None:
        raise ToolError(f"no such table; there are: {list_tables(session)}")
    return ", ".join(
        f"{c.name} {c.sql_type}" + (f" -> {c.refers_to}" if c.refers_to else "")
        for c in found.columns
    )


def run_query(session: Session, query: Annotated[str, "one SELECT of SQLite"]) -> str:
    """Run a SELECT and show its first rows."""
    result = session.database.query(query, ROWS_SHOWN)
    if isinstance(result, BadSql):
        raise ToolError(result.reason)
    return _table(result)


TOOLS: Toolset[Session] = Toolset((tool(list_tables), tool(describe_table), tool(run_query)))


@lru_cache(maxsize=1)
def example_session() -> Session:
    """A fruit stall, which is no task's domain."""
    fruits = Table(
        "fruits",
        "fruit",
        "fruits",
        (
            Column("id", "key"),
            Column("name", "label", "name"),
            Column("colour", "category", "colour"),
            Column("grams", "number", "weight in grams"),
        ),
    )
    stock = (("apple", "red", 180), ("plum", "blue", 40), ("cherry", "red", 8))
    rows: list[dict[str, Value]] = [
        {"id": i, "name": name, "colour": colour, "grams": grams}
        for i, (name, colour, grams) in enumerate(stock, 1)
    ]
    schema = Schema("example", "example", (fruits,))
    return Session(schema, Database(image(schema.tables, {"fruits": rows}), {"fruits": rows}))


def _table(result: Rows) -> str:
    lines = [" | ".join(result.columns)]
    lines += [" | ".join(map(_shown, row)) for row in result.rows]
    if result.more:
        lines.append(f"(more rows; the first {ROWS_SHOWN} are shown)")
    elif not result.rows:
        lines.append("(no rows)")
    return "\n".join(lines)


def _shown(value: Value) -> str:
    text = "NULL" if value is None else repr(value) if isinstance(value, bytes) else str(value)
    return text if len(text) <= _CELL_SHOWN else text[:_CELL_SHOWN] + "…"
