"""Questions about one table: filters (level 1); aggregates, order, DISTINCT and NULL (level 2)."""

from __future__ import annotations

from minirl.envs.sql.asker import Asker, Question, literal, mistaken

_AGGREGATES = {"average": "AVG", "total": "SUM", "largest": "MAX", "smallest": "MIN"}


def filtered(ask: Asker) -> Question:
    table = ask.labelled()
    label, where = table.only("label"), ask.filter(table)

    def build(condition: str) -> str:
        return f"SELECT {label.name} FROM {table.name} WHERE {condition}"

    return Question(
        f"List the {label.words} of every {table.one} whose {where.words}.",
        build(where.sql),
        (
            *mistaken(build, where),
            f"SELECT {label.name} FROM {table.name}",
            f"SELECT * FROM {table.name} WHERE {where.sql}",
            f"SELECT {table.only('key').name} FROM {table.name} WHERE {where.sql}",
        ),
        (f"SELECT t.{label.name} FROM {table.name} AS t WHERE {where.sql};",),
    )


def two_conditions(ask: Asker) -> Question:
    table = ask.labelled()
    label, first, second = table.only("label"), ask.category_filter(table), ask.number_filter(table)
    either = ask.rng.random() < 0.4
    word, other = ("or", "AND") if either else ("and", "OR")

    def build(a: str, b: str, operator: str = word.upper()) -> str:
        return f"SELECT {label.name} FROM {table.name} WHERE {a} {operator} {b}"

    return Question(
        f"List the {label.words} of every {table.one} whose {first.words} {word} whose "
        f"{second.words}.",
        build(first.sql, second.sql),
        (
            build(first.sql, second.sql, other),
            *mistaken(lambda sql: build(sql, second.sql), first),
            *mistaken(lambda sql: build(first.sql, sql), second),
            f"SELECT {label.name} FROM {table.name} WHERE {first.sql}",
            f"SELECT {label.name} FROM {table.name} WHERE {second.sql}",
        ),
        (build(second.sql, first.sql),),
    )


def two_columns(ask: Asker) -> Question:
    table = ask.labelled()
    label, where, number = table.only("label"), ask.filter(table), ask.number(table)

    def build(condition: str, columns: str = f"{label.name}, {number.name}") -> str:
        return f"SELECT {columns} FROM {table.name} WHERE {condition}"

    twin = ask.other_number(table, number)
    return Question(
        f"List the {label.words} and the {number.words} of every {table.one} whose {where.words}.",
        build(where.sql),
        (
            *mistaken(build, where),
            build(where.sql, f"{number.name}, {label.name}"),
            build(where.sql, f"{label.name}, {twin.name}"),
            build(where.sql, label.name),
            build(where.sql, f"{label.name}, {number.name}, {table.only('key').name}"),
        ),
        (build(where.sql, f"{label.name} AS a, {number.name} AS b"),),
    )


def counted(ask: Asker) -> Question:
    table = ask.any_table()
    where, category = ask.filter(table), ask.category(table)

    def build(condition: str, what: str = "COUNT(*)") -> str:
        return f"SELECT {what} FROM {table.name} WHERE {condition}"

    return Question(
        f"How many {table.many} are there whose {where.words}?",
        build(where.sql),
        (
            *mistaken(build, where),
            f"SELECT COUNT(*) FROM {table.name}",
            build(where.sql, f"COUNT(DISTINCT {category.name})"),
            build(where.sql, f"MAX({table.only('key').name})"),
        ),
        (
            build(where.sql, f"COUNT({table.only('key').name})"),
            f"SELECT SUM({where.sql}) FROM {table.name}",
        ),
    )


def aggregated(ask: Asker) -> Question:
    table = ask.any_table()
    where, number = ask.category_filter(table), ask.number(table)
    words = ask.rng.choice(tuple(_AGGREGATES))

    def build(condition: str, function: str = _AGGREGATES[words], column: str = number.name) -> str:
        return f"SELECT {function}({column}) FROM {table.name} WHERE {condition}"

    others = [f for w, f in _AGGREGATES.items() if w != words]
    name = _AGGREGATES[words]
    also = {
        "AVG": f"SELECT SUM({number.name}) * 1.0 / COUNT(*) FROM {table.name} WHERE {where.sql}",
        "SUM": build(where.sql, "TOTAL"),
        "MAX": f"SELECT {number.name} FROM {table.name} WHERE {where.sql} ORDER BY 1 DESC LIMIT 1",
        "MIN": f"SELECT {number.name} FROM {table.name} WHERE {where.sql} ORDER BY 1 LIMIT 1",
    }
    return Question(
        f"What is the {words} {number.words} of the {table.many} whose {where.words}?",
        build(where.sql),
        (
            *mistaken(build, where),
            *(build(where.sql, function) for function in others),
            build(where.sql, column=ask.other_number(table, number).name),
            f"SELECT {name}({number.name}) FROM {table.name}",
        ),
        (also[name],),
    )


def distinct(ask: Asker) -> Question:
    table = ask.any_table()
    category, where = ask.category(table), ask.number_filter(table)

    def build(condition: str, what: str = f"DISTINCT {category.name}") -> str:
        return f"SELECT {what} FROM {table.name} WHERE {condition}"

    return Question(
        f"List each different {category.words} of the {table.many} whose {where.words}, once.",
        build(where.sql),
        (
            *mistaken(build, where)[:2],
            build(where.sql, category.name),
            build(where.sql, f"COUNT(DISTINCT {category.name})"),
        ),
        (build(where.sql, category.name) + f" GROUP BY {category.name}",),
    )


def ranked(ask: Asker) -> Question:
    table = ask.labelled()
    label, number, where = table.only("label"), ask.number(table), ask.filter(table)
    k, largest = ask.rng.randint(2, 4), ask.rng.random() < 0.6
    down = " DESC" if largest else ""

    def build(column: str, direction: str, limit: int, condition: str = where.sql) -> str:
        return (
            f"SELECT {label.name} FROM {table.name} WHERE {condition} "
            f"ORDER BY {column}{direction}, {label.name} LIMIT {limit}"
        )

    return Question(
        f"Among the {table.many} whose {where.words}, list the {label.words} of the {k} with the "
        f"{'largest' if largest else 'smallest'} {number.words}, in that order; ties by "
        f"{label.words}.",
        build(number.name, down, k),
        (
            build(number.name, "" if largest else " DESC", k),
            build(ask.other_number(table, number).name, down, k),
            build(number.name, down, k + 1),
            build(number.name, down, k - 1),
            build(number.name, down, k, where.wrong[1]),
            f"SELECT {label.name} FROM {table.name} WHERE {where.sql} LIMIT {k}",
        ),
        ordered=True,
    )


def in_order(ask: Asker) -> Question:
    table = ask.labelled()
    label, number, where = table.only("label"), ask.number(table), ask.filter(table)

    def build(order: str, condition: str = where.sql) -> str:
        return f"SELECT {label.name} FROM {table.name} WHERE {condition} ORDER BY {order}"

    twin = ask.other_number(table, number)
    return Question(
        f"List the {label.words} of every {table.one} whose {where.words}, from the largest "
        f"{number.words} to the smallest; ties by {label.words}.",
        build(f"{number.name} DESC, {label.name}"),
        (
            build(f"{number.name}, {label.name}"),
            build(f"{twin.name} DESC, {label.name}"),
            build(label.name),
            build(f"{number.name} DESC, {label.name}", where.wrong[1]),
            f"SELECT {label.name} FROM {table.name} WHERE {where.sql}",
        ),
        (build(f"-{number.name}, {label.name}"),),
        ordered=True,
    )


def missing(ask: Asker) -> Question:
    table = ask.labelled()
    label, where = table.only("label"), ask.filter(table)
    empty = ask.rng.choice(table.of("number", nullable=True))
    known = ask.rng.random() < 0.5

    def build(test: str, condition: str = where.sql) -> str:
        return f"SELECT {label.name} FROM {table.name} WHERE {empty.name} {test} AND {condition}"

    right, opposite = ("IS NOT NULL", "IS NULL") if known else ("IS NULL", "IS NOT NULL")
    return Question(
        f"List the {label.words} of every {table.one} whose {empty.words} is "
        f"{'known' if known else 'missing (NULL)'} and whose {where.words}.",
        build(right),
        (
            build(opposite),
            build("= NULL"),
            build("= 0"),
            build("<> NULL"),
            *(build(right, sql) for sql in where.wrong),
            f"SELECT {label.name} FROM {table.name} WHERE {where.sql}",
        ),
        (build("NOTNULL" if known else "ISNULL"),),
    )


def null_aware(ask: Asker) -> Question:
    """NULL counts neither in COUNT(column) nor in AVG."""
    table = ask.any_table()
    where, empty = ask.filter(table), ask.rng.choice(table.of("number", nullable=True))

    def build(what: str, condition: str = where.sql) -> str:
        return f"SELECT {what} FROM {table.name} WHERE {condition}"

    return Question(
        f"Taking a missing {empty.words} as {literal(0)}, what is the average {empty.words} of the "
        f"{table.many} whose {where.words}?",
        build(f"AVG(COALESCE({empty.name}, 0))"),
        (
            build(f"AVG({empty.name})"),
            build(f"SUM({empty.name})"),
            build(f"SUM({empty.name}) / COUNT(*)"),
            *(build(f"AVG(COALESCE({empty.name}, 0))", sql) for sql in where.wrong),
        ),
        (
            build(f"TOTAL({empty.name}) / COUNT(*)"),
            build(f"AVG(CASE WHEN {empty.name} IS NULL THEN 0 ELSE {empty.name} END)"),
        ),
    )
