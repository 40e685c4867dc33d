"""Arithmetic expressions as small trees: parsed safely, evaluated exactly, worked out in steps.

The grammar is ``+ - * /`` and parentheses over non-negative integers; nothing is ever handed to
``eval``. Length, depth and digits are bounded, so hostile text costs microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import NamedTuple, TypeAlias

from minirl.rewards.draws import below, pick

Number: TypeAlias = int | Fraction  # int while it lasts: many times faster than Fraction

MAX_CHARS = 200
MAX_DEPTH = 20
MAX_DIGITS = 12

_TOKEN = re.compile(r"[ \t]*([0-9]+|[-+*/()])")
_SIGNS = str.maketrans({"\u00d7": "*", "\u00f7": "/", "\u2212": "-"})  # the typographic signs
_APPLY: dict[str, Callable[[Number, Number], Number]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: Fraction(a, b),
}
_RANK = {"+": 1, "-": 1, "*": 2, "/": 2}


class Op(NamedTuple):
    """An operator (one of ``+ - * /``) over two trees."""

    operator: str
    left: Tree
    right: Tree


Tree: TypeAlias = "int | Op"


@dataclass(frozen=True, slots=True)
class Expression:
    """A well-formed expression: its tree, exact value and integer literals, left to right."""

    tree: Tree
    value: Fraction
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BadExpression:
    """Text that is no expression, and why."""

    reason: str


def parse_expression(text: str) -> Expression | BadExpression:
    """Read one expression, or say why the text is none.

    A sign in front, ``**``, ``= 7`` and x / 0 are all refused. The signs U+00D7, U+00F7 and U+2212
    are read as ``* / -``, other Unicode is refused. Never raises.
    """
    if len(text) > MAX_CHARS:
        return BadExpression(f"longer than {MAX_CHARS} characters")
    try:
        tree = _Parser(_tokens(text.translate(_SIGNS).strip(" \t"))).whole()
        return Expression(tree, evaluate(tree), numbers_in(tree))
    except _SyntaxFault as fault:
        return BadExpression(str(fault))
    except ZeroDivisionError:
        return BadExpression("division by zero")


def evaluate(tree: Tree) -> Fraction:
    """The exact value of ``tree``; ZeroDivisionError where it divides by zero."""
    return Fraction(_value(tree))


def numbers_in(tree: Tree) -> tuple[int, ...]:
    """The integer literals of ``tree``, from left to right."""
    if isinstance(tree, int):
        return (tree,)
    return numbers_in(tree.left) + numbers_in(tree.right)


def render(tree: Tree) -> str:
    """``tree`` as text with the parentheses its shape needs; parsing gives ``tree`` back."""
    if isinstance(tree, int):
        return str(tree)
    rank = _RANK[tree.operator]
    left, right = _operand(tree.left, rank), _operand(tree.right, rank + 1)
    return f"{left} {tree.operator} {right}"


def worked(tree: Tree) -> str:
    """``tree`` worked out one operation at a time: ``(25 - 5) * 4 = 20 * 4 = 80``.

    Raises:
        ValueError: a step does not come out whole.
    """
    forms = [render(tree)]
    while not isinstance(tree, int):
        tree = _reduce(tree)
        forms.append(render(tree))
    return " = ".join(forms)


def canonical(tree: Tree) -> str:
    """A text shared by trees that differ only in the order or grouping of terms or factors."""
    if isinstance(tree, int):
        return str(tree)
    pair = "+-" if tree.operator in "+-" else "*/"
    terms: list[str] = []
    _flatten(tree, pair, pair[0], terms)
    return f"({''.join(sorted(terms))})"


def random_tree(rng: Random, numbers: Sequence[int], operators: str) -> Tree:
    """A random expression that uses each of ``numbers`` once.

    Args:
        rng: the source of randomness.
        numbers: its literals, in any order.
        operators: what to choose among, e.g. ``"+-*"``.
    """
    pool: list[Tree] = list(numbers)
    while len(pool) > 1:
        left, right = (pool.pop(below(rng, len(pool))) for _ in range(2))
        pool.append(Op(pick(rng, operators), left, right))
    return pool[0]


def whole_tree(
    rng: Random, numbers: Sequence[int], operators: str, most: int
) -> tuple[Tree, int] | None:
    """``random_tree`` whose every step is a positive whole number (``operators`` must hold ``+``),
    and its value; None as soon as a step is larger than ``most``.
    """
    pool: list[tuple[Tree, int]] = [(number, number) for number in numbers]
    while len(pool) > 1:
        left, a = pool.pop(below(rng, len(pool)))
        right, b = pool.pop(below(rng, len(pool)))
        operator, value = pick(rng, _whole_results(operators, a, b))
        if value > most:
            return None
        pool.append((Op(operator, left, right), value))
    return pool[0]


def whole_ops(left: Tree, right: Tree, operators: str) -> list[Op]:
    """The operations of ``left`` with ``right`` whose result is a positive whole number."""
    return [op for op in (Op(o, left, right) for o in operators) if _is_whole(op)]


class _SyntaxFault(Exception):
    """Inside this file only: the text is no expression."""


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _SyntaxFault(f"unexpected {text[at:].lstrip()[:1]!a}")
        tokens.append(match.group(1))
        at = match.end()
    return tokens


class _Parser:
    """Recursive descent: sum -> product -> atom. All operators associate to the left."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._sum()
        if self._peek():
            raise _SyntaxFault(f"unexpected {self._peek()!r}")
        return tree

    def _sum(self) -> Tree:
        return self._chain("+-", self._product)

    def _product(self) -> Tree:
        return self._chain("*/", self._atom)

    def _chain(self, operators: str, operand: Callable[[], Tree]) -> Tree:
        tree = operand()
        while self._peek() and self._peek() in operators:
            tree = Op(self._take(), tree, operand())
        return tree

    def _atom(self) -> Tree:
        token = self._take()
        if token == "(":
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise _SyntaxFault(f"nested deeper than {MAX_DEPTH}")
            tree = self._sum()
            if self._take() != ")":
                raise _SyntaxFault("a parenthesis is not closed")
            self._depth -= 1
            return tree
        if not token.isdigit():
            raise _SyntaxFault(
                f"expected a number, got {token!r}" if token else "it ends too early"
            )
        if len(token) > MAX_DIGITS or (token[0] == "0" and token != "0"):
            raise _SyntaxFault(f"bad number {token[:MAX_DIGITS]}")
        return int(token)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._at += 1
        return token


def _value(tree: Tree) -> Number:
    if isinstance(tree, int):
        return tree
    return _APPLY[tree.operator](_value(tree.left), _value(tree.right))


def _operand(tree: Tree, least_rank: int) -> str:
    bare = tree >= 0 if isinstance(tree, int) else _RANK[tree.operator] >= least_rank
    return render(tree) if bare else f"({render(tree)})"


def _reduce(tree: Op) -> Tree:
    if isinstance(tree.left, Op):
        return Op(tree.operator, _reduce(tree.left), tree.right)
    if isinstance(tree.right, Op):
        return Op(tree.operator, tree.left, _reduce(tree.right))
    value = _value(tree)
    if value.denominator != 1:
        raise ValueError(f"{render(tree)} does not come out whole")
    return int(value)


def _flatten(tree: Tree, pair: str, sign: str, terms: list[str]) -> None:
    """Add the signed terms (pair ``+-``) or factors (``*/``) of ``tree``, taken with ``sign``."""
    if isinstance(tree, int):
        terms.append(f"{sign}{tree}")
    elif tree.operator not in pair:
        terms.append(sign + canonical(tree))
    else:
        _flatten(tree.left, pair, sign, terms)
        if tree.operator == pair[1]:
            sign = pair[1] if sign == pair[0] else pair[0]
        _flatten(tree.right, pair, sign, terms)


def _is_whole(op: Op) -> bool:
    right = _value(op.right)
    if op.operator == "/" and right == 0:
        return False
    value = _APPLY[op.operator](_value(op.left), right)
    return value > 0 and value.denominator == 1


def _whole_results(operators: str, left: int, right: int) -> list[tuple[str, int]]:
    """Each of ``operators`` whose result is a positive whole number, with that result."""
    found = []
    for operator in operators:
        if operator == "+":
            value = left + right
        elif operator == "-":
            value = left - right
        elif operator == "*":
            value = left * right
        else:
            value = 0 if right == 0 or left % right else left // right
        if value > 0:
            found.append((operator, value))
    return found
