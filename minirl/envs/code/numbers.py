"""Steps over integers and lists of integers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from minirl.envs.code.step import Op, call, each, keep

SMALL = range(1, 10)
FACTOR = range(2, 10)


def product_of(numbers: list[int]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result


def infix(
    phrase: str, words: str, code: str, rank: int, apply: Callable[..., int], *params: range
) -> Op:
    """Plain arithmetic: foldable into one expression."""
    return Op("int", "int", phrase, apply, code, params, words=words, rank=rank)


PLAIN: Mapping[str, Op] = {
    "plus": infix("add {0}", "{v} plus {0}", "{v} + {0}", 1, lambda v, a: v + a, range(1, 100)),
    "minus": infix(
        "subtract {0}", "{v} minus {0}", "{v} - {0}", 1, lambda v, a: v - a, range(1, 100)
    ),
    "times": infix(
        "multiply by {0}", "{v} times {0}", "{v} * {0}", 2, lambda v, a: v * a, range(2, 20)
    ),
    "square": infix("square it", "{v} squared", "{v} ** 2", 3, lambda v: v * v),
}

NUMBER: Mapping[str, Op] = {
    **PLAIN,
    "rest": Op(
        "int",
        "int",
        "take the remainder of dividing by {0} (as Python's % gives it)",
        lambda v, a: v % a,
        "{v} % {0}",
        (range(3, 12),),
    ),
    "gap": Op(
        "int",
        "int",
        "take the distance to {0} (never negative)",
        lambda v, a: abs(v - a),
        "abs({v} - {0})",
        (range(1, 20),),
    ),
    "at_most": Op(
        "int",
        "int",
        "if the number is greater than {0}, use {0} instead",
        lambda v, a: min(v, a),
        "min({v}, {0})",
        (range(3, 30),),
    ),
}

LIST: Mapping[str, Op] = {
    "keep_even": keep(
        "ints", "keep only the even numbers", lambda x: x % 2 == 0, "x % 2 == 0", near=("keep_odd",)
    ),
    "keep_odd": keep(
        "ints", "keep only the odd numbers", lambda x: x % 2 == 1, "x % 2 == 1", near=("keep_even",)
    ),
    "keep_above": keep(
        "ints",
        "keep only the numbers greater than {0}",
        lambda x, a: x > a,
        "x > {0}",
        range(-5, 10),
        near=("keep_from", "keep_below"),
    ),
    "keep_from": keep(
        "ints",
        "keep only the numbers that are at least {0}",
        lambda x, a: x >= a,
        "x >= {0}",
        range(-5, 10),
        near=("keep_above",),
    ),
    "keep_below": keep(
        "ints",
        "keep only the numbers less than {0}",
        lambda x, a: x < a,
        "x < {0}",
        range(-5, 10),
        near=("keep_above",),
    ),
    "keep_multiples": keep(
        "ints",
        "keep only the multiples of {0}",
        lambda x, a: x % a == 0,
        "x % {0} == 0",
        range(2, 6),
    ),
    "remove": keep("ints", "remove every {0}", lambda x, a: x != a, "x != {0}", range(-3, 6)),
    "each_times": each(
        "ints", "ints", "multiply each number by {0}", lambda x, a: x * a, "x * {0}", FACTOR
    ),
    "each_plus": each(
        "ints", "ints", "add {0} to each number", lambda x, a: x + a, "x + {0}", range(1, 20)
    ),
    "each_minus": each(
        "ints", "ints", "subtract {0} from each number", lambda x, a: x - a, "x - {0}", range(1, 20)
    ),
    "each_from": each(
        "ints", "ints", "subtract each number from {0}", lambda x, a: a - x, "{0} - x", SMALL
    ),
    "each_square": each("ints", "ints", "square each number", lambda x: x * x, "x * x"),
    "each_rest": each(
        "ints",
        "ints",
        "replace each number by its remainder when divided by {0} (as Python's % gives it)",
        lambda x, a: x % a,
        "x % {0}",
        range(3, 9),
    ),
    "each_at_most": each(
        "ints",
        "ints",
        "replace each number greater than {0} by {0}",
        lambda x, a: min(x, a),
        "min(x, {0})",
        SMALL,
    ),
    "reverse": Op("ints", "ints", "reverse the list", lambda v: v[::-1], "{v}[::-1]"),
    "ascending": Op("ints", "ints", "sort the list in ascending order", sorted, "sorted({v})"),
    "descending": Op(
        "ints",
        "ints",
        "sort the list in descending order",
        lambda v: sorted(v, reverse=True),
        "sorted({v}, reverse=True)",
        near=("ascending",),
    ),
    "first_n": Op(
        "ints",
        "ints",
        "keep only the first {0} numbers (all, if there are fewer)",
        lambda v, n: v[:n],
        "{v}[:{0}]",
        (range(2, 6),),
        near=("drop_n",),
    ),
    "drop_n": Op(
        "ints",
        "ints",
        "leave out the first {0} numbers",
        lambda v, n: v[n:],
        "{v}[{0}:]",
        (range(1, 5),),
        near=("first_n",),
    ),
    "every_other": Op(
        "ints",
        "ints",
        "keep the first number and every second one after it",
        lambda v: v[::2],
        "{v}[::2]",
    ),
    "distinct": Op(
        "ints",
        "ints",
        "keep only the first occurrence of each number",
        lambda v: list(dict.fromkeys(v)),
        "list(dict.fromkeys({v}))",
    ),
    "differences": Op(
        "ints",
        "ints",
        "replace the list by the differences between neighbours (each number minus the one before)",
        lambda v: [b - a for a, b in itertools.pairwise(v)],
        "[{v}[i] - {v}[i - 1] for i in range(1, len({v}))]",
    ),
    "running": Op(
        "ints",
        "ints",
        "replace the list by its running sums",
        lambda v: [sum(v[: i + 1]) for i in range(len(v))],
        "[sum({v}[: i + 1]) for i in range(len({v}))]",
    ),
    "sum": Op("ints", "int", "take the sum (0 if the list is empty)", sum, "sum({v})"),
    "product": call(
        "ints", "int", "take the product (1 if the list is empty)", product_of, near=("sum",)
    ),
    "largest": Op(
        "ints",
        "int",
        "take the largest number (0 if the list is empty)",
        lambda v: max(v, default=0),
        "max({v}, default=0)",
        near=("smallest", "last"),
    ),
    "smallest": Op(
        "ints",
        "int",
        "take the smallest number (0 if the list is empty)",
        lambda v: min(v, default=0),
        "min({v}, default=0)",
        near=("largest", "first"),
    ),
    "first": Op(
        "ints",
        "int",
        "take the first number (0 if the list is empty)",
        lambda v: v[0] if v else 0,
        "{v}[0] if {v} else 0",
        near=("last",),
    ),
    "last": Op(
        "ints",
        "int",
        "take the last number (0 if the list is empty)",
        lambda v: v[-1] if v else 0,
        "{v}[-1] if {v} else 0",
        near=("first",),
    ),
    "size": Op("ints", "int", "count the numbers", len, "len({v})", near=("variety",)),
    "variety": Op(
        "ints",
        "int",
        "count the different numbers",
        lambda v: len(set(v)),
        "len(set({v}))",
        near=("size",),
    ),
    "spread": Op(
        "ints",
        "int",
        "take the largest number minus the smallest (0 if the list is empty)",
        lambda v: max(v) - min(v) if v else 0,
        "max({v}) - min({v}) if {v} else 0",
    ),
    "largest_or_none": Op(
        "ints",
        "other",
        "take the largest number, or None if the list is empty",
        lambda v: max(v, default=None),
        "max({v}, default=None)",
        near=("largest",),
    ),
    "tally": Op(
        "ints",
        "other",
        "make a dictionary from each number to how often it occurs",
        lambda v: {x: v.count(x) for x in v},
        "{{x: {v}.count(x) for x in {v}}}",
    ),
}
