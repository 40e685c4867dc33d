"""JSON from a model: strict, typed, bounded."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirl.rewards.json_value import MAX_BRACKETS, MAX_CHARS, parse_object, same_json

SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8)
SCALARS |= st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_what_json_writes_is_read_back_with_its_types(value: dict[str, object]) -> None:
    assert same_json(parse_object(json.dumps(value)), value)
    assert same_json(parse_object(json.dumps(value, indent=1)), value)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_equal_means_written_alike(left: object, right: object) -> None:
    def text(value: object) -> str:
        return json.dumps(value, sort_keys=True).replace("-0.0", "0.0")  # -0.0 == 0.0

    assert same_json(left, right) == (text(left) == text(right))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "[]",
        "null",
        '"{}"',
        "{",
        "{}{}",
        "{} x",
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 1, "a": 1}',
        '{"b": {"a": 1, "a": 2}}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": 01}',
        '{"a": +1}',
        '{"a": \u0661}',
        '{"a": "\ud800"}',
        '{"a": 1} // so',
        '{"a": ' + "9" * 500 + "}",
        '{"a": ' + "9" * 3990 + "}",
        '{"a": ' + "[" * MAX_BRACKETS + "]" * MAX_BRACKETS + "}",
        '{"a": "' + "x" * MAX_CHARS + '"}',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_everything_else_is_none_and_quick(text: str) -> None:
    start = time.process_time()
    assert parse_object(text) is None
    assert time.process_time() - start < 0.05


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), (1, True), (0, False), ("1", 1), (None, False), ([1], {"0": 1}), ([1, 2], [2, 1])],
)
def test_types_and_orders_differ(left: object, right: object) -> None:
    assert not same_json({"a": left}, {"a": right})
    assert same_json({"a": left, "b": right}, {"b": right, "a": left})
