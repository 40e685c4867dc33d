"""Number puzzles: every answer that meets the conditions is right, and no other."""

from __future__ import annotations

import re
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirl.envs import make_env
from minirl.envs.number_puzzles import EXAMPLES, NumberPuzzles, meets
from minirl.errors import ConfigError
from minirl.types import Task

LEVELS = list(NumberPuzzles.levels)


def holds(question: str, xs: tuple[int, ...]) -> bool:
    """The question read by a program of its own: each sentence's meaning in plain Python."""
    told = question.partition(": ")[2].rstrip(".").split(", ")
    meaning = {
        r"(?:each )?above (\d+)": lambda n: all(x > n for x in xs),
        r"(?:each )?below (\d+)": lambda n: all(x < n for x in xs),
        r"(?:each )?a multiple of (\d+)": lambda n: all(x in range(n, 10**4, n) for x in xs),
        r"(?:each )?not a multiple of (\d+)": lambda n: all(x / n != x // n for x in xs),
        r"their sum is (\d+)": lambda n: sum(xs) == n,
        r"the first minus the second is (\d+)": lambda n: xs[0] == xs[1] + n,
        r"their product is (\d+)": lambda n: eval_product(xs) == n,
        r"their squares add up to (\d+)": lambda n: sum(x**2 for x in xs) == n,
        r"each above the one before()": lambda n: list(xs) == sorted(set(xs)),
    }
    for sentence in told:
        fits = [(m, f) for p, f in meaning.items() if (m := re.fullmatch(p, sentence))]
        assert len(fits) == 1, sentence
        match, check = fits[0]
        if not check(int(match.group(1) or 0)):
            return False
    return all(x >= 1 for x in xs)


def eval_product(xs: tuple[int, ...]) -> int:
    total = 1
    for x in xs:
        total = sum(total for _ in range(x))
    return total


def counted(question: str) -> int:
    return {"one": 1, "two": 2, "three": 3}[question.split()[1]]


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_right_is_what_the_question_says(level: str) -> None:
    env = make_env(f"number_puzzles:{level}")
    rng = Random(5)
    for i in range(40):
        task = env.task("train", i)
        question, solution = task.prompt[-1].content, tuple(task.data["solution"])
        assert counted(question) == len(solution)
        assert holds(question, solution)
        near = [tuple(x + rng.randint(-3, 3) for x in solution) for _ in range(40)]
        for numbers in [solution, solution[::-1], *near]:
            answer = f"Answer: {', '.join(map(str, numbers))}"
            assert env.score(task, answer).solved == holds(question, numbers), (question, numbers)


@pytest.mark.parametrize(("level", "largest"), [("1", 20), ("4", 20), ("5", 20)])
def test_small_pairs_by_trying_all(level: str, largest: int) -> None:
    env = make_env(f"number_puzzles:{level}", {"largest": largest})
    declared = 0
    for i in range(5):
        task = env.task("train", i)
        question = task.prompt[-1].content
        every = {p for p in product(range(1, 42), repeat=2) if holds(question, p)}
        right = {p for p in product(range(-2, 42), repeat=2) if meets(p, task.data["conditions"])}
        assert right == every
        others = {parsed(str(a)) for a in env.alternatives(task)}
        assert others <= every - {tuple(task.data["solution"])}
        declared += len(others)
    assert (declared > 0) == (level != "4")  # sum and difference leave one pair


def parsed(answer: str) -> tuple[int, ...]:
    return tuple(map(int, answer.removeprefix("Answer: ").split(", ")))


@pytest.mark.parametrize("family", list(EXAMPLES))
def test_the_examples_are_right_and_never_a_tasks_answer(family: str) -> None:
    example = EXAMPLES[family]
    assert holds(example.question, example.solution)
    env = make_env("number_puzzles", {"family": family, "largest": 40})
    for task in (env.task("train", i) for i in range(200)):
        assert not env.score(task, task.prompt[2].content).solved


TASK = Task(
    "number_puzzles",
    "train",
    0,
    (),
    {"conditions": [["sum", 19], ["product", 84]], "solution": [12, 7]},
)


@pytest.mark.parametrize("slot", ["12, 7", "7, 12", "7,12", "12 , 7"])
def test_both_orders_count(slot: str) -> None:
    assert make_env("number_puzzles").score(TASK, f"Answer: {slot}").solved


@pytest.mark.parametrize(
    "slot",
    [
        "12",
        "12, 7, 7",
        "12, 7,",
        "12 7",
        "12; 7",
        "12.0, 7",
        "+12, 7",
        "012, 7",
        "84, 1",
        "18, 1",
        "12, seven",
        "\u0661\u0662, 7",
        "9" * 5000 + ", 7",
        "," * 5000,
        "nan, nan",
        "-12, -7",
    ],
)
def test_wrong_slots_score_zero(slot: str) -> None:
    assert make_env("number_puzzles").score(TASK, f"Answer: {slot}").value == 0.0


def test_the_last_numbers_are_lenient() -> None:
    score = make_env("number_puzzles").score(TASK, "84 is 12 * 7")
    assert (score.value, score.parts["lenient"]) == (0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LEVELS), st.integers(0, 300), st.integers(0, 1000))
def test_numbers_that_grow_take_the_answer_along(level: str, index: int, seed: int) -> None:
    env = ENVS[level]
    task = env.task("train", index)
    shifted = env.shifted(task, Random(seed))
    assert shifted is not None
    changed, answer = shifted
    assert holds(changed.prompt[-1].content, parsed(str(answer)))
    assert env.score(changed, str(answer)).solved
    assert not env.score(changed, str(env.gold(task))).solved


ENVS = {level: make_env(f"number_puzzles:{level}") for level in LEVELS}


@pytest.mark.parametrize("options", [{"family": "primes"}, {"largest": 19}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make_env("number_puzzles", options)
