"""Comparing what a program returned with what is right, in our process."""

from __future__ import annotations

from typing import Any


def same_value(a: Any, b: Any) -> bool:
    """Whether two pieces of plain data are equal *and* of the same types all the way down.

    True is not 1, 1 is not 1.0, a tuple is not a list; nan equals nothing, itself included; -0.0
    equals 0.0; the order of a dict's keys does not count. Anything but plain data equals nothing,
    and no method of it is called.
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple) and type(a) in (list, tuple):
        return len(a) == len(b) and all(map(same_value, a, b))
    if type(a) is dict:
        keys = {key: key for key in b}
        return len(a) == len(b) and all(
            key in keys and same_value(key, keys[key]) and same_value(a[key], b[key]) for key in a
        )
    return type(a) in (type(None), bool, int, float, str) and bool(a == b)
