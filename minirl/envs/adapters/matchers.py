"""Comparing an answer slot with the answer of a row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from minirl.rewards.answer import BLANK

_NUMBER = re.compile(
    r"[-+]?\$?(?:[0-9]{1,3}(?:,[0-9]{3}){1,9}|[0-9]{1,30})(?:\.[0-9]{1,30})?", re.ASCII
)
_SPACES = re.compile(f"[{BLANK}]+")
_FINAL = "####"  # where GSM8K and its kin write the number, after the solution


@dataclass(frozen=True, slots=True)
class Matcher:
    """How an answer column is read, and which slots it accepts."""

    read: Callable[[str], str | None]  # the canonical answer; None: not one
    accepts: Callable[[str, str], bool]  # of (the canonical answer, what stands in the slot)
    wrong: Callable[[str], str]  # a well-formed answer that is not accepted
    expected: str


def parse_number(text: str) -> Decimal | None:
    """The number that ``text`` spells: ``1234``, ``1,234.50``, ``-7``, ``$3``; no exponents."""
    if not _NUMBER.fullmatch(text):
        return None
    return Decimal(text.replace(",", "").replace("$", ""))


def _read_text(text: str) -> str | None:
    return _SPACES.sub(" ", text).strip(BLANK) or None


def _read_number(text: str) -> str | None:
    last = text.rpartition(_FINAL)[2].strip(BLANK)
    return last if parse_number(last) is not None else None


def _read_choice(text: str) -> str | None:
    match = re.fullmatch(r"\(?([A-Za-z])\)?", text.strip(BLANK))
    return match[1].upper() if match else None


MATCHERS = {
    "exact": Matcher(
        _read_text,
        lambda right, slot: _read_text(slot) == right,
        lambda right: right + "x",
        "a text",
    ),
    "number": Matcher(
        _read_number,
        lambda right, slot: parse_number(slot) == parse_number(right),
        lambda right: str((parse_number(right) or Decimal(0)) + 1),
        "a number, alone or after '####'",
    ),
    "choice": Matcher(
        _read_choice,
        lambda right, slot: _read_choice(slot) == right,
        lambda right: "A" if right != "A" else "B",
        "one letter, as in B or (B)",
    ),
}
