"""Where to begin on a ladder of probed levels."""

from __future__ import annotations

import pytest

from minirl.measure.ladder import starting_level


def rung(level: str, verdict: str, share: float) -> dict:
    bounds = {"value": share, "low": share / 2, "high": min(1.0, share * 2)}
    signal = {"8": bounds, "16": {"value": 1.0, "low": 1.0, "high": 1.0}}
    return {"level": level, "verdict": verdict, "group_size": 8, "signal": signal}


@pytest.mark.parametrize(
    ("verdicts", "level"),
    [
        (["saturated", "go", "go", "ease", "cold_start"], "3"),  # the hardest that can be trained
        (["go", "cold_start", "go"], "3"),
        (["saturated", "ease", "cold_start"], "2"),
        (["saturated", "saturated"], None),
        (["cold_start"], None),
        (["go"], "1"),
    ],
)
def test_start_is_the_hardest_go_then_an_ease_then_none(verdicts, level):
    rungs = [rung(str(i), v, 0.2) for i, v in enumerate(verdicts, 1)]
    start, reason = starting_level(rungs)
    assert start == level
    assert (f"start at level {level}" in reason) == (level is not None)


def test_among_ease_the_largest_share_of_the_recipes_own_g_decides():
    rungs = [
        rung("1", "saturated", 0.29),  # more signal, but there is nothing left to learn
        rung("2", "ease", 0.21),
        rung("3", "ease", 0.12),
    ]
    start, reason = starting_level(rungs)
    assert start == "2"
    assert "with a larger G: 21 % [10, 42] of its groups carry signal" in reason


def test_where_none_can_be_trained_the_nearest_is_named():
    start, reason = starting_level([rung("1", "cold_start", 0.08), rung("2", "cold_start", 0.0)])
    assert start is None
    assert reason == (
        "no level can be trained as it is; level 1 comes nearest: 8 % [4, 16] of its groups carry "
        "signal"
    )
