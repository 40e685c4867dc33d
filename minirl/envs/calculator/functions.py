"""The calculators that the policy may call: exact, bounded, and never ``eval``."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Annotated

from minirl.envs.tools import ToolError, Toolset, tool
from minirl.rewards.expression import BadExpression, parse_expression

_SHOWN_PLACES = 10  # of a result
_LARGEST = 10**15


def calculate(_: None, expression: str) -> str:
    """Value of an expression such as 2 * (3 + 4)."""
    parsed = parse_expression(expression)
    if isinstance(parsed, BadExpression):
        raise ToolError(parsed.reason)
    return number_text(parsed.value)


def add(_: None, a: float, b: float) -> str:
    """a + b."""
    return number_text(_exact(a) + _exact(b))


def subtract(_: None, a: float, b: float) -> str:
    """a - b."""
    return number_text(_exact(a) - _exact(b))


def multiply(_: None, a: float, b: float) -> str:
    """a * b."""
    return number_text(_exact(a) * _exact(b))


def divide(_: None, a: float, b: float) -> str:
    """a / b."""
    divisor = _exact(b)
    if divisor == 0:
        raise ToolError("division by zero")
    return number_text(_exact(a) / divisor)


def round_to(_: None, a: float, places: Annotated[int, "from 0 to 9"]) -> str:
    """a, rounded to so many decimals."""
    if not 0 <= places <= 9:
        raise ToolError("places must be from 0 to 9")
    return number_text(rounded(_exact(a), places))


TOOLSETS: dict[str, Toolset[None]] = {
    "expression": Toolset((tool(calculate),)),
    "binary": Toolset((tool(add), tool(subtract), tool(multiply), tool(divide), tool(round_to))),
}


def rounded(value: Fraction, places: int) -> Fraction:
    """``value`` to so many decimals, halves away from zero."""
    scaled = abs(value) * 10**places
    whole = Fraction(floor(scaled + Fraction(1, 2)), 10**places)
    return whole if value >= 0 else -whole


def number_text(value: Fraction) -> str:
    """``value`` in decimal digits, at most ten of them behind the point and no zeros at the end."""
    shown = rounded(value, _SHOWN_PLACES)
    whole, rest = divmod(abs(shown), 1)
    digits = str(int(rest * 10**_SHOWN_PLACES)).rjust(_SHOWN_PLACES, "0").rstrip("0")
    return f"{'-' if shown < 0 else ''}{int(whole)}{'.' + digits if digits else ''}"


def _exact(number: float) -> Fraction:
    """The decimal number that was written (0.1 is a tenth), within what is allowed."""
    if abs(number) >= _LARGEST:
        raise ToolError("a number is too large")
    return Fraction(str(number))
