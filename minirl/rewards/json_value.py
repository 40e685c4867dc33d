"""JSON that a model wrote: read strictly, in bounded time, and compared with its types."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_CHARS = 4_000
MAX_BRACKETS = 64  # opened anywhere in the text; nesting cannot be deeper
MAX_DIGITS = 400  # of one number; Python itself refuses more than 4,300 digits


class _Refused(ValueError):
    """Inside this file only: JSON that Python's reader takes and this one does not."""


def parse_object(text: str) -> dict[str, Any] | None:
    """The one JSON object that ``text`` holds and nothing beside it, else None.

    Refused: keys that occur twice, ``NaN`` and ``Infinity``, numbers past the range of a float,
    lone surrogates, and anything longer or deeper than the bounds above. Never raises.
    """
    if len(text) > MAX_CHARS or text.count("{") + text.count("[") > MAX_BRACKETS:
        return None
    try:
        value = _read(text)
        text.encode()  # a lone surrogate has no UTF-8
    except ValueError:  # JSONDecodeError and UnicodeEncodeError are ValueErrors
        return None
    return value if isinstance(value, dict) else None


def same_json(left: object, right: object) -> bool:
    """Whether two JSON values are equal, types included: ``1``, ``1.0``, ``true`` and ``"1"`` are
    four values. The order of keys does not count, that of array items does.
    """
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return left == right


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("a key occurs twice")
    return found


def _constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is no JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _Refused("an integer has too many digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _Refused("a number is past the range of a float")
    return value


_read = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_constant, parse_int=_integer, parse_float=_float
).decode
