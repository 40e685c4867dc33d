"""Arithmetic: its wording, its ladder and its universes."""

from __future__ import annotations

import pytest

from minirl.envs import make_env
from minirl.envs.arithmetic import Arithmetic, ArithmeticConfig
from minirl.errors import ConfigError
from minirl.rewards import Expression, parse_expression
from minirl.types import Message


def test_the_wording_that_was_measured_on_smollm2() -> None:
    env = make_env("arithmetic:2")
    task = env.task("train", 0)
    assert task.prompt == (
        Message(
            "system", "Solve the problem. Give the result on the last line as 'Answer: number'."
        ),
        Message("user", "What is 31 + 4?"),
        Message("assistant", "31 + 4 = 35\nAnswer: 35"),
        Message("user", f"What is {task.data['problem']}?"),
    )
    assert env.gold(task) == f"{task.data['problem']} = {task.data['answer']}\n" + (
        f"Answer: {task.data['answer']}"
    )


def test_level_2_is_every_sum_but_those_with_the_examples_result() -> None:
    env = make_env("arithmetic:2")
    problems = {
        env.task(split, i).data["problem"]
        for split in ("train", "test")
        for i in range(env.size(split) or 0)
    }
    sums = {f"{a} + {b}" for a in range(10, 100) for b in range(1, 10) if a + b != 35}
    assert problems == sums
    assert len(sums) == 801


@pytest.mark.parametrize(
    ("level", "right", "decoy"),
    [("1", "Answer: {answer}", "Answer: {problem}"), ("3", "Answer: {answer}", "{answer}")],
)
def test_scores(level: str, right: str, decoy: str) -> None:
    env = make_env(f"arithmetic:{level}")
    for i in range(30):
        task = env.task("train", i)
        assert env.score(task, right.format(**task.data)).solved
        assert not env.score(task, decoy.format(**task.data)).solved


@pytest.mark.parametrize("level", list(Arithmetic.levels))
def test_answers_agree_with_the_parser(level: str) -> None:
    env = make_env(f"arithmetic:{level}")
    for i in range(200):
        data = env.task("train", i).data
        parsed = parse_expression(data["problem"])
        assert isinstance(parsed, Expression)
        assert parsed.value == data["answer"]
        assert data["worked"].startswith(f"{data['problem']} = ")


def test_commutative_twins_are_one_task() -> None:
    env = make_env("arithmetic:1")
    pairs = [
        frozenset(env.task(split, i).data["problem"].split(" + "))
        for split in ("train", "test")
        for i in range(env.size(split) or 0)
    ]
    assert len(pairs) == len(set(pairs)) == 55


def test_chains_have_four_numbers_and_some_parentheses() -> None:
    env = make_env("arithmetic:5")
    problems = [env.task("train", i).data["problem"] for i in range(100)]
    parsed = [parse_expression(p) for p in problems]
    assert all(isinstance(p, Expression) and len(p.numbers) == 4 for p in parsed)
    assert any("(" in p for p in problems)
    assert all(op in "".join(problems) for op in "+-*")


def test_a_wide_range_is_drawn_and_a_narrow_chain_is_finite() -> None:
    wide = Arithmetic(ArithmeticConfig(left=(0, 10**4), right=(0, 10**4)))
    assert wide.size("train") is None
    narrow = Arithmetic(ArithmeticConfig(left=(1, 3), right=(1, 3), operators="+", terms=3))
    keys = {narrow.task("train", i).data["key"] for i in range(2000)}
    assert len(keys) == narrow.size("train")
    assert keys.isdisjoint(
        narrow.task("test", i).data["key"] for i in range(narrow.size("test") or 0)
    )
    with pytest.raises(ConfigError, match="different problems"):
        narrow.task("test", 2000)


def test_options_that_leave_nothing_say_so() -> None:
    env = Arithmetic(ArithmeticConfig(left=(31, 31), right=(4, 4)))
    with pytest.raises(ConfigError, match="leave no problem"):
        env.task("train", 0)


@pytest.mark.parametrize(
    "options", [{"left": [9, 1]}, {"right": [-1, 3]}, {"operators": "/"}, {"terms": 1}]
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make_env("arithmetic:2", options)
