"""The environment: look at a database, then answer with a query that is run on others, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

from pydantic import Field

from minirl.envs.base import Environment, Turns
from minirl.envs.registry import register
from minirl.envs.sql.domains import SCHEMAS
from minirl.envs.sql.explore import TOOLS, Session, example_session
from minirl.envs.sql.problems import (
    is_right,
    open_database,
    right_rows,
    universe,
)
from minirl.envs.sql.schema import Table
from minirl.envs.tool_calls import tool_call_text
from minirl.envs.tools import ToolConfig, ToolEpisode, Toolset, tool_preface
from minirl.rewards.answer import BLANK, LABEL, score_answer, slot_decoys
from minirl.types import Message, Score, Split, Task

RULE = (
    f"Answer the question with one SQLite query. Give it on the last line as '{LABEL} SELECT ...'. "
    "Select the columns in the order in which the question names them, and no others."
)
EXAMPLES = (  # about the fruits of example_session(), in the order in which they are shown
    (
        "List the name of every fruit whose colour is 'red'.",
        "SELECT name FROM fruits WHERE colour = 'red'",
    ),
    (
        "How many fruits are there whose weight in grams is at least 40?",
        "SELECT COUNT(*) FROM fruits WHERE grams >= 40",
    ),
    (
        "List the name of every fruit whose weight in grams is less than 50.",
        "SELECT name FROM fruits WHERE grams < 50",
    ),
    (
        "How many fruits are there whose colour is 'blue'?",
        "SELECT COUNT(*) FROM fruits WHERE colour = 'blue'",
    ),
)
_LENIENT_CHARS = 2000


class SqlConfig(ToolConfig):
    difficulty: int = Field(1, ge=0, le=5)
    """What is asked: 0 rows or their number by one condition, 1 filters, 2 aggregates, order and
    NULL, 3 joins, 4 groups, 5 nested queries.
    """
    show_schema: bool = True
    """Whether the prompt holds the tables and columns; else they have to be looked up."""
    only_used_tables: bool = False
    """Of the schema, show in the prompt only the tables that the question is about."""
    max_turns: int = Field(1, ge=1, le=64)
    """How often the model may speak, the final answer included; with 1 there are no tools."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""
    more_examples: int = Field(0, ge=0, le=3)
    """How many further solved problems follow the first."""


@register
class Sql(Environment[SqlConfig]):
    """Text to SQL on real SQLite databases: look at the schema, run queries, answer with one.

    The answer is run on the shown database and on two hidden ones of the same schema with other
    rows. Rows count as a multiset, and as a list where the question asks for an order.

    Rows decide and not wording, so the audit notes two things: capitals matter in quoted texts
    alone (``other_case``), and ``rating > 2.59`` is right for 2.5 where ratings have one decimal
    (``neighbours``).
    """

    name = "sql"
    Config = SqlConfig
    max_turns = 8
    levels: ClassVar = {
        "0": {"difficulty": 0, "only_used_tables": True, "more_examples": 3},
        "1": {},
        "2": {"difficulty": 2, "max_turns": 4},
        "3": {"difficulty": 3, "max_turns": 8, "show_schema": False},
        "4": {"difficulty": 4, "max_turns": 8, "show_schema": False},
        "5": {"difficulty": 5, "max_turns": 10, "show_schema": False},
    }

    def __init__(self, config: SqlConfig, *, level: str | None = None) -> None:
        super().__init__(config, level=level)
        self.max_turns = config.max_turns
        self._has_tools = config.max_turns > 1
        self._native = self._has_tools and config.tool_format == "template"

    def task(self, split: Split, index: int) -> Task:
        problem = universe(self.config.difficulty).pick(split, index)
        tables = SCHEMAS[problem.schema].tables
        if self.config.only_used_tables:
            tables = _used(tables, problem.question.sql)
        question = self._asked(tables, problem.question.text)
        data = {
            "schema": problem.schema,
            "shown": problem.shown,
            "hidden": list(problem.hidden),
            "family": problem.family,
            "question": problem.question.text,
            "sql": problem.question.sql,
            "ordered": problem.question.ordered,
            "wrong": list(problem.question.wrong),
            "also": list(problem.question.also),
            "key": problem.key,
        }
        return Task(self.label, split, index, (*self._preface, Message("user", question)), data)

    def episode(self, task: Task) -> ToolEpisode[Session]:
        schema, shown = task.data["schema"], task.data["shown"]
        session = Session(SCHEMAS[schema], open_database(schema, shown))
        toolset = TOOLS if self._has_tools else Toolset[Session](())

        def judge(_: Session, text: str) -> Score:
            return self.score(task, text)

        return ToolEpisode(task, toolset, session, judge, native=self._native)

    def score(self, task: Task, text: str) -> Score:
        """Judge the last turn."""

        def accepts(sql: str) -> bool:
            return _solves(task.data, sql)

        return score_answer(text, accepts, lenient=lambda whole: accepts(_last_select(whole)))

    def gold(self, task: Task) -> Turns:
        answer = f"{LABEL} {task.data['sql']}"
        if not self._has_tools:
            return answer
        calls = []
        if not self.config.show_schema:
            used = _used(SCHEMAS[task.data["schema"]].tables, task.data["sql"])
            calls = [tool_call_text("list_tables")]
            calls += [tool_call_text("describe_table", table=t.name) for t in used]
        calls.append(tool_call_text("run_query", query=task.data["sql"]))
        return (*calls, answer)

    def alternatives(self, task: Task) -> Sequence[Turns]:
        small = _recased(task.data["sql"], str.lower)
        large = _recased(task.data["sql"], str.upper)
        return [f"{LABEL} {sql}" for sql in (*task.data["also"], small, large)]

    def decoys(self, task: Task) -> Sequence[Turns]:
        sql, wrong = task.data["sql"], task.data["wrong"]
        rows = right_rows(task.data["schema"], task.data["shown"], sql).rows
        copied = ", ".join(f"({', '.join(map(_quoted, row))})" for row in rows)
        query = tool_call_text("run_query", query=sql)
        return (
            *slot_decoys(sql, wrong[0]),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            *(turns[-1] for _, _, turns in self._shown),  # an example, copied
            *(f"{LABEL} {mistaken}" for mistaken in wrong),
            f"{LABEL} SELECT * FROM (VALUES {copied})",  # what the shown database answers
            f"{LABEL} {', '.join(str(value) for row in rows for value in row)}",
            f"{LABEL} SELECT * FROM ({sql}) WHERE 0",
            f"{LABEL} SELECT *, 1 FROM ({sql})",
            f"{LABEL} SELECT * FROM ({sql}) UNION ALL SELECT * FROM ({sql})",
            f"{LABEL} {sql}; SELECT 1",
            f"{LABEL} EXPLAIN {sql}",
            f"{LABEL} ```{sql}```",
            f"{LABEL} {sql} -- as asked",
            query,  # looked up, and not answered
            f"{query}\n{LABEL} {sql}",  # an answer beside a call is not final
        )

    def size(self, split: Split) -> int | None:
        """None without looking: a level has many thousands of questions."""
        return None

    @cached_property
    def _preface(self) -> tuple[Message, ...]:
        return tool_preface(
            RULE,
            TOOLS if self._has_tools else Toolset[Session](()),
            native=self._native,
            examples=self._shown if self.config.worked_example else [],
        )

    @cached_property
    def _shown(self) -> list[tuple[str, Session, list[str]]]:
        """The worked examples: the question of each, its database, and the turns that solve it."""
        session = example_session()
        before: list[str] = []
        if not self.config.show_schema:
            table = tool_call_text("describe_table", table="fruits")
            before = [tool_call_text("list_tables"), table]
        shown = []
        for question, sql in EXAMPLES[: 1 + self.config.more_examples]:
            query = [tool_call_text("run_query", query=sql)] if self._has_tools else []
            asked = self._asked(session.schema.tables, question)
            shown.append((asked, session, [*before, *query, f"{LABEL} {sql}"]))
        return shown

    def _asked(self, tables: Sequence[Table], question: str) -> str:
        if not self.config.show_schema:
            return question
        return "\n".join(("Tables:", *(table.text for table in tables), question))


def _solves(data: Any, sql: str) -> bool:
    seeds = (data["shown"], *data["hidden"])
    return is_right(data["schema"], seeds, data["sql"], sql, ordered=data["ordered"])


def _last_select(text: str) -> str:
    """From the last line with a SELECT on, as far as it might be the query."""
    lines = text[-_LENIENT_CHARS:].splitlines()
    for line in reversed(lines):
        at = line.lower().find("select")
        if at >= 0:
            return line[at:].strip(BLANK + "`;")
    return ""


def _recased(sql: str, change: Callable[[str], str]) -> str:
    """``sql`` in other letters but for its values: capitals mean nothing in a query."""
    parts = sql.split("'")
    return "'".join(part if i % 2 else change(part) for i, part in enumerate(parts))


def _used(tables: Sequence[Table], sql: str) -> tuple[Table, ...]:
    words = f" {sql.replace('.', ' ')} "
    return tuple(table for table in tables if f" {table.name} " in words)


def _quoted(value: object) -> str:
    return "NULL" if value is None else repr(value)
