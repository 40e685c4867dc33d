"""The sorts of arithmetic that a part of a story can stand for.

Each takes the teller and the story's amount (a start: none yet), draws its numbers, leaves them in
the teller's fields for the text, and gives what becomes of the amount.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from minirl.envs.word_problems.teller import FRACTIONS, TIMES, Amount, Teller


class Kind(NamedTuple):
    """A sort of arithmetic: how many steps it takes, and what it does to the amount."""

    steps: int
    apply: Callable[[Teller, Amount], Amount]


def _have(t: Teller, _: Amount) -> Amount:
    n = t.first()
    t.let(n=n)
    return Amount(n, n)


def _groups(t: Teller, _: Amount) -> Amount:
    a, b = t.groups()
    t.let(a=a, b=b)
    return t.work("*", a, b)


def _sum(t: Teller, _: Amount) -> Amount:
    a, b = t.first(), t.first()
    t.let(a=a, b=b)
    return t.work("+", a, b)


def _groups_and(t: Teller, _: Amount) -> Amount:
    a, b = t.groups()
    c = t.first()
    t.let(a=a, b=b, c=c)
    return t.work("+", t.work("*", a, b), c)


def _and_times(t: Teller, _: Amount) -> Amount:
    """n of one, k times as much of another, taken together."""
    n, k = t.first(), t.draw(2, 4)
    t.let(n=n)
    t.fields["times"] = TIMES[k]
    return t.work("+", t.work("*", n, k), n)


def _plus(t: Teller, amount: Amount) -> Amount:
    n = t.change()
    t.let(n=n)
    return t.work("+", amount, n)


def _minus(t: Teller, amount: Amount) -> Amount:
    n = t.change(below=amount.value)
    t.let(n=n)
    return t.work("-", amount, n)


def _times(t: Teller, amount: Amount) -> Amount:
    k = t.draw(2, 4)
    t.fields["times"] = TIMES[k]
    return t.work("*", amount, k)


def _fraction(t: Teller, amount: Amount) -> Amount:
    """Only a fraction of the amount remains."""
    k = t.divisor(amount, list(FRACTIONS))
    t.fields["fraction"] = FRACTIONS[k]
    return t.work("/", amount, k)


def _plus_groups(t: Teller, amount: Amount) -> Amount:
    a, b = t.groups()
    t.let(a=a, b=b)
    return t.work("+", amount, t.work("*", a, b))


def _minus_groups(t: Teller, amount: Amount) -> Amount:
    a, b = t.groups()
    t.let(a=a, b=b)
    return t.work("-", amount, t.work("*", a, b))


def _minus_fraction(t: Teller, amount: Amount) -> Amount:
    """A fraction of the amount goes."""
    k = t.divisor(amount, list(FRACTIONS))
    t.fields["fraction"] = FRACTIONS[k]
    return t.work("-", amount, t.work("/", amount, k))


def _plus_percent(t: Teller, amount: Amount) -> Amount:
    return t.work("+", amount, t.percent(amount))


def _minus_percent(t: Teller, amount: Amount) -> Amount:
    return t.work("-", amount, t.percent(amount))


def _minus_two(t: Teller, amount: Amount) -> Amount:
    """n goes, and then d more than n."""
    n, d = t.change(below=max(2, amount.value // 3)), t.draw(2, 9)
    t.let(n=n, d=d)
    second = t.work("+", n, d)
    return t.work("-", t.work("-", amount, n), second)


def _plus_two(t: Teller, amount: Amount) -> Amount:
    """n comes, and then k times as much as n."""
    n, k = t.change(), t.draw(2, 4)
    t.let(n=n)
    t.fields["times"] = TIMES[k]
    second = t.work("*", n, k)
    return t.work("+", t.work("+", amount, n), second)


def _ask(t: Teller, amount: Amount) -> Amount:
    return amount


def _missing(t: Teller, amount: Amount) -> Amount:
    """How much is missing up to n."""
    n = amount.value + t.draw(2, min(max(9, t.largest), t.family.most - amount.value))
    t.let(n=n)
    return t.work("-", n, amount)


def _change_of(t: Teller, amount: Amount) -> Amount:
    """What comes back of a round sum."""
    tens = amount.value // 10 + 1
    n = 10 * t.draw(tens, tens + 6)
    t.let(n=n)
    return t.work("-", n, amount)


def _share(t: Teller, amount: Amount) -> Amount:
    n = t.divisor(amount, range(2, 13))
    t.let(n=n)
    return t.work("/", amount, n)


def _each(t: Teller, amount: Amount) -> Amount:
    n = t.draw(2, 12)
    t.let(n=n)
    return t.work("*", amount, n)


def _each_less(t: Teller, amount: Amount) -> Amount:
    """n for each, less a cost of c."""
    n = t.draw(2, 9)
    money = t.work("*", amount, n)
    c = t.draw(2, min(money.value - 1, t.largest))
    t.let(n=n, c=c)
    return t.work("-", money, c)


def _with_times(t: Teller, amount: Amount) -> Amount:
    """Together with somebody who has k times as much."""
    k = t.draw(2, 4)
    t.fields["times"] = TIMES[k]
    return t.work("+", amount, t.work("*", amount, k))


def _with_less(t: Teller, amount: Amount) -> Amount:
    """Together with somebody who has n less."""
    n = t.change(below=amount.value)
    t.let(n=n)
    return t.work("+", amount, t.work("-", amount, n))


def _share_each(t: Teller, amount: Amount) -> Amount:
    """Packed by n, and c for each pack."""
    n, c = t.divisor(amount, range(2, 13)), t.draw(2, 12)
    t.let(n=n, c=c)
    return t.work("*", t.work("/", amount, n), c)


KINDS: Mapping[str, Kind] = {
    "have": Kind(0, _have),
    "groups": Kind(1, _groups),
    "sum": Kind(1, _sum),
    "groups_and": Kind(2, _groups_and),
    "and_times": Kind(2, _and_times),
    "plus": Kind(1, _plus),
    "minus": Kind(1, _minus),
    "times": Kind(1, _times),
    "fraction": Kind(1, _fraction),
    "plus_groups": Kind(2, _plus_groups),
    "minus_groups": Kind(2, _minus_groups),
    "minus_fraction": Kind(2, _minus_fraction),
    "plus_percent": Kind(2, _plus_percent),
    "minus_percent": Kind(2, _minus_percent),
    "minus_two": Kind(3, _minus_two),
    "plus_two": Kind(3, _plus_two),
    "ask": Kind(0, _ask),
    "missing": Kind(1, _missing),
    "change_of": Kind(1, _change_of),
    "share": Kind(1, _share),
    "each": Kind(1, _each),
    "each_less": Kind(2, _each_less),
    "with_times": Kind(2, _with_times),
    "with_less": Kind(2, _with_less),
    "share_each": Kind(2, _share_each),
}
