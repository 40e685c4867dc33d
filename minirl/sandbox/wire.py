"""Plain data as JSON and back, exactly: an int stays an int, a tuple a tuple, True no 1.

Imported on both sides of the wall, so it uses the standard library alone. Reading trusts nothing:
size, depth and types are bounded whatever was written.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 64
MAX_INT_BITS = 14_000  # about 4,200 digits; Python's own text conversion ends at 4,300


class BadValue(Exception):
    """Not plain data, nested too deep, or no text of it."""


class TooLong(Exception):
    """More than the bytes that were allowed."""


def encode(value: Any, max_bytes: int) -> str:
    """``value`` as ASCII JSON. Raises BadValue or TooLong; a cycle is too deep or too long."""
    left = [max_bytes]
    try:
        text = json.dumps(_to_json(value, MAX_DEPTH, left))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadValue(str(error)) from error
    if len(text) > max_bytes:
        raise TooLong(f"{len(text)} bytes of at most {max_bytes}")
    return text


def decode(text: str) -> Any:
    """The value that :func:`encode` wrote. Raises BadValue for anything else."""
    try:
        return _from_json(json.loads(text), MAX_DEPTH)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadValue(str(error)) from error


def _to_json(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= len(value) if type(value) is str else 1
    if left[0] < 0:
        raise TooLong("too many parts")
    if depth < 0:
        raise BadValue(f"nested more than {MAX_DEPTH} deep")
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        if value.bit_length() > MAX_INT_BITS:
            raise BadValue("an integer of thousands of digits")
        return value
    if kind is str:
        return _text(value)
    if kind is list:
        return [_to_json(item, depth - 1, left) for item in value]
    if kind is tuple:
        return {"t": [_to_json(item, depth - 1, left) for item in value]}
    if kind is dict:
        pairs = value.items()
        return {"d": [[_to_json(part, depth - 1, left) for part in pair] for pair in pairs]}
    raise BadValue(f"a {kind.__name__[:80]}, which is no plain data")


def _from_json(value: Any, depth: int) -> Any:
    if depth < 0:
        raise BadValue(f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return [_from_json(item, depth - 1) for item in value]
    if isinstance(value, dict):
        ((kind, items),) = value.items()  # exactly one, else a ValueError
        if kind not in ("t", "d") or not isinstance(items, list):
            raise BadValue("neither a tuple nor a dict")
        if kind == "t":
            return tuple(_from_json(item, depth - 1) for item in items)
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in items):
            raise BadValue("a dict of something else than pairs")
        built = {_from_json(k, depth - 1): _from_json(v, depth - 1) for k, v in items}
        if len(built) != len(items):
            raise BadValue("a dict with a key twice")
        return built
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    value.encode("utf-8")  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    return value
