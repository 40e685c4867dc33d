"""Word guessing: the marks, letters that come twice, and what a guess must be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirl.envs import make_env, recite
from minirl.envs.games.word_guess import ABSENT, MOVED, RIGHT, marked, marks
from minirl.envs.games.words import WORDS_OF
from minirl.types import Message, Task

WORDS = st.text("abc", min_size=5, max_size=5)
TASK = Task("word_guess", "train", 0, (), {"secret": "apple", "shortlist": [], "clues": []})


@pytest.mark.parametrize(
    ("guess", "secret", "expected"),
    [
        ("apple", "apple", "+++++"),
        ("paper", "apple", "??+?-"),
        ("eerie", "apple", "----+"),  # its one e stands right: the others are not in the word
        ("puppy", "apple", "?-+--"),  # two p: one stands right, one is moved, the third is none
        ("speed", "erase", "?-??-"),
        ("llama", "total", "?-?--"),
    ],
)
def test_a_letter_is_marked_as_often_as_the_word_has_it(
    guess: str, secret: str, expected: str
) -> None:
    assert marks(guess, secret) == expected


@settings(max_examples=150, deadline=None)
@given(WORDS, WORDS)
def test_the_laws_of_the_marks(guess: str, secret: str) -> None:
    got = marks(guess, secret)
    assert [mark == RIGHT for mark in got] == [g == s for g, s in zip(guess, secret, strict=True)]
    for letter in "abc":
        told = [mark for mark, g in zip(got, guess, strict=True) if g == letter]
        assert len(told) - told.count(ABSENT) == min(guess.count(letter), secret.count(letter))
        not_right = [mark for mark in told if mark != RIGHT]
        assert not_right == sorted(not_right, key=(MOVED, ABSENT).index)  # from left to right


def test_a_guess_is_answered_letter_by_letter() -> None:
    assert marked("paper", "apple") == "paper: p? a? p+ e? r-"
    reply = make_env("word_guess").episode(TASK).step(Message("assistant", "Guess: paper"))
    assert reply.messages[0].content == "paper: p? a? p+ e? r-\nGuesses left: 5."


@pytest.mark.parametrize(
    "line", ["APPLE", "apples", "appl", "apple pie", "a p p l e", "appl\u0435", "12345"]
)
def test_what_is_no_word_costs_a_guess(line: str) -> None:
    score = recite(make_env("word_guess"), TASK, (f"Guess: {line}", "Guess: apple"))
    assert (score.solved, score.parts["illegal"], score.parts["turns"]) == (True, 1.0, 2.0)


def test_with_a_shortlist_only_its_words_are_guesses() -> None:
    env = make_env("word_guess:1")
    task = env.task("train", 0)
    stranger = next(word for word in WORDS_OF[4] if word not in task.data["shortlist"])
    assert recite(env, task, (f"Guess: {stranger}",)).parts["illegal"] == 1.0
    assert task.data["secret"] in task.data["shortlist"]
    assert not set(task.data["clues"]) & set(task.data["shortlist"])


def test_the_words_are_plain_and_enough() -> None:
    for length, words in WORDS_OF.items():
        assert len(words) >= 200
        assert all(len(w) == length and w.isascii() and w.isalpha() and w.islower() for w in words)
