"""Questions that join tables (level 3) and group them (level 4)."""

from __future__ import annotations

from minirl.envs.sql.asker import Asker, Question, a_or_an, false_link, link, literal, mistaken


def items_of_owner(ask: Asker) -> Question:
    owner, item = ask.owner, ask.item
    label = f"{item.name}.{item.only('label').name}"
    where = ask.filter(owner, f"{owner.name}.")
    key, reference = owner.only("key").name, item.only("reference").name

    def build(condition: str, on: str = link(item, owner)) -> str:
        return f"SELECT {label} FROM {item.name} JOIN {owner.name} ON {on} WHERE {condition}"

    inner = f"(SELECT {key} FROM {owner.name} WHERE {where.sql})"
    return Question(
        f"List the {item.only('label').words} of every {item.one} of {a_or_an(owner)} whose "
        f"{where.words}.",
        build(where.sql),
        (
            *mistaken(build, where),
            build(where.sql, false_link(item, owner)),
            build(where.sql, "1 = 1"),
            f"SELECT {label} FROM {item.name}",
        ),
        (
            f"SELECT {label} FROM {item.name} WHERE {reference} IN {inner}",
            f"SELECT {label} FROM {owner.name}, {item.name} WHERE {link(item, owner)} "
            f"AND {where.sql}",
        ),
    )


def pairs(ask: Asker) -> Question:
    owner, item = ask.owner, ask.item
    ours, theirs = item.only("label"), owner.only("label")
    where = ask.filter(item, f"{item.name}.")
    one, other = f"{item.name}.{ours.name}", f"{owner.name}.{theirs.name}"

    def build(condition: str, columns: str = f"{one}, {other}", on: str = link(item, owner)) -> str:
        return f"SELECT {columns} FROM {item.name} JOIN {owner.name} ON {on} WHERE {condition}"

    return Question(
        f"For every {item.one} whose {where.words}, give the {ours.words} of the {item.one} and "
        f"the {theirs.words} of its {owner.one}.",
        build(where.sql),
        (
            *mistaken(build, where),
            build(where.sql, f"{other}, {one}"),
            build(where.sql, one),
            build(where.sql, on=false_link(item, owner)),
            build(where.sql, on="1 = 1"),
        ),
        (
            f"SELECT a.{ours.name}, b.{theirs.name} FROM {item.name} a, {owner.name} b WHERE "
            f"a.{item.only('reference').name} = b.{owner.only('key').name} AND "
            + where.sql.replace(f"{item.name}.", "a."),
        ),
    )


def joined_total(ask: Asker) -> Question:
    item, event = ask.item, ask.event
    number, where = ask.number(event), ask.filter(item, f"{item.name}.")
    twin = ask.other_number(event, number)

    def build(
        condition: str, what: str = f"SUM({event.name}.{number.name})", on: str = link(event, item)
    ) -> str:
        return f"SELECT {what} FROM {event.name} JOIN {item.name} ON {on} WHERE {condition}"

    reference, key = event.only("reference").name, item.only("key").name
    return Question(
        f"What is the total {number.words} of the {event.many} of {item.many} whose {where.words}?",
        build(where.sql),
        (
            *mistaken(build, where),
            build(where.sql, f"SUM({event.name}.{twin.name})"),
            build(where.sql, f"SUM(DISTINCT {event.name}.{number.name})"),
            build(where.sql, "COUNT(*)"),
            build(where.sql, on=false_link(event, item)),
            build(where.sql, on="1 = 1"),
        ),
        (
            f"SELECT SUM({number.name}) FROM {event.name} WHERE {reference} IN "
            f"(SELECT {key} FROM {item.name} WHERE {where.sql})",
        ),
    )


def through_three(ask: Asker) -> Question:
    owner, item, event = ask.schema.tables
    label = f"{owner.name}.{owner.only('label').name}"
    where = ask.filter(event, f"{event.name}.")

    def build(
        condition: str, what: str = f"DISTINCT {label}", last: str = link(event, item)
    ) -> str:
        return (
            f"SELECT {what} FROM {owner.name} JOIN {item.name} ON {link(item, owner)} "
            f"JOIN {event.name} ON {last} WHERE {condition}"
        )

    return Question(
        f"List, once each, the {owner.only('label').words} of every {owner.one} with "
        f"{a_or_an(item)} that has {a_or_an(event)} whose {where.words}.",
        build(where.sql),
        (
            build(where.sql, label),
            build(where.sql, last="1 = 1"),
            build(where.wrong[1]),
            f"SELECT {label} FROM {owner.name}",
        ),
        (
            f"SELECT {label} FROM {owner.name} WHERE EXISTS (SELECT 1 FROM {item.name} JOIN "
            f"{event.name} ON {link(event, item)} WHERE {link(item, owner)} AND {where.sql})",
        ),
    )


def counted_through_three(ask: Asker) -> Question:
    owner, item, event = ask.schema.tables
    where, more = ask.filter(owner, f"{owner.name}."), ask.filter(event, f"{event.name}.")

    def build(a: str, b: str, what: str = "COUNT(*)", last: str = link(event, item)) -> str:
        return (
            f"SELECT {what} FROM {event.name} JOIN {item.name} ON {last} "
            f"JOIN {owner.name} ON {link(item, owner)} WHERE {a} AND {b}"
        )

    return Question(
        f"How many {event.many} whose {more.words} belong to {item.many} of {a_or_an(owner)} whose "
        f"{where.words}?",
        build(where.sql, more.sql),
        (
            *mistaken(lambda sql: build(sql, more.sql), where),
            *mistaken(lambda sql: build(where.sql, sql), more),
            build(where.sql, "1 = 1"),
            build(where.sql, more.sql, f"COUNT(DISTINCT {item.name}.{item.only('key').name})"),
            build(where.sql, more.sql, last=false_link(event, item)),
            build(where.sql, more.sql, last="1 = 1"),
        ),
        (build(where.sql, more.sql, f"COUNT({event.name}.{event.only('key').name})"),),
    )


def per_category(ask: Asker) -> Question:
    table = ask.any_table()
    category, where = ask.category(table), ask.number_filter(table)
    number = ask.number(table)
    words, what, mixed = ask.rng.choice(
        (
            (f"the number of {table.many}", "COUNT(*)", f"SUM({number.name})"),
            (f"the total {number.words}", f"SUM({number.name})", "COUNT(*)"),
            (f"the average {number.words}", f"AVG({number.name})", f"SUM({number.name})"),
        )
    )

    def build(condition: str, value: str = what, by: str = category.name) -> str:
        return f"SELECT {category.name}, {value} FROM {table.name} WHERE {condition} GROUP BY {by}"

    return Question(
        f"For each {category.words} give {words}, counting only {table.many} whose {where.words}.",
        build(where.sql),
        (
            *mistaken(build, where),
            build(where.sql, mixed),
            build(where.sql, by="NULL"),
            build(where.sql, by=table.only("key").name),
            f"SELECT {category.name}, {what} FROM {table.name} GROUP BY {category.name}",
        ),
        (build(where.sql) + f" ORDER BY {category.name} DESC",),
    )


def large_groups(ask: Asker) -> Question:
    table = ask.rng.choice((ask.item, ask.event))
    category, where, least = ask.category(table), ask.number_filter(table), ask.rng.randint(2, 6)

    def build(condition: str, having: str) -> str:
        return (
            f"SELECT {category.name} FROM {table.name} WHERE {condition} "
            f"GROUP BY {category.name} HAVING {having}"
        )

    right = f"COUNT(*) >= {least}"
    return Question(
        f"Which {category.words} values have at least {least} {table.many} whose {where.words}?",
        build(where.sql, right),
        (
            *mistaken(lambda sql: build(sql, right), where)[:2],
            build(where.sql, f"COUNT(*) > {least}"),
            build(where.sql, f"COUNT(*) < {least}"),
            f"SELECT DISTINCT {category.name} FROM {table.name} WHERE {where.sql}",
        ),
        (
            build(where.sql, f"COUNT(*) > {least - 1}"),
            f"SELECT c FROM (SELECT {category.name} AS c, COUNT(*) AS n FROM {table.name} "
            f"WHERE {where.sql} GROUP BY {category.name}) WHERE n >= {least}",
        ),
    )


def with_zero(ask: Asker) -> Question:
    owner, item = ask.owner, ask.item
    label, key = (
        f"{owner.name}.{owner.only('label').name}",
        f"{owner.name}.{owner.only('key').name}",
    )
    counted = f"{item.name}.{item.only('key').name}"
    where = ask.filter(owner, f"{owner.name}.")

    def build(condition: str, join: str = "LEFT JOIN", count: str = f"COUNT({counted})") -> str:
        return (
            f"SELECT {label}, {count} FROM {owner.name} {join} {item.name} "
            f"ON {link(item, owner)} WHERE {condition} GROUP BY {key}"
        )

    return Question(
        f"For every {owner.one} whose {where.words}, also one without any {item.one}, give its "
        f"{owner.only('label').words} and its number of {item.many}.",
        build(where.sql),
        (
            *mistaken(build, where),
            build(where.sql, "JOIN"),
            build(where.sql, count="COUNT(*)"),
        ),
        (
            f"SELECT {label}, (SELECT COUNT(*) FROM {item.name} WHERE {link(item, owner)}) "
            f"FROM {owner.name} WHERE {where.sql}",
        ),
    )


def largest_groups(ask: Asker) -> Question:
    item, event = ask.item, ask.event
    category, number = ask.category(item), ask.number(event)
    where = ask.filter(event, f"{event.name}.")
    name, total = f"{item.name}.{category.name}", f"SUM({event.name}.{number.name})"
    k = ask.rng.randint(2, 3)

    def build(condition: str, order: str = f"{total} DESC", limit: int = k) -> str:
        return (
            f"SELECT {name}, {total} FROM {item.name} JOIN {event.name} ON {link(event, item)} "
            f"WHERE {condition} GROUP BY {name} ORDER BY {order}, {name} LIMIT {limit}"
        )

    return Question(
        f"Taking the {event.many} whose {where.words}, give the {k} {category.words} values of "
        f"{item.many} with the largest total {number.words} of the {event.many}, each with that "
        f"total, from the largest down; ties by {category.words}.",
        build(where.sql),
        (
            build(where.sql, total),
            build(where.sql, name),
            build(where.sql, limit=k - 1),
            build(where.sql, "COUNT(*)"),
            build(where.wrong[1]),
        ),
        ordered=True,
    )


def groups_above(ask: Asker) -> Question:
    owner, item = ask.owner, ask.item
    label, key = (
        f"{owner.name}.{owner.only('label').name}",
        f"{owner.name}.{owner.only('key').name}",
    )
    number = ask.number(item)
    average, bound = f"AVG({item.name}.{number.name})", literal(ask.middling(item, number))

    def build(having: str, what: str = label) -> str:
        return (
            f"SELECT {what} FROM {owner.name} JOIN {item.name} ON {link(item, owner)} "
            f"GROUP BY {key} HAVING {having}"
        )

    return Question(
        f"List the {owner.only('label').words} of every {owner.one} whose {item.many} have an "
        f"average {number.words} above {bound}.",
        build(f"{average} > {bound}"),
        (
            build(f"{average} < {bound}"),
            build(f"MAX({item.name}.{number.name}) > {bound}"),
            build(f"MIN({item.name}.{number.name}) > {bound}"),
            build(f"AVG({item.name}.{ask.other_number(item, number).name}) > {bound}"),
            f"SELECT DISTINCT {label} FROM {owner.name} JOIN {item.name} ON {link(item, owner)} "
            f"WHERE {item.name}.{number.name} > {bound}",
        ),
        (
            f"SELECT {label} FROM {owner.name} WHERE (SELECT {average} FROM {item.name} "
            f"WHERE {link(item, owner)}) > {bound}",
        ),
    )
