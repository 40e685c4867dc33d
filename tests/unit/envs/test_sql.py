"""Text to SQL: proved questions, results compared as they should be, cheats that fail."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minirl.envs import make_env, recite
from minirl.envs.sql.domains import SCHEMAS
from minirl.envs.sql.env import EXAMPLES
from minirl.envs.sql.explore import example_session
from minirl.envs.sql.problems import FAMILIES, HIDDEN, SHOWN, universe
from minirl.envs.sql.results import same_result
from minirl.envs.sql.safe_sql import BadSql, Row, Rows
from minirl.envs.sql.schema import EMPTY_OWNERS, database
from minirl.envs.tool_calls import tool_call_text
from minirl.types import Message

LEVELS = ("0", "1", "2", "3", "4", "5")

cells = st.sampled_from([0, 1, 2, 2.0, 0.1 + 0.2, 0.3, -1, "1", "", "a", None, b"a", 1e300])
tables = st.lists(st.tuples(cells, cells), max_size=4)


def rows(*found: Row) -> Rows:
    return Rows((), found)


def same_cell(a: object, b: object) -> bool:
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    if numbers:
        return math.isclose(a, b, rel_tol=1e-9)  # type: ignore[arg-type]
    return type(a) is type(b) and a == b


def brute_force(right: Sequence[Row], got: Sequence[Row], ordered: bool) -> bool:
    """Every order of the rows tried, cell by cell."""
    orders = [tuple(got)] if ordered else itertools.permutations(got)
    return len(right) == len(got) and any(
        all(
            len(a) == len(b) and all(map(same_cell, a, b))
            for a, b in zip(right, order, strict=True)
        )
        for order in orders
    )


# How slowly a busy machine draws its examples is no matter here.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(tables, tables, st.booleans(), st.randoms())
def test_results_are_compared_as_by_brute_force(right, other, ordered, rng) -> None:  # type: ignore[no-untyped-def]
    shuffled = rng.sample(right, len(right))
    for got in (other, right, shuffled, shuffled[1:], [*shuffled, *shuffled[:1]]):
        expected = brute_force(right, got, ordered)
        assert same_result(rows(*right), rows(*got), ordered=ordered) == expected


@pytest.mark.parametrize(
    ("right", "got", "same"),
    [
        (rows((1,)), rows((1.0,)), True),
        (rows((1,)), rows(("1",)), False),
        (rows((None,)), rows((0,)), False),
        (rows((None,)), rows(("",)), False),
        (rows((1,)), rows((1, 1)), False),
        (rows((1,), (1,)), rows((1,)), False),
        (rows((1,)), Rows((), ((1,),), more=True), False),
        (rows(), rows(), True),
        (rows((1.0,)), rows((math.inf,)), False),
        (rows((1 / 3,)), rows((0.33333333333,)), True),
        (rows((1 / 3,)), rows((0.3333,)), False),
        (rows((2**62,)), rows((2**62 + 1,)), False),
        (rows((1,)), BadSql("no"), False),
    ],
)
def test_when_results_are_the_same(right: Rows, got: Rows | BadSql, same: bool) -> None:
    assert same_result(right, got, ordered=False) is same


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_keeps_its_promises(level: str) -> None:
    env = make_env(f"sql:{level}")
    for i in range(12):
        task = env.task("test", i)
        gold = env.gold(task)
        assert recite(env, task, gold).solved, task
        assert all(recite(env, task, turns).solved for turns in env.alternatives(task))
        for turns in env.decoys(task):
            assert recite(env, task, turns).value == 0.0, (task, turns)


def test_every_family_is_asked_and_every_query_is_within_the_limits() -> None:
    for level in LEVELS:
        env = make_env(f"sql:{level}")
        tasks = [env.task("train", i) for i in range(250)]
        assert {t.data["family"] for t in tasks} == {f.__name__ for f in FAMILIES[int(level)]}
        assert all(env.score(t, f"Answer: {t.data['sql']}").solved for t in tasks)
        assert len({t.data["schema"] for t in tasks}) == len(SCHEMAS)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_no_level_runs_out_of_questions(level: str) -> None:
    assert make_env(f"sql:{level}").size("test") is None
    assert universe(int(level)).size("test") is None


def test_a_copied_result_is_right_on_the_shown_database_only() -> None:
    env = make_env("sql:1")
    for i in range(20):
        task = env.task("train", i)
        schema = SCHEMAS[task.data["schema"]]
        shown = database(schema, task.data["shown"])
        right = shown.query(task.data["sql"])
        assert isinstance(right, Rows)
        values = ", ".join(f"({', '.join(map(repr, row))})" for row in right.rows)
        copied = f"SELECT * FROM (VALUES {values})"
        assert len(copied) < 1000
        if values.count(",") <= 40:
            assert same_result(right, shown.query(copied), ordered=False)
        assert not env.score(task, f"Answer: {copied}").solved


def test_an_order_counts_where_it_is_asked_and_only_there() -> None:
    env = make_env("sql:2")
    tasks = [env.task("train", i) for i in range(200)]
    for task in tasks:
        sql = task.data["sql"]
        turned = f"SELECT * FROM ({sql}) ORDER BY 1 DESC"
        again = f"SELECT * FROM ({turned}) ORDER BY 1"
        solved = [env.score(task, f"Answer: {q}").solved for q in (turned, again)]
        assert all(solved) if not task.data["ordered"] else not all(solved)
    assert {t.data["ordered"] for t in tasks} == {False, True}


def test_the_tools_show_the_database_and_a_query_its_mistake() -> None:
    env = make_env("sql:3")
    task = env.task("train", 0)
    schema = SCHEMAS[task.data["schema"]]
    episode = env.episode(task)
    first = schema.tables[0]

    def told(name: str, **arguments: object) -> str:
        step = episode.step(Message("assistant", tool_call_text(name, **arguments)))
        return step.messages[0].content

    assert told("list_tables") == f"Result: {', '.join(t.name for t in schema.tables)}"
    described = told("describe_table", table=first.name)
    assert all(f"{c.name} {c.sql_type}" in described for c in first.columns)
    assert told("describe_table", table="x").startswith("Error: no such table; there are: ")
    assert told("run_query", query=f"SELECT id_ FROM {first.name}") == (
        "Error: no such column: id_"
    )
    assert told("run_query", query="DELETE FROM x") == "Error: only a SELECT is allowed"
    counted = told("run_query", query=f"SELECT COUNT(*) AS n FROM {first.name}")
    rows = database(schema, task.data["shown"]).rows[first.name]
    assert counted == f"Result: n\n{len(rows)}"
    many = told("run_query", query=f"SELECT 1 FROM {schema.tables[2].name}")
    assert many.endswith("(more rows; the first 10 are shown)")


def test_the_schema_stands_in_the_prompt_only_where_it_should() -> None:
    for level, shown in (("1", True), ("2", True), ("3", False)):
        task = make_env(f"sql:{level}").task("train", 0)
        names = SCHEMAS[task.data["schema"]].text.splitlines()
        assert all(line in task.prompt[-1].content for line in names) is shown
    assert "run_query" not in str(make_env("sql:1").task("train", 0).prompt)


def test_level_0_shows_the_one_table_that_is_asked_about() -> None:
    env = make_env("sql:0")
    for i in range(50):
        task = env.task("train", i)
        tables = {t.name: t.text for t in SCHEMAS[task.data["schema"]].tables}
        head, shown, question = task.prompt[-1].content.split("\n")
        assert (head, question) == ("Tables:", task.data["question"])
        name = task.data["sql"].partition(" FROM ")[2].partition(" ")[0]
        assert shown == tables[name]
        every = make_env("sql:0", {"only_used_tables": False}).task("train", i)
        assert every.prompt[-1].content.split("\n")[1:-1] == list(tables.values())
        assert every.data == task.data


@pytest.mark.parametrize("level", ["0", "1", "3"])
def test_every_worked_example_is_right_about_its_database(level: str) -> None:
    env = make_env(f"sql:{level}", {"more_examples": 3})
    *before, _ = env.task("train", 0).prompt
    asked = [m.content for m in before if m.role == "user" and not m.content.startswith("Result: ")]
    assert [text.splitlines()[-1] for text in asked] == [question for question, _ in EXAMPLES]
    rows = [example_session().database.query(sql) for _, sql in EXAMPLES]
    assert [r.rows for r in rows if isinstance(r, Rows)] == [
        (("apple",), ("cherry",)), ((2,),), (("plum",), ("cherry",)), ((1,),)
    ]  # fmt: skip
    answers = [m.content for m in before if m.content.startswith("Answer: ")]
    assert answers == [f"Answer: {sql}" for _, sql in EXAMPLES]


def test_databases_are_pure_and_hold_what_the_questions_need() -> None:
    for schema in SCHEMAS.values():
        db = database(schema, SHOWN[0])
        database.cache_clear()
        assert database(schema, SHOWN[0]).rows == db.rows
        assert database(schema, HIDDEN[0]).rows != db.rows
        owner, item, event = schema.tables
        owned = {row[item.only("reference").name] for row in db.rows[item.name]}
        assert len(db.rows[owner.name]) - len(owned) >= EMPTY_OWNERS
        for table in schema.tables:
            assert len(table.of("number")) >= 2
            assert len(table.of("number", nullable=True)) >= 1
            assert table.of("category")
            asked = db.query(f"SELECT * FROM {table.name}")
            assert isinstance(asked, Rows)
            assert [dict(zip(asked.columns, r, strict=True)) for r in asked.rows] == (
                db.rows[table.name]
            )
        assert len(db.values(item, item.only("label"))) == len(
            set(db.values(item, item.only("label")))
        )
        assert event.only("reference").refers_to == f"{item.name}.{item.only('key').name}"


def test_a_query_in_the_text_is_lenient_and_not_paid() -> None:
    env = make_env("sql:1")
    task = env.task("train", 0)
    score = env.score(task, f"Here it is:\n```sql\n{task.data['sql']};\n```")
    assert (score.value, score.parts["lenient"]) == (0.0, 1.0)
