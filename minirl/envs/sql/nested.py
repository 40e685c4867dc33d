"""Questions that need a query within a query (level 5)."""

from __future__ import annotations

from minirl.envs.sql.asker import Asker, Question, a_or_an, link, literal, mistaken


def above_average(ask: Asker) -> Question:
    table = ask.labelled()
    label, number, where = table.only("label"), ask.number(table), ask.category_filter(table)
    twin = ask.other_number(table, number)

    def build(condition: str, what: str = f"AVG({number.name})", inner: str = "") -> str:
        return (
            f"SELECT {label.name} FROM {table.name} WHERE {condition} AND {number.name} > "
            f"(SELECT {what} FROM {table.name}{inner})"
        )

    return Question(
        f"List the {label.words} of every {table.one} whose {where.words} and whose "
        f"{number.words} is above the average {number.words} of all {table.many}.",
        build(where.sql),
        (
            *mistaken(build, where),
            build(where.sql, f"AVG({twin.name})"),
            build(where.sql, f"MIN({number.name})"),
            build(where.sql, f"AVG({number.name})", f" WHERE {where.sql}"),
            build("1 = 1"),
        ),
        (
            f"WITH m AS (SELECT AVG({number.name}) AS a FROM {table.name}) SELECT {label.name} "
            f"FROM {table.name}, m WHERE {where.sql} AND {number.name} > m.a",
        ),
    )


def above_own_group(ask: Asker) -> Question:
    table, group = ask.item, ask.category(ask.item)
    label, number, where = table.only("label"), ask.number(table), ask.number_filter(table, "x.")
    same = f"y.{group.name} = x.{group.name}"

    def build(condition: str, what: str = f"AVG(y.{number.name})", of: str = same) -> str:
        return (
            f"SELECT x.{label.name} FROM {table.name} x WHERE {condition} AND x.{number.name} > "
            f"(SELECT {what} FROM {table.name} y WHERE {of})"
        )

    return Question(
        f"List the {label.words} of every {table.one} whose {where.words} and whose "
        f"{number.words} is above the average {number.words} of all {table.many} of the same "
        f"{group.words}.",
        build(where.sql),
        (
            *mistaken(build, where)[:2],
            build(where.sql, of="1 = 1"),
            build(where.sql, f"MIN(y.{number.name})"),
            build("1 = 1"),
        ),
        (
            f"SELECT x.{label.name} FROM {table.name} x JOIN (SELECT {group.name} AS g, "
            f"AVG({number.name}) AS a FROM {table.name} GROUP BY {group.name}) y "
            f"ON x.{group.name} = y.g WHERE {where.sql} AND x.{number.name} > y.a",
        ),
    )


def best_of_each(ask: Asker) -> Question:
    table, group = ask.item, ask.category(ask.item)
    label, number, where = table.only("label"), ask.number(table), ask.number_filter(table, "x.")
    inside = where.sql.replace("x.", "y.")

    def build(condition: str, within: str, what: str = "MAX") -> str:
        return (
            f"SELECT x.{group.name}, x.{label.name} FROM {table.name} x WHERE {condition} AND "
            f"x.{number.name} = (SELECT {what}(y.{number.name}) FROM {table.name} y "
            f"WHERE y.{group.name} = x.{group.name} AND {within})"
        )

    return Question(
        f"Among the {table.many} whose {where.words}: for each {group.words}, give the "
        f"{group.words} and the {label.words} of the {table.one} with the largest {number.words} "
        f"(all of them where several tie).",
        build(where.sql, inside),
        (
            build(where.sql, inside, "MIN"),
            build(where.sql, "1 = 1"),
            build("1 = 1", "1 = 1"),
            f"SELECT x.{group.name}, MAX(x.{label.name}) FROM {table.name} x WHERE {where.sql} "
            f"GROUP BY x.{group.name}",
            f"SELECT x.{group.name}, x.{label.name} FROM {table.name} x WHERE {where.sql} "
            f"ORDER BY x.{number.name} DESC LIMIT 1",
        ),
        (
            f"SELECT g, l FROM (SELECT x.{group.name} AS g, x.{label.name} AS l, RANK() OVER "
            f"(PARTITION BY x.{group.name} ORDER BY x.{number.name} DESC) AS r "
            f"FROM {table.name} x WHERE {where.sql}) WHERE r = 1",
        ),
    )


def owners_without(ask: Asker) -> Question:
    owner, item = ask.owner, ask.item
    label, where = owner.only("label"), ask.filter(item, f"{item.name}.")
    key, reference = owner.only("key").name, item.only("reference").name

    def build(condition: str, negation: str = "NOT ") -> str:
        return (
            f"SELECT {owner.name}.{label.name} FROM {owner.name} WHERE {negation}EXISTS "
            f"(SELECT 1 FROM {item.name} WHERE {link(item, owner)} AND {condition})"
        )

    return Question(
        f"List the {label.words} of every {owner.one} that has no {item.one} whose {where.words}.",
        build(where.sql),
        (
            *mistaken(build, where)[:2],
            build(where.sql, ""),
            build("1 = 1"),
            f"SELECT DISTINCT {owner.name}.{label.name} FROM {owner.name} JOIN {item.name} ON "
            f"{link(item, owner)} WHERE NOT {where.sql}",
        ),
        (
            f"SELECT {label.name} FROM {owner.name} WHERE {key} NOT IN (SELECT {reference} FROM "
            f"{item.name} WHERE {where.sql})",
            f"SELECT {owner.name}.{label.name} FROM {owner.name} LEFT JOIN {item.name} ON "
            f"{link(item, owner)} AND {where.sql} WHERE {item.name}.{item.only('key').name} "
            "IS NULL",
        ),
    )


def one_but_not_other(ask: Asker) -> Question:
    item, event = ask.item, ask.event
    label, category = item.only("label"), ask.category(event)
    yes, no = (literal(v) for v in ask.rng.sample(category.choices, 2))
    where = ask.filter(item, f"{item.name}.")

    def some(value: str) -> str:
        return (
            f"EXISTS (SELECT 1 FROM {event.name} WHERE {link(event, item)} AND "
            f"{event.name}.{category.name} = {value})"
        )

    def build(tests: str, condition: str = where.sql) -> str:
        return f"SELECT {item.name}.{label.name} FROM {item.name} WHERE {condition} AND {tests}"

    def having(value: str) -> str:
        return (
            f"SELECT {item.name}.{label.name} FROM {item.name} JOIN {event.name} ON "
            f"{link(event, item)} WHERE {where.sql} AND {event.name}.{category.name} = {value}"
        )

    return Question(
        f"List the {label.words} of every {item.one} whose {where.words} and that has "
        f"{a_or_an(event)} of {category.words} {yes} but none of {category.words} {no}.",
        build(f"{some(yes)} AND NOT {some(no)}"),
        (
            build(some(yes)),
            build(f"{some(no)} AND NOT {some(yes)}"),
            build(f"NOT {some(no)}"),
            *(build(f"{some(yes)} AND NOT {some(no)}", sql) for sql in where.wrong[1:2]),
        ),
        (f"{having(yes)} EXCEPT {having(no)}",),
    )


def second_largest(ask: Asker) -> Question:
    table = ask.rng.choice((ask.item, ask.event))
    number, where = ask.number(table), ask.category_filter(table)

    def build(condition: str, what: str = "DISTINCT ", direction: str = " DESC") -> str:
        return (
            f"SELECT {what}{number.name} FROM {table.name} WHERE {condition} "
            f"ORDER BY {number.name}{direction} LIMIT 1 OFFSET 1"
        )

    top = f"(SELECT MAX({number.name}) FROM {table.name} WHERE {where.sql})"
    return Question(
        f"Among the {table.many} whose {where.words}, what is the second largest different "
        f"{number.words}?",
        build(where.sql),
        (
            *mistaken(build, where),
            build(where.sql, ""),
            build(where.sql, direction=""),
            f"SELECT MAX({number.name}) FROM {table.name} WHERE {where.sql}",
        ),
        (
            f"SELECT MAX({number.name}) FROM {table.name} WHERE {where.sql} AND "
            f"{number.name} < {top}",
        ),
    )
