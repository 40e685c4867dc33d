"""Countdown: any correct expression is accepted, and nothing else."""

from __future__ import annotations

import pytest

from minirl.envs import make_env
from minirl.envs.countdown import Countdown, CountdownConfig
from minirl.errors import ConfigError
from minirl.rewards import Expression, parse_expression
from minirl.types import Task

TASK = Task("countdown", "train", 0, (), {"numbers": [25, 5, 4, 2], "target": 80})


@pytest.mark.parametrize(
    "slot", ["(25 - 5) * 4", "4*(25-5)", "5 \u00d7 4 \u00d7 (2 + 2)", "((25-5))*(4)"]
)
def test_any_correct_expression_counts(slot: str) -> None:
    twice = slot.count("2 + 2") > 0  # uses the 2 twice
    assert make_env("countdown").score(TASK, f"Answer: {slot}").solved is not twice


@pytest.mark.parametrize(
    ("slot", "all_used"), [("(25 - 5) * 4", False), ("(25 - 5) * 4 * 2 / 2", False)]
)
def test_reuse_is_refused_and_use_all_means_all(slot: str, all_used: bool) -> None:
    env = make_env("countdown", {"use_all": True})
    assert env.score(TASK, f"Answer: {slot}").solved is all_used


def test_use_all_accepts_a_solution_with_every_number() -> None:
    env = make_env("countdown", {"use_all": True})
    task = Task("countdown", "train", 0, (), {"numbers": [25, 5, 4], "target": 80})
    assert env.score(task, "Answer: (25 - 5) * 4").solved


@pytest.mark.parametrize(
    "slot",
    [
        "80",
        "40 * 2",
        "(25 - 5) * 4 = 80",
        "25 * 5 - 45",
        "(25 - 5) * 04",
        "(25 - 5) * 4 / 1",
        "25 / 0",
        "9**9**9",
        "(25 - 5) * 4 if 1 else 0",
        "\uff12\uff15 * 4 - 5 * 4",
        "(" * 9999,
    ],
)
def test_wrong_slots_score_zero(slot: str) -> None:
    assert make_env("countdown").score(TASK, f"Answer: {slot}").value == 0.0


def test_a_right_expression_anywhere_is_lenient() -> None:
    score = make_env("countdown").score(TASK, "I think (25 - 5) * 4 = 80 works.")
    assert (score.value, score.parts["lenient"], score.parts["format"]) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("use_all", [False, True])
@pytest.mark.parametrize("level", list(Countdown.levels))
def test_every_task_is_solvable_and_fair(level: str, use_all: bool) -> None:
    env = make_env(f"countdown:{level}", {"use_all": use_all})
    for i in range(100):
        task = env.task("train", i)
        numbers, target = task.data["numbers"], task.data["target"]
        solution = parse_expression(task.data["solution"])
        assert isinstance(solution, Expression)
        assert sorted(solution.numbers) == sorted(numbers)
        assert solution.value == target
        assert target not in numbers
        assert str(numbers)[1:-1] in task.prompt[-1].content
        assert env.score(task, env.gold(task)).solved
        assert not any(env.score(task, decoy).solved for decoy in env.decoys(task))


def test_level_2_lists_every_pair_problem_once() -> None:
    env = make_env("countdown:2")
    keys = [
        env.task(split, i).data["key"]
        for split in ("train", "test")
        for i in range(env.size(split) or 0)
    ]
    expected = set()
    for a in range(1, 21):
        for b in range(1, a + 1):
            targets = {a + b, a - b, a * b, *([a // b] if a % b == 0 else [])}
            expected |= {f"{b},{a}->{t}" for t in targets - {a, b} if 0 < t <= 400}
    assert len(keys) == len(set(keys))
    assert set(keys) == expected


def test_the_examples_answer_never_solves_a_task() -> None:
    env = Countdown(CountdownConfig(count=4, low=4, high=25))
    for i in range(500):
        task = env.task("train", i)
        assert not env.score(task, "Answer: (25 - 5) * 4").solved


@pytest.mark.parametrize("options", [{"count": 1}, {"low": 0}, {"low": 9, "high": 3}])
def test_wrong_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make_env("countdown:3", options)


def test_an_unreachable_target_range_says_so() -> None:
    with pytest.raises(ConfigError, match="leave no problem"):
        make_env("countdown", {"low": 50, "high": 50, "max_target": 1}).task("test", 0)
