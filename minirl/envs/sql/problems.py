"""Which questions a level asks, and the proof that its databases tell right queries from wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter
from random import Random

from minirl.envs.sql import joined, nested, one_table
from minirl.envs.sql.asker import Asker, Question
from minirl.envs.sql.domains import SCHEMAS
from minirl.envs.sql.results import same_result
from minirl.envs.sql.safe_sql import BadSql, Rows
from minirl.envs.sql.schema import Database, database
from minirl.envs.universe import Drawn
from minirl.errors import EnvironmentFault

SHOWN = range(5)  # databases of a schema that a policy may see, by seed
HIDDEN = range(1000, 1004)  # and those on which its query is run as well
MOST_ROWS = 40

FAMILIES: dict[int, tuple[Callable[[Asker], Question], ...]] = {
    0: (one_table.filtered, one_table.counted),
    1: (one_table.filtered, one_table.two_conditions, one_table.two_columns),
    2: (
        one_table.counted,
        one_table.aggregated,
        one_table.distinct,
        one_table.ranked,
        one_table.in_order,
        one_table.missing,
        one_table.null_aware,
    ),
    3: (
        joined.items_of_owner,
        joined.pairs,
        joined.joined_total,
        joined.through_three,
        joined.counted_through_three,
    ),
    4: (
        joined.per_category,
        joined.large_groups,
        joined.with_zero,
        joined.largest_groups,
        joined.groups_above,
    ),
    5: (
        nested.above_average,
        nested.above_own_group,
        nested.best_of_each,
        nested.owners_without,
        nested.one_but_not_other,
        nested.second_largest,
    ),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A question about one shown database; ``hidden`` are the seeds of the others."""

    schema: str
    shown: int
    hidden: tuple[int, ...]
    family: str
    question: Question

    @property
    def key(self) -> str:
        """The same question about another shape of the domain is the same problem."""
        return f"{SCHEMAS[self.schema].domain}: {self.question.text}"


@lru_cache(maxsize=len(FAMILIES))
def universe(level: int) -> Drawn[Problem]:
    """The problems of a level; one for the whole process, for their proofs take a second."""
    draw = partial(_draw, level=level)  # from 32 schemas with values of their own: no end of them
    return Drawn(f"sql {level}", draw, attrgetter("key"), is_sound, endless=True)


def _draw(rng: Random, level: int) -> Problem:
    """A question of the level, not yet proved."""
    schema = rng.choice(_NAMES)
    shown, hidden = rng.choice(SHOWN), tuple(rng.sample(HIDDEN, 2))
    family = rng.choice(FAMILIES[level])
    asker = Asker(SCHEMAS[schema], database(SCHEMAS[schema], shown), rng)
    return Problem(schema, shown, hidden, family.__name__, family(asker))


def is_sound(problem: Problem) -> bool:
    """Whether the databases tell every wrong query from the right one.

    Besides, no result is empty, NULL alone or long, and repeating what the shown database
    answers fails on another.

    Raises:
        EnvironmentFault: the question's own queries fail or disagree.
    """
    question = problem.question
    seeds = (problem.shown, *problem.hidden)
    right = [right_rows(problem.schema, seed, question.sql) for seed in seeds]
    if not all(0 < len(rows.rows) <= MOST_ROWS and not _is_null(rows) for rows in right):
        return False
    if same_result(right[0], right[1], ordered=question.ordered):
        return False
    for sql in question.also:
        if not is_right(problem.schema, seeds, question.sql, sql, ordered=question.ordered):
            raise EnvironmentFault(
                f"sql, {problem.family}: two queries that should agree do not",
                expected=question.sql,
                got=sql,
            )
    return not any(
        is_right(problem.schema, seeds, question.sql, sql, ordered=question.ordered)
        for sql in question.wrong
    )


def is_right(schema: str, seeds: tuple[int, ...], right: str, sql: str, *, ordered: bool) -> bool:
    """Whether ``sql`` returns what ``right`` returns, on each of the databases."""
    for seed in seeds:
        rows = right_rows(schema, seed, right)
        got = open_database(schema, seed).query(sql, len(rows.rows) + 1)
        if not same_result(rows, got, ordered=ordered):
            return False
    return True


@lru_cache(maxsize=8192)
def right_rows(schema: str, seed: int, sql: str) -> Rows:
    """The rows of a query of our own.

    Raises:
        EnvironmentFault: it fails.
    """
    rows = open_database(schema, seed).query(sql)
    if isinstance(rows, BadSql):
        raise EnvironmentFault(f"sql: a reference query fails: {rows.reason}", got=sql)
    return rows


def open_database(schema: str, seed: int) -> Database:
    return database(SCHEMAS[schema], seed)


def _is_null(rows: Rows) -> bool:
    return all(value is None for row in rows.rows for value in row)


_NAMES = tuple(SCHEMAS)
