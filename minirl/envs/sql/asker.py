"""Questions in words with the query that answers them, and the pieces they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from minirl.envs.sql.safe_sql import Value
from minirl.envs.sql.schema import Column, Database, Schema, Table

_COMPARISONS = {  # words -> operator, the one next to it, the opposite
    "more than": (">", ">=", "<"),
    "at least": (">=", ">", "<="),
    "less than": ("<", "<=", ">"),
    "at most": ("<=", "<", ">="),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its query, wrong queries near it, and other right ones.

    ``ordered``: the rows are asked for in an order, which ``sql`` makes unique.
    """

    text: str
    sql: str
    wrong: tuple[str, ...]
    also: tuple[str, ...] = ()
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition in words (``price is more than 20``), in SQL, and mistaken in SQL."""

    words: str
    sql: str
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Asker:
    """What a question template draws from: one schema, the rows that are shown, chance."""

    schema: Schema
    shown: Database
    rng: Random

    @property
    def owner(self) -> Table:
        return self.schema.tables[0]

    @property
    def item(self) -> Table:
        return self.schema.tables[1]

    @property
    def event(self) -> Table:
        return self.schema.tables[2]

    def labelled(self) -> Table:
        """Mostly the items: they have more columns to ask about."""
        return self.rng.choice((self.owner, self.item, self.item))

    def any_table(self) -> Table:
        return self.rng.choice(self.schema.tables)

    def number(self, table: Table) -> Column:
        return self.rng.choice(table.of("number"))

    def other_number(self, table: Table, column: Column) -> Column:
        return self.rng.choice([c for c in table.of("number") if c is not column])

    def category(self, table: Table) -> Column:
        return self.rng.choice(table.of("category"))

    def filter(self, table: Table, prefix: str = "") -> Filter:
        return self.rng.choice((self.category_filter, self.number_filter))(table, prefix)

    def category_filter(self, table: Table, prefix: str = "") -> Filter:
        column = self.category(table)
        value, other = self.rng.sample(column.choices, 2)
        mistaken = [f"{prefix}{column.name} = {literal(other)}"]
        mistaken.append(f"{prefix}{column.name} <> {literal(value)}")
        mistaken += [
            f"{prefix}{c.name} = {literal(value)}" for c in table.of("category") if c is not column
        ]
        sql = f"{prefix}{column.name} = {literal(value)}"
        return Filter(f"{column.words} is '{value}'", sql, tuple(mistaken))

    def number_filter(self, table: Table, prefix: str = "") -> Filter:
        column = self.number(table)
        value = literal(self.middling(table, column))
        words = self.rng.choice(tuple(_COMPARISONS))
        right, near, opposite = _COMPARISONS[words]
        twin = self.other_number(table, column)
        sql = f"{prefix}{column.name} {right} {value}"
        mistaken = (
            f"{prefix}{column.name} {near} {value}",
            f"{prefix}{column.name} {opposite} {value}",
            f"{prefix}{twin.name} {right} {value}",
        )
        return Filter(f"{column.words} is {words} {value}", sql, mistaken)

    def middling(self, table: Table, column: Column) -> Value:
        """A value that stands in a row, neither among the smallest nor among the largest."""
        values = sorted(self.shown.values(table, column), key=_as_number)
        return self.rng.choice(values[len(values) // 4 : -len(values) // 4])


def literal(value: Value) -> str:
    """``value`` in SQL; the words of the schemas hold no quotes."""
    return f"'{value}'" if isinstance(value, str) else str(value)


def a_or_an(table: Table) -> str:
    """One of its rows, with the article."""
    return f"{'an' if table.one[0] in 'aeiou' else 'a'} {table.one}"


def mistaken(build: Callable[[str], str], condition: Filter) -> tuple[str, ...]:
    """The query with each mistaken form of its condition."""
    return tuple(build(sql) for sql in condition.wrong)


def link(child: Table, parent: Table) -> str:
    """The join condition of two neighbouring tables."""
    return f"{child.name}.{child.only('reference').name} = {parent.name}.{parent.only('key').name}"


def false_link(child: Table, parent: Table) -> str:
    """The join on the two keys, which means nothing."""
    return f"{child.name}.{child.only('key').name} = {parent.name}.{parent.only('key').name}"


def _as_number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
