"""Sorting words: the list, the slot's strictness, the tasks."""

from __future__ import annotations

import pytest

from minirl.envs import make_env
from minirl.envs.sort_words import EXAMPLE, WORDS, SortWords
from minirl.errors import ConfigError
from minirl.types import Task

TASK = Task(
    "sort_words",
    "train",
    0,
    (),
    {"words": ["fox", "ant", "cat"], "sorted": ["ant", "cat", "fox"]},
)


@pytest.mark.parametrize("slot", ["ant, cat, fox", "ant,cat,fox", "ant , cat,  fox"])
def test_the_sorted_list_is_accepted(slot: str) -> None:
    assert make_env("sort_words").score(TASK, f"Answer: {slot}").solved


@pytest.mark.parametrize(
    "slot",
    [
        "ant cat fox",
        "ant, fox, cat",
        "ant, cat",
        "ant, cat, fox, fox",
        "Ant, cat, fox",
        "ant, cat, fox,",
        "ant; cat; fox",
        "ant, cat, fox.",
        "ant,\u00a0cat, fox",
        "ant, , cat, fox",
    ],
)
def test_anything_else_is_not(slot: str) -> None:
    assert make_env("sort_words").score(TASK, f"Answer: {slot}").value == 0.0


def test_the_words_in_order_at_the_end_are_lenient() -> None:
    score = make_env("sort_words").score(TASK, "Sorted: Ant, Cat and then\n")
    assert score.parts["lenient"] == 0.0
    score = make_env("sort_words").score(TASK, "They are: Ant Cat Fox.")
    assert (score.value, score.parts["lenient"]) == (0.0, 1.0)


def test_the_word_list_is_plain_and_apart_from_the_example() -> None:
    assert len(WORDS) == len(set(WORDS)) >= 200
    assert all(w.isascii() and w.isalpha() and w.islower() and 3 <= len(w) <= 7 for w in WORDS)
    assert not {"apple", "grape", "pear"} & set(WORDS)
    assert all(word in EXAMPLE[0] for word in ("apple", "grape", "pear"))


@pytest.mark.parametrize("level", list(SortWords.levels))
def test_the_words_shown_are_never_in_order_already(level: str) -> None:
    env = make_env(f"sort_words:{level}")
    for i in range(200):
        data = env.task("train", i).data
        assert data["words"] != data["sorted"] == sorted(data["words"])
        assert len(set(data["words"])) == int(level)


def test_the_same_words_in_another_order_are_the_same_task() -> None:
    env = make_env("sort_words:3")
    seen = [frozenset(env.task("train", i).data["words"]) for i in range(1000)]
    assert len(set(seen)) == len(seen)


def test_the_count_is_checked() -> None:
    with pytest.raises(ConfigError, match="count"):
        make_env("sort_words", {"count": 2})
