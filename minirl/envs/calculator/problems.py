"""What is asked of a calculator, and the calls that answer it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from minirl.envs.calculator.functions import number_text, rounded
from minirl.envs.tool_calls import tool_call_text
from minirl.rewards.expression import Tree, canonical, evaluate, render

PLACES = 2  # decimals of an answer that is not whole
_TOO_LARGE = 10**12
_OPERATION = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """``tree``, or a share of it in tenths of a percent, or its quotient by ``divisor``."""

    tree: Tree
    tenths: int | None = None
    divisor: int | None = None

    @property
    def value(self) -> Fraction:
        value = evaluate(self.tree)
        if self.tenths is not None:
            return value * self.tenths / 1000
        return value / (self.divisor or 1)

    @property
    def text(self) -> str:
        if self.tenths is not None:
            return f"{number_text(Fraction(self.tenths, 10))}% of ({render(self.tree)})"
        text = render(self.tree)
        return text if self.divisor is None else f"({text}) / {self.divisor}"

    @property
    def key(self) -> str:
        return f"{canonical(self.tree)}%{self.tenths}/{self.divisor}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One quantity to give, or two of which the larger is asked for."""

    quantities: tuple[Quantity, ...]

    @property
    def value(self) -> Fraction:
        return max(q.value for q in self.quantities)

    @property
    def key(self) -> str:
        return " or ".join(sorted(q.key for q in self.quantities))

    @property
    def is_whole(self) -> bool:
        return all(q.tenths is None and q.divisor is None for q in self.quantities)

    @property
    def answer(self) -> str:
        return number_text(rounded(self.value, PLACES))

    @property
    def question(self) -> str:
        if len(self.quantities) == 2:
            a, b = (q.text for q in self.quantities)
            asked = f"A is {a}. B is {b}. What is the larger of the two?"
        else:
            asked = f"What is {self.quantities[0].text}?"
        return asked if self.is_whole else f"{asked} Round to {PLACES} decimals."


def products(tree: Tree) -> int:
    """How many multiplications ``tree`` has."""
    if isinstance(tree, int):
        return 0
    return (tree.operator == "*") + products(tree.left) + products(tree.right)


def fair(problem: Problem) -> bool:
    """Large enough, within the tools' range, and no half to round that invites dispute."""
    values = [q.value for q in problem.quantities]
    if problem.is_whole:
        return all(1000 <= abs(value) < _TOO_LARGE for value in values)
    return (
        all(1000 <= value < _TOO_LARGE for value in values)
        and len(set(values)) == len(values)
        and max(values) * 10**PLACES % 1 != Fraction(1, 2)
    )


def steps(problem: Problem) -> list[str]:
    """``problem`` as calls of the tools that take two numbers."""
    calls: list[str] = []

    def call(name: str, a: Fraction, b: Fraction) -> None:
        calls.append(tool_call_text(name, a=_number(a), b=_number(b)))

    def reduce(tree: Tree) -> Fraction:
        if isinstance(tree, int):
            return Fraction(tree)
        left, right = reduce(tree.left), reduce(tree.right)
        call(_OPERATION[tree.operator], left, right)
        return evaluate(tree)

    for quantity in problem.quantities:
        value = reduce(quantity.tree)
        if quantity.tenths is not None:
            percent = Fraction(quantity.tenths, 10)
            call("multiply", value, percent)
            call("divide", value * percent, Fraction(100))
        if quantity.divisor is not None:
            call("divide", value, Fraction(quantity.divisor))
    if not problem.is_whole:
        calls.append(tool_call_text("round_to", a=_number(problem.value), places=PLACES))
    return calls


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(number_text(value))
