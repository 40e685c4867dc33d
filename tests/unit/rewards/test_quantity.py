"""Whole numbers as people write them: every unambiguous spelling, and nothing else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.rewards.answer import lenient_answer, score_answer
from minirl.rewards.quantity import QUANTITY, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        ("0", 0),
        ("-4", -4),
        ("$18", 18),
        ("€18", 18),
        ("£18", 18),
        ("-$18", -18),
        ("1,234", 1234),
        ("12,345,678", 12_345_678),
        ("$1,234.00", 1234),
        ("18.0", 18),
        ("18.00", 18),
    ],
)
def test_unambiguous_spellings_are_read(text: str, value: int) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "$",
        "18.",
        "18.5",
        "18.000",  # eighteen thousand, to many
        "1.234",
        "1,23",
        "1,2345",
        "12345,678",
        "1,234,56",
        ",123",
        "0,123",
        "018",
        "+18",
        "-0",
        "--4",
        "$-4",
        "$$4",
        "18$",
        "18 dollars",
        "20%",
        "1 234",
        "1_234",
        "1e3",
        "36/2",
        "3 x 6",
        "18 or 19",
        "18,19",
        "１８",
        "١٨",
        "9" * 31,
        "1," + ",".join(["000"] * 10),
        "9" * 100_000,
        "\ud800",
        "nan",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert parse_quantity(text) is None


@given(st.integers(-(10**29), 10**29))
def test_every_spelling_of_an_integer_is_that_integer(value: int) -> None:
    money = f"-${-value:,}" if value < 0 else f"${value:,}"
    for text in (str(value), f"{value:,}", f"{value}.0", f"{value:,}.00", money):
        assert parse_quantity(text) == value


@given(st.text(alphabet="0123456789,.-$ ", max_size=12))
def test_what_is_read_is_the_number_that_stands_there(text: str) -> None:
    value = parse_quantity(text)
    if value is not None:  # Python's own reading of the text, once what only decorates it is gone
        assert float(text.replace("$", "").replace(",", "")) == value


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("She has 1,234 beads.", "1,234"),
        ("It costs $18.", "$18"),
        ("7 - 4 = 3", "3"),
        ("it is -4", "-4"),
        ("9-4", "4"),
        ("1,2345", "2345"),
        ("18.50 in all", "18.50"),
        ("none", None),
    ],
)
def test_the_last_quantity_of_a_text(text: str, last: str | None) -> None:
    assert lenient_answer(text, QUANTITY) == last


def test_lenient_reads_separators() -> None:
    def is_it(slot: str) -> bool:
        return parse_quantity(slot) == 1234

    score = score_answer("That makes $1,234 in all.", is_it, lenient=QUANTITY)
    assert (score.value, score.parts["lenient"]) == (0.0, 1.0)


@pytest.mark.parametrize("text", ["9" * 200_000, "9,999" * 40_000, "$" * 200_000, "-9," * 70_000])
def test_hostile_text_costs_linear_time(text: str) -> None:
    start = time.perf_counter()
    lenient_answer(text, QUANTITY)
    parse_quantity(text)
    assert time.perf_counter() - start < 1.0
