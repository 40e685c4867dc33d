"""The expression parser against Python's own, and against hostile text."""

from __future__ import annotations

import ast
import time
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.rewards import BadExpression, Expression, parse_expression
from minirl.rewards.expression import (
    MAX_DEPTH,
    Op,
    Tree,
    canonical,
    evaluate,
    numbers_in,
    random_tree,
    render,
    whole_tree,
    worked,
)


def trees(leaves: int = 8) -> st.SearchStrategy[Tree]:
    return st.recursive(
        st.integers(min_value=0, max_value=999),
        lambda inner: st.builds(Op, st.sampled_from("+-*/"), inner, inner),
        max_leaves=leaves,
    )


def python_value(node: ast.expr) -> Fraction:
    """What Python's grammar makes of an expression, with exact division."""
    if isinstance(node, ast.Constant):
        return Fraction(node.value)
    assert isinstance(node, ast.BinOp)
    left, right = python_value(node.left), python_value(node.right)
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
    raise AssertionError(node.op)


@given(trees())
def test_values_agree_with_python(tree: Tree) -> None:
    text = render(tree)
    ours = parse_expression(text)
    try:
        theirs = python_value(ast.parse(text, mode="eval").body)
    except ZeroDivisionError:
        assert ours == BadExpression("division by zero")
    else:
        assert isinstance(ours, Expression)
        assert ours.value == theirs


@given(trees())
def test_parsing_what_was_rendered_gives_the_tree_back(tree: Tree) -> None:
    parsed = parse_expression(render(tree))
    if isinstance(parsed, Expression):
        assert parsed.tree == tree
        assert parsed.numbers == numbers_in(tree)


@given(st.text(alphabet="0123456789+-*/() \t", max_size=20))
def test_whatever_we_accept_python_accepts_with_the_same_value(text: str) -> None:
    ours = parse_expression(text)
    if isinstance(ours, Expression):
        assert ours.value == python_value(ast.parse(text.strip(" \t"), mode="eval").body)


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert isinstance(parse_expression(text), Expression | BadExpression)


@pytest.mark.parametrize(
    ("text", "value", "numbers"),
    [
        ("7", 7, (7,)),
        ("2 + 3 * 4", 14, (2, 3, 4)),
        ("(25-5)*4", 80, (25, 5, 4)),
        ("10 - 3 - 2", 5, (10, 3, 2)),
        ("12 / 3 / 2", 2, (12, 3, 2)),
        ("1 / 3", Fraction(1, 3), (1, 3)),
        ("6 \u00d7 4 \u00f7 3 \u2212 1", 7, (6, 4, 3, 1)),
    ],
)
def test_examples(text: str, value: Fraction | int, numbers: tuple[int, ...]) -> None:
    parsed = parse_expression(text)
    assert isinstance(parsed, Expression)
    assert (parsed.value, parsed.numbers) == (value, numbers)
    assert isinstance(parsed.value, Fraction)


HOSTILE = (
    "",
    " ",
    "()",
    "1 +",
    "+ 1",
    "-1",
    "1 2",
    "1 + * 2",
    "(1 + 2",
    "1 + 2)",
    "9**9**9",
    "2 ** 3",
    "7 // 2",
    "7 % 2",
    "1 / 0",
    "1 / (2 - 2)",
    "1e9",
    "1.5",
    "1_000",
    "007",
    "0x10",
    "1 = 1",
    "1 if 1 else 2",
    "__import__('os')",
    "x",
    "\uff17",
    "7\u00b2",
    "7\x00",
    "7\n",
    "(" * 100_000,
    "(" * 100_000 + "1" + ")" * 100_000,
    "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1),
    "9" * 100_000,
    "9" * 13,
    "1+" * 100_000 + "1",
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_quickly(text: str) -> None:
    start = time.perf_counter()
    parsed = parse_expression(text)
    assert isinstance(parsed, BadExpression)
    assert parsed.reason
    assert time.perf_counter() - start < 0.2


def test_depth_up_to_the_bound_is_read() -> None:
    parsed = parse_expression("(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH)
    assert isinstance(parsed, Expression)


def test_the_working_goes_one_operation_at_a_time() -> None:
    assert worked(Op("*", Op("-", 25, 5), 4)) == "(25 - 5) * 4 = 20 * 4 = 80"
    assert worked(Op("-", 1, Op("-", 2, 5))) == "1 - (2 - 5) = 1 - (-3) = 4"
    with pytest.raises(ValueError, match="does not come out whole"):
        worked(Op("/", 1, 3))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Op("+", 3, 4), Op("+", 4, 3)),
        (Op("*", Op("*", 2, 3), 4), Op("*", 4, Op("*", 3, 2))),
        (Op("-", Op("+", 3, 4), 2), Op("+", Op("-", 4, 2), 3)),
        (Op("-", 9, Op("-", 5, 2)), Op("+", Op("-", 9, 5), 2)),
    ],
)
def test_canonical_text_ignores_order_and_grouping(one: Tree, other: Tree) -> None:
    assert canonical(one) == canonical(other)


def test_canonical_text_tells_different_problems_apart() -> None:
    different = [Op("-", 3, 4), Op("-", 4, 3), Op("+", 3, 4), Op("*", 3, 4), Op("+", 34, 0)]
    assert len({canonical(tree) for tree in different}) == len(different)


@given(trees(6), trees(6))
def test_trees_with_one_canonical_text_have_one_value(one: Tree, other: Tree) -> None:
    for a, b in ((one, other), (Op("+", one, other), Op("+", other, one))):
        if canonical(a) == canonical(b):
            try:
                value = evaluate(a)
            except ZeroDivisionError:
                continue
            assert value == evaluate(b)


@given(st.integers(), st.lists(st.integers(1, 99), min_size=1, max_size=6))
def test_random_trees_use_each_number_once(seed: int, numbers: list[int]) -> None:
    tree = random_tree(Random(seed), numbers, "+-*")
    assert sorted(numbers_in(tree)) == sorted(numbers)


@given(st.integers(), st.lists(st.integers(1, 99), min_size=2, max_size=5))
def test_whole_trees_have_a_whole_working(seed: int, numbers: list[int]) -> None:
    drawn = whole_tree(Random(seed), numbers, "+-*/", most=10**10)
    assert drawn is not None
    tree, value = drawn
    assert sorted(numbers_in(tree)) == sorted(numbers)
    assert evaluate(tree) == value > 0
    assert worked(tree).endswith(f" = {evaluate(tree)}")
    assert "-" not in worked(tree).replace(" - ", "")


@given(st.integers())
def test_no_step_of_a_whole_tree_is_larger_than_asked_for(seed: int) -> None:
    numbers = (60, 7, 25, 3)
    free = whole_tree(Random(seed), numbers, "+-*/", most=10**10)
    assert free is not None
    largest = int(max(step_values(free[0])))
    assert whole_tree(Random(seed), numbers, "+-*/", largest) == free
    assert whole_tree(Random(seed), numbers, "+-*/", largest - 1) is None


def step_values(tree: Tree) -> list[Fraction]:
    if isinstance(tree, int):
        return []
    return [evaluate(tree), *step_values(tree.left), *step_values(tree.right)]
