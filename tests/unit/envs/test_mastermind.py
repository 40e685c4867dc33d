"""Mastermind: the law of exact and near, and what a guess must be."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirl.envs import make_env, recite
from minirl.envs.base import as_turns
from minirl.envs.games.mastermind import COLOURS, Mastermind, feedback
from minirl.types import Message, Task

ROWS = st.lists(st.sampled_from("abcd"), min_size=4, max_size=4)
TASK = Task(
    "mastermind",
    "train",
    0,
    (),
    {"palette": ["blue", "pink", "red"], "secret": ["red", "red", "blue"], "clues": []},
)


@settings(max_examples=150, deadline=None)
@given(ROWS, ROWS)
def test_exact_and_near_are_the_best_matching_of_places(
    guess: list[str], secret: list[str]
) -> None:
    exact, near = feedback(guess, secret)
    assert exact == sum(guess[i] == secret[i] for i in range(4))
    matched = max(sum(guess[i] == row[i] for i in range(4)) for row in permutations(secret))
    assert exact + near == matched
    assert feedback(secret, guess) == (exact, near)


def test_a_guess_is_answered_with_its_feedback() -> None:
    episode = make_env("mastermind", {"guesses": 3}).episode(TASK)
    reply = episode.step(Message("assistant", "Guess: red blue pink"))
    assert reply.messages[0].content == "red blue pink: 1 exact, 1 near\nGuesses left: 2."


@pytest.mark.parametrize(
    "line",
    ["red red", "red red blue blue", "red red green", "red, red, blue", "Red red blue", "1 1 3"],
)
def test_what_is_no_guess_costs_one(line: str) -> None:
    env = make_env("mastermind", {"guesses": 2})
    assert recite(env, TASK, (f"Guess: {line}", "Guess: red red blue")).parts["illegal"] == 1.0
    assert not recite(env, TASK, (f"Guess: {line}",) * 2 + ("Guess: red red blue",)).solved


def test_the_share_of_consistent_guesses_is_logged() -> None:
    env = make_env("mastermind", {"guesses": 4})
    written = ("Guess: pink pink pink", "Guess: pink red blue", "Guess: red red blue")
    score = recite(env, TASK, written)
    assert score.solved
    assert score.parts["consistent"] == pytest.approx(2 / 3)  # pink again was known to be wrong


@pytest.mark.parametrize("level", list(Mastermind.levels))
def test_the_solver_wins_before_it_has_to_be_told_nearly_always(level: str) -> None:
    env = make_env(f"mastermind:{level}")
    tasks = [env.task("train", i) for i in range(12)]
    scores = [recite(env, task, env.gold(task)) for task in tasks]
    assert all(score.solved and score.parts["consistent"] == 1.0 for score in scores)
    early = sum(len(as_turns(env.gold(task))) < env.max_turns for task in tasks)
    assert early >= 6


def test_no_clue_is_the_secret_and_only_colours_in_play_occur() -> None:
    env = make_env("mastermind:2")
    for i in range(200):
        data = env.task("train", i).data
        assert data["secret"] not in data["clues"]
        assert {c for row in (data["secret"], *data["clues"]) for c in row} <= set(data["palette"])
        assert data["palette"] == sorted(set(data["palette"]) & set(COLOURS))
