"""Reading answers: what is counted, what is text, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.endpoint.wire import (
    Malformed,
    Question,
    Sampling,
    apportion,
    clean,
    linked,
    read_completion,
    wire_messages,
)
from minirl.envs.tool_calls import parse_tool_calls
from minirl.types import Message, ToolCall

QUESTION = Question("m", ({"role": "user", "content": "hi"},), (), 1, 50, Sampling(), 0)


def read(*messages, n=None, usage=None, finish="stop"):
    body = {"choices": [{"message": m, "finish_reason": finish} for m in messages], "usage": usage}
    return read_completion(json.dumps(body), replace(QUESTION, n=n or len(messages)))


def one(message, **options):
    return read(message, **options).answers[0]


def call(arguments, name="add", identity="c1"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_plain_answer():
    got = read({"content": "35"}, usage={"prompt_tokens": 9, "completion_tokens": 2})
    (answer,) = got.answers
    assert (answer.text, answer.tokens, answer.cut_off, answer.counted) == ("35", 2, False, True)
    assert got.prompt_tokens == 9
    assert answer.as_message() == {"role": "assistant", "content": "35"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ([{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}], "ab"),
        ("a\x00\u202eb", "a\x00\u202eb"),
        ("a\ud800b", "a\ufffdb"),
    ],
)
def test_content(content, text):
    answer = one({"content": content})
    assert answer.text == text
    assert answer.text.encode().decode() == text
    assert answer.tokens == max(1, -(-len(text.encode()) // 4))
    assert not answer.counted


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "content_filter", None, 7, "eos"])
def test_only_length_is_cut_off(finish):
    assert not one({"content": "x"}, finish=finish).cut_off
    cut = one({"content": "x"}, finish="length")
    assert (cut.cut_off, cut.tokens) == (True, 50)


def test_reasoning_is_counted_and_is_no_text():
    answer = one({"content": "35", "reasoning_content": "h" * 38})
    assert (answer.text, answer.tokens) == ("35", 10)
    told = one({"content": "35", "reasoning": "hm"}, usage={"completion_tokens": 40})
    assert (told.text, told.tokens) == ("35", 40)


@pytest.mark.parametrize("claimed", [-1, True, "7", 1.5, None, 10**12, [1]])
def test_a_count_that_is_none_is_estimated(claimed):
    answer = one({"content": "12345"}, usage={"completion_tokens": claimed})
    assert (answer.tokens, answer.counted) == (2, False)


def test_a_count_beyond_the_limit_is_bounded():
    assert one({"content": "12345"}, usage={"completion_tokens": 10**6}).tokens == 50
    assert one({"content": "x" * 70}, usage={"completion_tokens": 10**6}).tokens == 70
    assert one({"content": ""}, usage={"completion_tokens": 0}).tokens == 1


def test_choices_share_the_count_by_their_length():
    got = read({"content": "x" * 9}, {"content": "x" * 29}, usage={"completion_tokens": 8})
    assert [a.tokens for a in got.answers] == [2, 6]
    assert len(read({"content": "a"}, {"content": "b"}, n=1).answers) == 1


@pytest.mark.parametrize(
    ("sizes", "finish", "claimed", "tokens"),
    [
        ((9, 29), "stop", 1, [3, 8]),  # two choices are two tokens at least
        ((80, 80), "stop", 19, [20, 20]),
        ((80, 80), "stop", 20, [10, 10]),
        ((9, 29), "length", 99, [50, 50]),
    ],
)
def test_a_count_that_cannot_be_of_all_choices_is_left(sizes, finish, claimed, tokens):
    messages = [{"content": "x" * size} for size in sizes]
    got = read(*messages, finish=finish, usage={"completion_tokens": claimed})
    assert [a.tokens for a in got.answers] == tokens


@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(0, 10**5), st.booleans()), min_size=1, max_size=20),
    st.integers(1, 10**4),
)
def test_shares_sum_to_the_count(total, choices, limit):
    sizes, cut = zip(*choices, strict=True)
    parts = apportion(total, sizes, cut, limit)
    assert sum(parts) == total
    assert min(parts) >= 0
    if limit * sum(cut) <= total and not all(cut) and len(cut) > 1:
        assert all(p == limit for p, c in zip(parts, cut, strict=True) if c)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "<html>",
        "[]",
        "null",
        "{}",
        '{"choices": []}',
        '{"choices": {}}',
        '{"choices": [1]}',
        '{"choices": [{}]}',
        '{"choices": [{"message": "x"}]}',
        '{"choices": [{"message": {"content": 7}}]}',
        '{"error": {"message": "busy"}}',
        '{"choices": [{"message": {"content": "x"',
        "[" * 100_000,
    ],
)
def test_what_is_no_completion_is_malformed(raw):
    with pytest.raises(Malformed):
        read_completion(raw, QUESTION)


# Tool calls -----------------------------------------------------------------------------------


def test_structured_calls_are_read_as_the_house_writes_them():
    answer = one({"content": "hm", "tool_calls": [call('{"a": 3, "b": "</tool_call>é"}')]})
    expected = ToolCall("add", {"a": 3, "b": "</tool_call>é"})
    assert parse_tool_calls(answer.text) == (expected,)
    assert answer.text.startswith("hm\n<tool_call>")
    back = answer.as_message()
    assert back["content"] == "hm"
    assert back["tool_calls"] == [call('{"a": 3, "b": "</tool_call>é"}')]


@pytest.mark.parametrize("arguments", ["", "{}", None])
def test_calls_without_arguments(arguments):
    function = {"name": "now"} if arguments is None else {"name": "now", "arguments": arguments}
    answer = one({"content": None, "tool_calls": [{"function": function}]})
    assert parse_tool_calls(answer.text) == (ToolCall("now", {}),)


@pytest.mark.parametrize("arguments", ["{", "[1]", '{"a": 1} {"b": 2}', "7", "[" * 10**5])
def test_unsound_calls_go_back_as_text(arguments):
    answer = one({"content": "", "tool_calls": [call(arguments)]})
    assert parse_tool_calls(answer.text) == ()
    assert answer.as_message() == {"role": "assistant", "content": answer.text}


@pytest.mark.parametrize("calls", ["x", [1], [{"function": {}}], [{"function": {"name": 1}}], {}])
def test_malformed_calls_are_left_out(calls):
    assert one({"content": "x", "tool_calls": calls}).text == "x"


def test_arguments_may_come_as_an_object():
    answer = one({"content": None, "tool_calls": [call({"a": 1})]})
    assert parse_tool_calls(answer.text) == (ToolCall("add", {"a": 1}),)
    assert answer.as_message()["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'


def test_results_are_linked_to_the_calls_before_them():
    asked = {
        "role": "assistant",
        "content": "",
        "tool_calls": [call("{}", identity=i) for i in "ab"],
    }
    tool = {"role": "tool", "content": "1"}
    got = linked([asked, tool, tool, tool, {"role": "user", "content": "x"}])
    assert [m.get("tool_call_id") for m in got] == [None, "a", "b", "call_3", None]
    assert "tool_call_id" not in tool


def test_messages_of_an_environment():
    (spoken, plain, called) = wire_messages(
        [
            Message("user", "a\ud800"),
            Message("assistant", "<tool_call>{}</tool_call>", (ToolCall("f", {}),)),
            Message("assistant", "", (ToolCall("f", {"x": 1}),)),
        ]
    )
    assert spoken == {"role": "user", "content": "a\ufffd"}
    assert "tool_calls" not in plain
    assert called["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1}'}


@given(st.text(st.characters(codec=None, categories=None)))
def test_clean_text_can_be_written(text):
    assert clean(text).encode().decode() == clean(text)
    assert len(clean(text)) == len(text)
