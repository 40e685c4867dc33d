from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.report.text import duration, sparkline, visible


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\x00b\x07\r", r"a\x00b\x07\x0d"),
        ("\x9b31m", r"\x9b31m"),  # the one-character form of ESC [
        ("\u202eabc\u200b", r"\u202eabc\u200b"),  # right-to-left override, zero-width space
        ("\U000e0041", r"\U000e0041"),  # an invisible tag
        ("\ud800", r"\ud800"),
        ("line\n\ttab é 数 🙂", "line\n\ttab é 数 🙂"),
    ],
)
def test_controls_are_written_out_and_text_is_kept(hostile, shown):
    assert visible(hostile) == shown


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_nothing_that_commands_gets_through(text):
    left = {unicodedata.category(c) for c in visible(text) if c not in "\n\t"}
    assert left.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def test_the_cut_is_said():
    assert visible("x" * 5000, limit=10) == "x" * 10 + "… [4,990 more characters]"
    assert visible("x" * 10, limit=10) == "x" * 10


def test_sparkline():
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([-1.0, 2.0]) == "▁█"  # clipped
    assert sparkline([5.0, 10.0], low=0, high=10) == "▅█"
    assert sparkline([]) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
