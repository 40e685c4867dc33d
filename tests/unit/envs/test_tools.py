"""Tools: schemas from functions, hostile calls, and the episode around them."""

from __future__ import annotations

import json
import time
from typing import Annotated, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.envs.tool_calls import parse_tool_calls, read_tool_calls, tool_call_text
from minirl.envs.tools import (
    MAX_CALLS,
    MAX_RESULT,
    Tool,
    ToolEpisode,
    ToolError,
    Toolset,
    tool,
    tool_preface,
)
from minirl.errors import EnvironmentFault
from minirl.rewards import score_answer
from minirl.types import Message, Score, Task, ToolCall

Basket = list[str]


def put(
    basket: Basket,
    fruit: Literal["apple", "plum"],
    count: Annotated[int, "how many"],
    price: float = 1.0,
    notes: list[str] = [],  # noqa: B006
    ripe: bool = True,
) -> str:
    """Put fruit into the basket.

    Nothing of this line is shown.
    """
    if count > 9:
        raise ToolError("the basket is too small")
    basket += [fruit] * count
    return f"{len(basket)} in the basket"


def look(basket: Basket) -> dict[str, int]:
    """What is in the basket."""
    return {fruit: basket.count(fruit) for fruit in sorted(set(basket))}


TOOLS: Toolset[Basket] = Toolset((tool(put), tool(look)))
TASK = Task("fruit", "train", 0, (Message("user", "Two apples, please."),))


def episode(*, native: bool = False) -> ToolEpisode[Basket]:
    def judge(basket: Basket, text: str) -> Score:
        return score_answer(text, lambda slot: slot == "done" and basket == ["apple"] * 2)

    return ToolEpisode(TASK, TOOLS, [], judge, native=native)


def reply(text: str) -> str:
    (message,) = episode().step(Message("assistant", text)).messages
    return message.content


def test_a_schema_says_what_the_function_says() -> None:
    assert TOOLS.schemas[0] == {
        "type": "function",
        "function": {
            "name": "put",
            "description": "Put fruit into the basket",
            "parameters": {
                "type": "object",
                "properties": {
                    "fruit": {"type": "string", "enum": ["apple", "plum"]},
                    "count": {"type": "integer", "description": "how many"},
                    "price": {"type": "number"},
                    "notes": {"type": "array", "items": {"type": "string"}},
                    "ripe": {"type": "boolean"},
                },
                "required": ["fruit", "count"],
            },
        },
    }
    assert TOOLS.described.splitlines() == [
        'put(fruit: "apple" | "plum", count: integer, price?: number, notes?: list of string, '
        "ripe?: boolean): Put fruit into the basket",
        "look(): What is in the basket",
    ]


def test_a_parameter_without_a_usable_type_is_the_authors_fault() -> None:
    def untyped(state: None, a) -> str:  # type: ignore[no-untyped-def]
        return ""

    def odd(state: None, a: set[str]) -> str:
        return ""

    for function in (untyped, odd):
        with pytest.raises(EnvironmentFault, match="no usable type"):
            tool(function)


arguments = st.dictionaries(
    st.sampled_from(["fruit", "count", "price", "notes", "ripe", "more"]),
    st.sampled_from(["apple", "kiwi", "", 3, -1, 2**63, 2.5, True, None, [], ["x"], [1], {}]),
)


@given(arguments)
def test_arguments_are_accepted_exactly_where_the_schema_accepts_them(given_: dict) -> None:
    schema = {**put_tool().schema["function"]["parameters"], "additionalProperties": False}
    fits = jsonschema.Draft202012Validator(schema).is_valid(given_)
    if given_.get("count") == 2**63 or given_.get("price") == 2**63:
        fits = False  # what SQLite or a float could not hold
    assert (put_tool().fault(given_) is None) == fits


def put_tool() -> Tool[Basket]:
    return TOOLS.by_name["put"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (tool_call_text("put", fruit="apple", count=2), "Result: 2 in the basket"),
        (tool_call_text("look"), "Result: {}"),
        (tool_call_text("take"), "Error: no such tool; there are: put, look"),
        (tool_call_text("put", fruit="kiwi", count=1), 'Error: fruit must be "apple" | "plum"'),
        (tool_call_text("put", fruit="plum", count="1"), "Error: count must be integer"),
        (tool_call_text("put", fruit="plum", count=True), "Error: count must be integer"),
        (tool_call_text("put", fruit="plum"), "Error: put needs count: integer"),
        (tool_call_text("put", fruit="plum", count=10), "Error: the basket is too small"),
        (tool_call_text("look", at="me"), "Error: look() takes nothing else"),
        (
            "<tool_call>{'name': 'look'}</tool_call>",
            'Error: not a valid call; write <tool_call>{"name": …, "arguments": {…}}</tool_call>',
        ),
        ("I look. <tool_call>", 'Error: not a valid call; write <tool_call>{"name": …'),
        (
            f"First {tool_call_text('look')} and {tool_call_text('take')}",
            "Result: {}\nError: no such tool; there are: put, look",
        ),
    ],
)
def test_what_a_call_is_told(text: str, told: str) -> None:
    assert reply(text).startswith(told)


def test_one_turn_runs_only_so_many_calls() -> None:
    told = reply(tool_call_text("look") * (MAX_CALLS + 40)).splitlines()
    assert len(told) == MAX_CALLS + 1
    assert told[-1] == f"Error: only {MAX_CALLS} calls a turn are run"


def test_a_result_is_cut() -> None:
    long: Toolset[None] = Toolset((Tool("long", "", (), lambda _: "x" * 10**6),))
    assert len(long.answer(None, ToolCall("long", {})).text) < MAX_RESULT + 20


def test_a_defect_of_a_tool_is_not_hidden() -> None:
    broken: Toolset[None] = Toolset((Tool("broken", "", (), lambda _: 1 // 0),))
    with pytest.raises(ZeroDivisionError):
        broken.answer(None, ToolCall("broken", {}))


@pytest.mark.parametrize("native", [False, True])
def test_an_episode_works_on_its_own_state_and_counts(native: bool) -> None:
    played, other = episode(native=native), episode(native=native)
    text = f"Apples.\n{tool_call_text('put', fruit='apple', count=2)}{tool_call_text('take')}"
    step = played.step(Message("assistant", text))
    assert [m.role for m in step.messages] == (["tool", "tool"] if native else ["user"])
    assert played.tools == (TOOLS.schemas if native else ())
    score = played.step(Message("assistant", "There.\nAnswer: done")).score
    assert score is not None
    assert score.solved
    assert (score.parts["calls"], score.parts["errors"], score.parts["turns"]) == (2, 1, 2)
    untouched = other.step(Message("assistant", "Answer: done")).score
    assert untouched is not None
    assert not untouched.solved


def test_giving_up_scores_zero_with_all_parts() -> None:
    played = episode()
    played.step(Message("assistant", tool_call_text("look")))
    score = played.give_up("out of turns")
    assert (score.value, score.reason) == (0.0, "out of turns")
    assert score.parts == {
        "strict": 0.0,
        "format": 0.0,
        "lenient": 0.0,
        "calls": 1.0,
        "errors": 0.0,
        "turns": 1.0,
    }


def test_the_example_is_played_with_the_real_tools() -> None:
    turns = [f"I put. {tool_call_text('put', fruit='plum', count=1)}", "Answer: done"]
    shown = tool_preface("Rule.", TOOLS, native=False, examples=[("A plum.", [], turns)])
    assert [m.role for m in shown] == ["system", "user", "assistant", "user", "assistant"]
    assert shown[3].content == "Result: 1 in the basket"
    assert "Tools:\nput(" in shown[0].content
    native = tool_preface("Rule.", TOOLS, native=True, examples=[("A plum.", [], turns)])
    assert native[0].content == "Rule."
    assert native[2] == Message(
        "assistant", "I put.", (ToolCall("put", {"fruit": "plum", "count": 1}),)
    )
    assert native[3] == Message("tool", "1 in the basket")


@given(st.text(alphabet='<tool_ca>/{}"name:lok[],0 \ud800', max_size=200))
def test_any_text_is_answered(text: str) -> None:
    step = episode().step(Message("assistant", text))
    if "<tool_call>" in text:
        assert step.messages
    else:
        assert step.score is not None
        assert step.score.value == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>" * 90_000,
        "<tool_call>{" * 60_000 + "</tool_call>",
        "<tool_call>" + "[" * 200_000 + "</tool_call>",
        '<tool_call>{"name": "put", "arguments": {"count": ' + "9" * 200_000 + "}}</tool_call>",
        tool_call_text("look") * 20_000,
    ],
    ids=["open", "nested", "deep", "digits", "many"],
)
def test_a_megabyte_of_calls_takes_no_time(text: str) -> None:
    started = time.process_time()
    episode().step(Message("assistant", text))
    parse_tool_calls(text)
    assert time.process_time() - started < 3


def test_malformed_calls_are_seen_in_their_place() -> None:
    good = tool_call_text("look")
    text = f"{good}<tool_call>no</tool_call>{good}<tool_call>{json.dumps([1])}"
    assert [call is None for call in read_tool_calls(text)] == [False, True, False, True]
    assert len(parse_tool_calls(text)) == 2
