"""The strict answer slot: what it pays for, and above all what it does not."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.rewards import lenient_answer, parse_integer, score_answer, slot_decoys, strict_answer

HOSTILE = (
    "\x00" * 1000,
    "Answer: " + "9" * 100_000,
    "Answer: " * 20_000,
    "9" * 100_000,
    "-" * 100_000,
    "1a" * 50_000,
    "Answer:\u202e7",
    "Answer: \ud800",
    "(" * 100_000,
    "\n" * 100_000,
)


def is_seven(slot: str) -> bool:
    return parse_integer(slot) == 7


@pytest.mark.parametrize(
    "text",
    [
        "Answer: 7",
        "3 + 4 = 7\nAnswer: 7",
        "Answer:7",
        "  Answer:   7  ",
        "so\r\nAnswer: 7\r\n",
        "Answer: 7\n\n \t\n",
    ],
)
def test_a_single_last_answer_line_is_the_slot(text: str) -> None:
    assert strict_answer(text) == "7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "Answer:",
        "Answer: \n7",
        "Answer: 7\nDone.",
        "Answer: 7\nAnswer: 7",
        "Answer: 6 Answer: 7",
        "So the Answer: 7",
        "answer: 7",
        "Answer : 7",
        "ANSWER: 7",
        "Answer: 7\n\u2028",
    ],
)
def test_anything_else_is_no_slot(text: str) -> None:
    assert strict_answer(text) is None


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("7", 7), ("-7", -7), ("9" * 30, int("9" * 30))]
)
def test_parse_integer_reads_canonical_integers(text: str, value: int) -> None:
    assert parse_integer(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "-0",
        "+7",
        "07",
        "7.",
        "7.0",
        "1_000",
        "1,000",
        " 7",
        "7\n",
        "--7",
        "1e3",
        "0x7",
        "nan",
        "inf",
        "\uff17",
        "\u0667",
        "\u00b2",
        "\u22127",
        "7\x00",
        "9" * 31,
        "9" * 100000,
    ],
)
def test_parse_integer_refuses_every_other_spelling(text: str) -> None:
    assert parse_integer(text) is None


@given(st.integers(min_value=-(10**30) + 1, max_value=10**30 - 1))
def test_parse_integer_inverts_str(n: int) -> None:
    assert parse_integer(str(n)) == n


@given(st.text(alphabet="0123456789-+._ e\uff17", max_size=8))
def test_one_integer_has_one_spelling(text: str) -> None:
    value = parse_integer(text)
    assert value is None or str(value) == text


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("it is 3, no 7", "7"),
        ("7.", "7"),
        ("7.5 apples", "7.5"),
        ("3-4", "4"),
        ("= -4", "-4"),
        ("none", None),
    ],
)
def test_lenient_answer_is_the_last_number(text: str, last: str | None) -> None:
    assert lenient_answer(text) == last


def test_lenient_answer_takes_another_pattern() -> None:
    assert lenient_answer("yes, no, YES", re.compile("yes|no")) == "no"


def test_a_right_slot_scores_one_with_all_its_parts() -> None:
    score = score_answer("3 + 4 = 7\nAnswer: 7", is_seven)
    assert (score.value, score.solved, score.reason) == (1.0, True, "correct")
    assert score.parts == {"strict": 1.0, "format": 1.0, "lenient": 1.0}


def test_a_right_number_without_the_slot_is_lenient_and_unpaid() -> None:
    score = score_answer("3 + 4 = 7", is_seven)
    assert (score.value, score.solved, score.reason) == (0.0, False, "no answer line")
    assert score.parts == {"strict": 0.0, "format": 0.0, "lenient": 1.0}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Answer: 8", "wrong answer '8'"),
        ("Answer: 7\nAnswer: 7", "2 answers"),
        ("Answer: 7\nbye", "the answer is not the last line"),
    ],
)
def test_the_reason_says_what_was_wrong(text: str, reason: str) -> None:
    assert score_answer(text, is_seven).reason == reason


def test_lenient_may_be_a_function_of_the_whole_text() -> None:
    assert score_answer("SEVEN", is_seven, lenient=lambda t: "SEVEN" in t).parts["lenient"] == 1.0
    assert score_answer("Answer: 7", is_seven, lenient=lambda t: False).parts["lenient"] == 1.0


@pytest.mark.parametrize("text", slot_decoys("7", "8"))
def test_slot_decoys_score_zero(text: str) -> None:
    assert score_answer(text, is_seven).value == 0.0


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_scores_zero_quickly(text: str) -> None:
    start = time.perf_counter()
    score = score_answer(text, is_seven)
    assert score.value == 0.0
    assert len(score.reason) < 300
    assert time.perf_counter() - start < 1.0


@given(st.text())
def test_any_text_gets_a_score(text: str) -> None:
    score = score_answer(text, is_seven)
    assert score.solved == (strict_answer(text) == "7")


@given(st.text(alphabet="Answer: 78\n", max_size=40))
def test_strict_implies_format_and_lenient(text: str) -> None:
    parts = score_answer(text, is_seven).parts
    assert parts["strict"] <= min(parts["format"], parts["lenient"])
