"""Calculator: exact tools, true gold trajectories, and only the answer counts."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.envs import Environment, make_env, recite
from minirl.envs.calculator.functions import TOOLSETS, number_text, rounded
from minirl.envs.tool_calls import tool_call_text
from minirl.errors import ConfigError
from minirl.types import Message

LEVELS = ("0", "1", "2", "3", "4", "5")


def calculate(name: str, **arguments: object) -> str:
    toolset = TOOLSETS["expression" if name == "calculate" else "binary"]
    (result,) = toolset.answer_turn(None, tool_call_text(name, **arguments))
    return f"Error: {result.text}" if result.is_error else result.text


def test_the_wording_of_level_1() -> None:
    env = make_env("calculator:1")
    call = '<tool_call>{"name": "calculate", "arguments": {"expression": "218 * 453"}}</tool_call>'
    assert env.task("train", 0).prompt[:-1] == (
        Message(
            "system",
            "Use the tools. Give the result on the last line as 'Answer: number'.\n"
            "Tools:\n"
            "calculate(expression: string): Value of an expression such as 2 * (3 + 4)",
        ),
        Message("user", "What is 218 * 453?"),
        Message("assistant", call),
        Message("user", "Result: 98754"),
        Message("assistant", "Answer: 98754"),
    )


@pytest.mark.parametrize(("level", "example"), [("0", "37 * 89"), ("1", "640 * 175")])
def test_further_examples_follow_the_first_and_are_solved_as_it_is(
    level: str, example: str
) -> None:
    shown, bare = (make_env(f"calculator:{level}", {"more_examples": n}) for n in (1, 0))
    first, more = bare.task("train", 0).prompt, shown.task("train", 0).prompt
    assert more[:5] == first[:5]
    assert [m.role for m in more[5:]] == ["user", "assistant", "user", "assistant", "user"]
    assert more[5].content == f"What is {example}?"
    assert more[7].content == f"Result: {calculate('calculate', expression=example)}"
    assert more[8].content == more[7].content.replace("Result", "Answer")
    assert more[9] == first[-1]
    assert len(make_env(f"calculator:{level}", {"more_examples": 3}).task("test", 0).prompt) == 18
    none = make_env(f"calculator:{level}", {"more_examples": 3, "worked_example": False})
    assert len(none.task("test", 0).prompt) == 2


def test_no_answer_is_that_of_an_example() -> None:
    env = make_env("calculator:0")
    answers = {int(env.task("test", i).data["answer"]) for i in range(env.size("test"))}
    assert answers.isdisjoint({37 * 89, 64 * 75, 51 * 30})
    assert 65 * 75 in answers


def test_level_0_is_beyond_small_models_heads_and_within_two_turns() -> None:
    env = make_env("calculator:0")
    assert env.max_turns == 2
    task = env.task("train", 0)
    left, right = map(int, task.prompt[-1].content[len("What is ") : -1].split(" * "))
    assert 10 <= left <= 99
    assert 10 <= right <= 99
    call, answer = env.gold(task)
    assert calculate("calculate", expression=f"{left} * {right}") == str(left * right)
    assert (f'"{left} * {right}"' in call, answer) == (True, f"Answer: {left * right}")
    assert not recite(env, task, call).solved
    assert not recite(env, task, (call, call, answer)).solved


@pytest.mark.parametrize("tool_format", ["prompt", "template"])
@pytest.mark.parametrize("level", LEVELS)
def test_gold_is_solved_within_the_turns_and_every_call_succeeds(
    level: str, tool_format: str
) -> None:
    env = make_env(f"calculator:{level}", {"tool_format": tool_format})
    for i in range(60):
        task = env.task("test", i)
        score = recite(env, task, env.gold(task))
        assert score.solved, (task, score)
        assert score.parts["errors"] == 0
        assert score.parts["calls"] == len(env.gold(task)) - 1 >= (1 if level < "3" else 2)


@pytest.mark.parametrize("level", LEVELS)
def test_the_last_result_of_the_gold_calls_is_the_answer(level: str) -> None:
    """The answer is computed from the problem, the results by the tools: two ways to it."""
    env = make_env(f"calculator:{level}")
    for i in range(60):
        task = env.task("train", i)
        episode = env.episode(task)
        *calls, _ = env.gold(task)
        for call in calls:
            (result,) = episode.step(Message("assistant", call)).messages
        assert result.content == f"Result: {task.data['answer']}"


@pytest.mark.parametrize("level", LEVELS)
def test_decoys_score_0_and_alternatives_1(level: str) -> None:
    env = make_env(f"calculator:{level}")
    for i in range(25):
        task = env.task("train", i)
        assert all(recite(env, task, turns).value == 0.0 for turns in env.decoys(task))
        assert all(recite(env, task, turns).solved for turns in env.alternatives(task))


@pytest.mark.parametrize("level", ["0", "1", "2", "3"])
def test_so_many_more_raises_the_answer_by_as_many(level: str) -> None:
    env = make_env(f"calculator:{level}")
    for i in range(25):
        task = env.task("train", i)
        shifted = env.shifted(task, Random(i))
        assert shifted is not None
        assert recite(env, *shifted).solved
        assert not recite(env, shifted[0], env.gold(task)).solved
        question = shifted[0].prompt[-1].content
        expression = question.removeprefix("What is ").removesuffix("?")
        assert calculate("calculate", expression=expression) == shifted[0].data["answer"]


@given(
    st.sampled_from(["add", "subtract", "multiply", "divide"]),
    st.integers(-(10**9), 10**9),
    st.integers(-(10**6), 10**6),
    st.integers(0, 3),
)
def test_the_tools_are_exact_on_decimals(name: str, a: int, b: int, places: int) -> None:
    x, y = Fraction(a, 10**places), Fraction(b, 10**places)
    told = calculate(name, a=a / 10**places, b=b / 10**places)
    if name == "divide" and b == 0:
        assert told == "Error: division by zero"
        return
    exact = {"add": x + y, "subtract": x - y, "multiply": x * y}.get(name)
    exact = x / y if exact is None else exact
    assert abs(Fraction(told) - exact) <= Fraction(1, 2 * 10**10)
    assert not told.startswith("-0") or "." in told


@given(st.fractions(min_value=-(10**6), max_value=10**6), st.integers(0, 9))
def test_rounding_is_to_the_nearest_and_halves_go_away_from_zero(x: Fraction, places: int) -> None:
    unit = Fraction(1, 10**places)
    near = rounded(x, places)
    assert near % unit == 0
    assert abs(near - x) <= unit / 2
    assert rounded(-x, places) == -near
    assert rounded(Fraction(5, 2), 0) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(3), "3"),
        (Fraction(-1, 4), "-0.25"),
        (Fraction(1, 3), "0.3333333333"),
        (Fraction(2, 3), "0.6666666667"),
        (Fraction(-1, 10**12), "0"),
        (Fraction(1, 10), "0.1"),
    ],
)
def test_numbers_are_written_without_exponents(value: Fraction, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("calculate", {"expression": "9**9**9"}),
        ("calculate", {"expression": "1/0"}),
        ("calculate", {"expression": "__import__('os')"}),
        ("calculate", {"expression": "(" * 3000}),
        ("calculate", {"expression": "\uff11+1"}),
        ("multiply", {"a": 1e308, "b": 1e308}),
        ("add", {"a": 10**15, "b": 1}),
        ("divide", {"a": 1, "b": 0}),
        ("divide", {"a": 1, "b": -0.0}),
        ("round_to", {"a": 1.5, "places": 10**9}),
        ("round_to", {"a": 1.5, "places": -1}),
        ("add", {"a": "1", "b": 2}),
        ("add", {"a": True, "b": 2}),
    ],
)
def test_a_wrong_call_is_refused(name: str, arguments: dict[str, object]) -> None:
    assert calculate(name, **arguments).startswith("Error: ")


@pytest.mark.parametrize(
    ("slot", "right"),
    [
        ("12.5", True),
        ("12.50", True),
        ("12.500", False),
        ("12,5", False),
        ("12.51", False),
        ("+12.5", False),
        ("012.5", False),
        ("1.25e1", False),
        ("25/2", False),
        ("\uff11\uff12.5", False),
    ],
)
def test_which_spellings_of_a_decimal_count(slot: str, right: bool) -> None:
    env = make_env("calculator:4")
    task = env.task("train", 0)
    data = {**task.data, "answer": "12.5"}
    changed = type(task)(task.env, task.split, task.index, task.prompt, data)
    assert recite(env, changed, f"Answer: {slot}").solved is right


def test_no_answer_is_small_or_a_half_in_dispute() -> None:
    for level in LEVELS:
        env: Environment = make_env(f"calculator:{level}")
        answers = [env.task("train", i).data["answer"] for i in range(300)]
        assert all(abs(Fraction(a)) >= 1000 for a in answers)
        assert len(set(answers)) > (280 if level == "0" else 290)  # products may agree


def test_wrong_options_are_refused() -> None:
    for options in ({"terms": 1}, {"tool": "abacus"}, {"max_turns": 0}, {"tool_format": "xml"}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            make_env("calculator:1", options)
