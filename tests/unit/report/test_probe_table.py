"""A probe on a terminal of 80 columns, with nothing in it read as markup or as a command."""

from __future__ import annotations

import io
from typing import Any

import pytest

from minirl.report.console import Output
from minirl.report.probe_table import TITLES, ladder_table, probe_text, signal_table

HOSTILE = "\x1b[31m[bold]x[/bold]\u202e\x00"


def rate(value: float, n: int = 448) -> dict[str, float]:
    return {"value": value, "low": value / 2, "high": value * 1.5, "n": n, "tasks": n // 8}


def record(**change: Any) -> dict[str, Any]:
    signal = {
        "4": {"value": 0.1, "low": 0.05, "high": 0.2, "how": "played"},
        "8": {"value": 0.2, "low": 0.1, "high": 0.3, "how": "played"},
        "16": {"value": 0.0, "low": 0.0, "high": 0.1, "how": "extrapolated"},
    }
    return {
        "env": "arithmetic:3",
        "model": "smollm2-135m",
        "verdict": "ease",
        "decided": True,
        "reason": "20 % [10, 30] of groups of 8 carry signal",
        "group_size": 8,
        "solved": rate(0.03),
        "lenient": rate(0.3),
        "truncated": rate(0.1),
        "guess": rate(0.01),
        "signal": signal,
        "first_step": {"groups": 8, "low": 2, "high": 7},
        "distribution": {"edges": [0.0, 0.01, 0.5, 1.0], "share": [0.5, 0.4, 0.1]},
        "price": {
            "rollouts": 12_800,
            "tokens": 640_000,
            "seconds_low": 65.0,
            "seconds_high": 4000.0,
        },
        "samples": 448,
        "seconds": 61.0,
        **change,
    }


def shown(*parts: Any) -> str:
    out = io.StringIO()
    console = Output(file=out, width=80, force_terminal=False)
    for part in parts:
        if isinstance(part, str):
            console.say(part)
        else:
            console.print(part, markup=False)
    return out.getvalue()


def test_text_says_the_verdict_the_rates_and_the_price():
    lines = probe_text(record())
    assert lines[0].startswith("RAISE G, OR EASE THE TASK: 20 % [10, 30]")
    text = "\n".join(lines)
    assert "  solved        3.0 % [1.5, 4.5] (n = 448)" in text
    assert "  in any form   30.0 %" in text
    assert "  guessing      1.0 %" in text
    assert "  cut off       10.0 %" in text
    assert "    0 to   1 %   50 %  " + "█" * 15 in text
    assert "12,800 rollouts, about 640,000 tokens, 1 min 05 s to 1 h 06 min" in text
    assert "probed with 448 samples in 1 min 01 s" in text
    assert max(len(line) for line in lines) <= 80


def test_what_is_not_known_is_left_out():
    text = "\n".join(probe_text(record(lenient=None, guess=None, price=None, decided=False)))
    assert "not settled within probe.groups" in text
    for word in ("any form", "guessing", "training here"):
        assert word not in text


@pytest.mark.parametrize("verdict", ["go", "ease", "cold_start", "saturated"])
def test_each_verdict_has_a_title(verdict):
    assert probe_text(record(verdict=verdict))[0].startswith(TITLES[verdict] + ":")


def test_signal_table_fits_and_marks_the_recipes_own_g():
    text = shown(signal_table(record()))
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert any("8" in line and "20 % [10, 30]" in line and "this recipe" in line for line in lines)
    assert any("40" in line and "10 % [5, 20]" in line for line in lines)  # 4 / 0.1 rollouts
    assert any("16" in line and "–" in line and "extrapolated" in line for line in lines)


def test_ladder_table_fits_and_points_at_the_start():
    levels = [
        {**record(verdict=v), "level": str(i)}
        for i, v in enumerate(("saturated", "go", "cold_start"), 1)
    ]
    text = shown(ladder_table({"env": "e", "model": "m", "levels": levels, "start": "2"}))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert next(line for line in text.splitlines() if "←" in line).split()[1:3] == ["2", "←"]
    assert "cold start" in text


def test_names_are_shown_as_text():
    hostile = record(env=HOSTILE, model=HOSTILE, reason=HOSTILE)
    ladder = {**hostile, "levels": [{**hostile, "level": HOSTILE}], "start": None}
    text = shown(*probe_text(hostile), signal_table(hostile), ladder_table(ladder))
    assert "[bold]x[/bold]" in text
    for char in ("\x1b", "\u202e", "\x00"):
        assert char not in text
