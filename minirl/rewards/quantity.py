"""Whole numbers as people write them in answers: ``1,234``, ``$18``, ``18.00``.

Only spellings that can mean one number are read. Units in words are refused, because what follows a
number may change it (``18 dozen``); so is ``1.000``, a thousand in half of the world and one in the
other half.
"""

from __future__ import annotations

import re

# Where a quantity may stand in a text, for the lenient rate: linear time, and no judgement yet.
QUANTITY = re.compile(
    r"(?:(?<![0-9A-Za-z)])-)?[$€£]?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
)

_WHOLE = re.compile(
    r"(-?)[$€£]?"
    r"(0|[1-9][0-9]{0,29}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,9})"
    r"(?:\.0{1,2})?"  # not three: 1.000 is ambiguous
)


def parse_quantity(text: str) -> int | None:
    """The whole number that ``text`` spells unambiguously, else None.

    Read: an optional ``-``, an optional ``$``, ``€`` or ``£``, at most 30 ASCII digits without
    leading zeros, with commas between all their groups of three or none, and optionally ``.0`` or
    ``.00``. Everything else is None: ``+5``, ``05``, ``1,23``, ``18.5``, ``18 dollars``, ``20%``.
    Never raises.
    """
    match = _WHOLE.fullmatch(text)
    if match is None:
        return None
    sign, digits = match.groups()
    value = int(digits.replace(",", ""))
    if sign and not value:
        return None  # no "-0"
    return -value if sign else value
