"""Equality that no type and no method can bend."""

from __future__ import annotations

import copy
import math

import pytest

from minirl.sandbox import same_value
from tests.unit.sandbox.test_wire import PLAIN, Sub, given


class Liar:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:  # without an address, which would name a test anew in every run
        return "Liar()"


@given(PLAIN)
def test_a_value_is_the_same_as_its_copy(value):
    assert same_value(value, copy.deepcopy(value))


@given(PLAIN, PLAIN)
def test_the_same_is_equal_and_symmetric(a, b):
    assert same_value(a, b) == same_value(b, a)
    assert a == b or not same_value(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (True, 1),
        (0, False),
        (1, 1.0),
        (math.nan, math.nan),
        ([math.nan], [math.nan]),
        ((1,), [1]),
        ([1], [1, 1]),
        ({1: 2}, {True: 2}),
        ({1: 2}, {1.0: 2}),
        ({(1, 2): 0}, {(1, True + 1.0): 0}),
        ({1: 2}, {1: 2, 3: 4}),
        (None, 0),
        ("1", 1),
        (Sub(1), 1),
        (Liar(), Liar()),
        ([Liar()], [1]),
        ({math.nan: 1}, {math.nan: 1}),
    ],
    ids=str,
)
def test_not_the_same(a, b):
    assert not same_value(a, b)
    assert not same_value(b, a)


@pytest.mark.parametrize(
    ("a", "b"), [(0.0, -0.0), ({1: 2, 3: 4}, {3: 4, 1: 2}), (math.inf, math.inf)], ids=str
)
def test_the_same(a, b):
    assert same_value(a, b)
