"""Plain data crosses the wall exactly; nothing else crosses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.sandbox import same_value
from minirl.sandbox.wire import MAX_DEPTH, BadValue, TooLong, decode, encode

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)
KEYS = LEAVES | st.tuples(LEAVES, LEAVES)
PLAIN = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_what_is_written_is_read(value):
    assert same_value(decode(encode(value, 10**6)), value)


@given(
    st.text()
    | st.recursive(LEAVES, lambda s: st.lists(s) | st.dictionaries(st.text(), s)).map(json.dumps)
)
def test_any_text_is_plain_data_or_refused(text):
    try:
        value = decode(text)
    except BadValue:
        return
    encode(value, 10**7)  # raises unless it is plain data


class Sub(int):
    pass


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [{1}, b"x", 1j, object(), Sub(1), range(3), iter([]), "\ud800", 10**5000, nested(65), [Sub()]],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_plain_data_is_refused(value):
    with pytest.raises(BadValue):
        encode(value, 10**6)


def test_the_deepest_that_may_go_comes_back():
    deepest: object = 1
    for level in range(MAX_DEPTH):
        deepest = ([deepest], (deepest,), {"k": deepest})[level % 3]
    assert same_value(decode(encode(deepest, 10**6)), deepest)


@pytest.mark.parametrize("value", ["x" * 100, [0] * 100, "é" * 30], ids=str)
def test_what_is_too_long_is_refused(value):
    with pytest.raises(TooLong):
        encode(value, 99)


def test_a_dag_is_not_unrolled():
    value: list[object] = [1]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(TooLong):
        encode(value, 65536)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[" * 100_000,
        "[" * 80 + "]" * 80,
        "9" * 5000,
        '"\\ud800"',
        '{"d": ["ab"]}',
        '{"d": [[1, 2, 3]]}',
        '{"d": [[[1], 2]]}',
        '{"d": [[1, 2], [true, 3]]}',
        '{"t": [1], "d": []}',
        '{"t": "ab"}',
        '{"x": []}',
        "{}",
    ],
    ids=lambda t: t[:20],
)
def test_forged_texts_are_refused(text):
    with pytest.raises(BadValue):
        decode(text)
