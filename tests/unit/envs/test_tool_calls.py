"""Tool calls are model output: anything may stand there, and nothing may raise."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.envs.tool_calls import MAX_DEPTH, parse_tool_calls
from minirl.types import Message, ToolCall, json_line

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # A text may spell the closing tag, which ends the call early.
    | st.text(st.characters(exclude_categories=["Cs"])).filter(lambda s: "</tool_call" not in s),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


def call(body: str) -> str:
    return f"<tool_call>{body}</tool_call>"


def test_calls_are_read_in_order_and_the_text_around_them_is_left():
    text = (
        'Let me add.\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": [2, "x"]}}\n'
        '</tool_call> then <tool_call>{"arguments": {}, "name": "list"}</tool_call>'
    )
    assert parse_tool_calls(text) == (
        ToolCall("add", {"a": 1, "b": [2, "x"]}),
        ToolCall("list", {}),
    )


def test_arguments_may_be_missing():
    assert parse_tool_calls(call('{"name": "now"}')) == (ToolCall("now", {}),)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        '{"name": "add", "arguments": {"a": 1}',
        '["add"]',
        '"add"',
        "null",
        '{"arguments": {}}',
        '{"name": 3, "arguments": {}}',
        '{"name": null}',
        '{"name": "add", "arguments": null}',
        '{"name": "add", "arguments": [1]}',
        '{"name": "add", "arguments": "{}"}',
        '{"name": "add", "arguments": {"a": NaN}}',
        '{"name": "add", "arguments": {"a": -Infinity}}',
        '{"name": "add", "arguments": {"a": [1e999]}}',
        '{"name": "add", "arguments": {"a": "\\ud800"}}',
        '{"name": "add", "arguments": {"\\udfff": 1}}',
        '{"name": "\\ud800"}',
        '{"name": "add", "arguments": {"a": ' + "[" * 200_000,
        '{"name": "add", "arguments": {"a": ' + "[" * 900 + "]" * 900 + "}}",
        '{"name": "add", "arguments": {"a": ' + "9" * 5000 + "}}",
    ],
)
def test_malformed_calls_are_left_out_and_the_others_stay(body):
    good = call('{"name": "ok", "arguments": {}}')
    assert parse_tool_calls(good + call(body) + good) == (ToolCall("ok", {}),) * 2


def test_an_unclosed_call_is_no_call():
    assert parse_tool_calls('<tool_call>{"name": "add"}') == ()
    assert parse_tool_calls('{"name": "add"}') == ()


def test_nesting_is_read_up_to_the_limit():
    inside = MAX_DEPTH - 2  # the call and its arguments are the first two levels
    nested = '{"name": "f", "arguments": {"a": ' + "[" * inside + "]" * inside + "}}"
    assert len(parse_tool_calls(call(nested))) == 1
    assert parse_tool_calls(call(nested.replace("[", "[[").replace("]", "]]"))) == ()


@given(st.text() | st.text().map(call) | st.text('{}[]":,\\ud80enam<>/tool_call').map(call))
def test_no_text_raises(text):
    assert isinstance(parse_tool_calls(text), tuple)


@given(st.text("abc", min_size=1), st.dictionaries(st.text("abc"), plain))
def test_what_a_template_would_write_is_read_back(name, arguments):
    written = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    assert parse_tool_calls(call(written)) == (ToolCall(name, arguments),)


@given(st.dictionaries(st.text(), st.text() | st.floats() | st.lists(st.floats())))
def test_whatever_is_read_can_be_logged(arguments):
    body = json.dumps({"name": "f", "arguments": arguments})  # writes NaN and \ud800, too
    message = Message("assistant", "", parse_tool_calls(call(body)))
    assert json.loads(json_line(message.as_dict()).encode())["role"] == "assistant"
