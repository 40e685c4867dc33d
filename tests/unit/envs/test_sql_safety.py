"""Queries that a model wrote: contained, bounded, and without a trace."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.envs import make_env
from minirl.envs.sql.domains import SCHEMAS
from minirl.envs.sql.safe_sql import BadSql, Rows
from minirl.envs.sql.schema import Database, database

SECONDS = 2.0  # of processor time; an honest query takes a thousandth

CROSS = ", ".join(f"loan l{i}" for i in range(8))
DOUBLING = "WITH a AS (SELECT 1)" + "".join(
    f", {y} AS (SELECT 1 FROM {', '.join([x] * 12)})"
    for x, y in zip("abcdefg", "bcdefgh", strict=True)
)
HOSTILE = (
    "",
    ";",
    "SELECT",
    "SELECT * FROM nowhere",
    "SELECT 1; DROP TABLE book",
    "INSERT INTO author VALUES (99, 'x', 'x', 1, 1, 1)",
    "UPDATE book SET title = 'x'",
    "DELETE FROM book",
    "REPLACE INTO author VALUES (1)",
    "DROP TABLE book",
    "ALTER TABLE book RENAME TO b",
    "CREATE TABLE t (x)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE TRIGGER t AFTER INSERT ON book BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE t USING fts5(x)",
    "CREATE VIEW v AS SELECT 1",
    "ATTACH DATABASE '/tmp/minirl.db' AS x",
    "ATTACH ':memory:' AS x",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '/tmp/minirl.db'",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA temp_store_directory = '/tmp'",
    "BEGIN",
    "SAVEPOINT x",
    "REINDEX",
    "ANALYZE",
    "EXPLAIN SELECT 1",
    "VALUES (1), (2)",
    "SELECT load_extension('/tmp/x.so')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/x', 'x')",
    "SELECT edit('x')",
    "SELECT random()",
    "SELECT title FROM book ORDER BY random()",
    "SELECT randomblob(1000000000)",
    "SELECT zeroblob(1000000000)",
    "SELECT printf('%.*c', 1000000000, 'x')",
    "SELECT format('%999999999d', 1)",
    "SELECT replace(hex(title), '4', '44444444') FROM book",
    "SELECT quote(title) FROM book",
    "SELECT datetime('now')",
    "SELECT date()",
    "SELECT strftime('%s', 'now')",
    "SELECT julianday()",
    "SELECT unixepoch()",
    "SELECT current_timestamp",
    "SELECT CURRENT_DATE",
    "SELECT changes()",
    "SELECT total_changes()",
    "SELECT last_insert_rowid()",
    "SELECT sqlite_version()",
    "SELECT sqlite_compileoption_get(1)",
    "SELECT * FROM pragma_table_info('book')",
    "SELECT count(*) FROM pragma_database_list",
    "SELECT * FROM json_each('[1]')",
    "SELECT count(*) FROM json_each('[1]')",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM sqlite_stmt",
    "SELECT * FROM generate_series(1, 1000000000)",
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c",
    "WITH c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c LIMIT 9999999",
    f"SELECT count(*) FROM {CROSS}",
    f"SELECT l0.id FROM {CROSS} ORDER BY l1.id + l2.id",
    f"SELECT DISTINCT l0.id || l1.id || l2.id FROM {CROSS}",
    f"SELECT group_concat(l0.id) FROM {CROSS}",
    f"SELECT sum(l0.id) OVER (ORDER BY l1.id) FROM {CROSS}",
    f"SELECT max((SELECT count(*) FROM loan a, loan b, loan c WHERE a.id > l0.id)) FROM {CROSS}",
    f"{DOUBLING} SELECT count(*) FROM h",
    f"SELECT 1 FROM {', '.join(['loan'] * 150)}",
    "SELECT 1 WHERE 'a' LIKE '" + "%a" * 300 + "'",
    "SELECT count(*) FROM loan a, loan b, loan c "
    "WHERE a.branch || b.branch || c.branch LIKE '%a%b%c%d%e%f%g%h%i%'",
    "SELECT 1 WHERE 'a' GLOB '" + "*a" * 300 + "'",
    "SELECT " + "(" * 400 + "1" + ")" * 400,
    "SELECT " + "-" * 900 + "1",
    "SELECT " + "not " * 200 + "1",
    "SELECT 1 " + "UNION SELECT 1 " * 60,
    "SELECT " + "9" * 2000,
    "SELECT '" + "x" * 100_000 + "'",
    "SELECT 1 /* a comment */",
    "SELECT 1 -- a comment",
    "SELECT 1\x00",
    "SELECT '\ud800'",
    "SELECT\u00a01",
    "\uff33ELECT 1",
    "SELECT title FROM book \u200b",
    "SELECT ?",
    "SELECT :x",
    "SELECT abs(-9223372036854775808)",
    "SELECT CAST(x'ff' AS TEXT)",
    "SELECT title FROM book WHERE cost > 5.",
)


def library(seed: int = 0) -> Database:
    return database(SCHEMAS["library/0"], seed)


@pytest.mark.parametrize("sql", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_queries_are_refused_in_time_and_leave_the_database_as_it_was(sql: str) -> None:
    db = library()
    before = db.query("SELECT * FROM book")
    started = time.process_time()
    assert isinstance(db.query(sql), BadSql)
    assert time.process_time() - started < SECONDS
    assert db.query("SELECT * FROM book") == before


def test_the_corpus_is_large_and_nothing_of_it_is_paid() -> None:
    env = make_env("sql:1")
    task = env.task("train", 0)
    assert len(set(HOSTILE)) == len(HOSTILE) >= 80
    assert not any(env.score(task, f"Answer: {sql}").solved for sql in HOSTILE)


@pytest.mark.parametrize(
    "sql",
    [
        "select title from book limit 1",
        " SELECT COUNT(*) FROM book b JOIN author a ON b.author_id = a.id;",
        "WITH x AS (SELECT id FROM book) SELECT count(*) FROM x",
        "WITH x AS (SELECT id FROM book), y AS (SELECT * FROM x) SELECT max(y.id) FROM x, y",
        "SELECT title, RANK() OVER (PARTITION BY genre ORDER BY price) FROM book",
        "SELECT title FROM book EXCEPT SELECT name FROM author",
        "SELECT CASE WHEN price > 5 THEN 'dear' ELSE 'cheap' END, upper(title) FROM book",
        "SELECT name FROM sqlite_master",
        "SELECT title FROM book WHERE title LIKE '%e%' OR substr(title, 1, 1) = 'A'",
        "SELECT count(*) FROM book, loan, author",
        "SELECT CAST(price AS REAL) / 3, round(price / 3.0, 1), coalesce(edition, 0) FROM book",
    ],
)
def test_honest_queries_run(sql: str) -> None:
    result = library().query(sql)
    assert isinstance(result, Rows), result
    assert result.rows


def test_rows_are_capped() -> None:
    result = library().query("SELECT a.id FROM loan a, loan b", 10)
    assert isinstance(result, Rows)
    assert (len(result.rows), result.more) == (10, True)


@given(
    st.lists(
        st.sampled_from(
            """select from where book loan author title price id * ( ) , = > 'x' 1 join on and or
            not in exists union all group by having count max limit order with a as null is like
            || - + case when then end distinct over ;""".split()  # noqa: SIM905
        ),
        max_size=30,
    )
)
def test_any_text_is_answered(words: list[str]) -> None:
    started = time.process_time()
    assert isinstance(library().query("select " + " ".join(words)), Rows | BadSql)
    assert time.process_time() - started < SECONDS


def test_threads_share_a_database() -> None:
    queries = [f"SELECT title FROM book WHERE id = {i % 20 + 1}" for i in range(300)]
    alone = [library().query(sql) for sql in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(library().query, queries)) == alone


def test_the_step_budget_starts_anew_with_every_query() -> None:
    """SQLite counts the steps of a prepared statement over all its runs."""
    results = {library().query("SELECT count(*) FROM loan a, loan b") for _ in range(80)}
    assert len(results) == 1
    assert isinstance(results.pop(), Rows)
