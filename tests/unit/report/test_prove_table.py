"""A proof on the terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from finished_run import full_run
from rich.console import Console

from minirl.report.prove_table import pass_table, prove_text, regression_table
from minirl.rundir import read_json


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path: Path = tmp_path_factory.mktemp("runs") / "full"
    return read_json(full_run(path).prove)


def printed(table: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(table, markup=False)
    return out.getvalue()


def test_the_verdict_comes_first_with_its_rules(record: dict[str, Any]) -> None:
    lines = prove_text(record | {"also": ["expanded"]})
    assert lines[0] == "SHARPENED (and expanded)"
    assert lines[1].strip() == record["reasons"][0]


def test_every_figure_has_its_interval(record: dict[str, Any]) -> None:
    text = "\n".join(prove_text(record))
    for name in ("solved", "any form", "to be gained", "answers", "KL", "plain text", "coin flips"):
        line = next(line for line in text.splitlines() if name in line)
        assert "[" in line, line
    solved = record["tuned"]["solved"]
    assert f"{100 * solved['value']:.1f} % [{100 * solved['low']:.1f}" in text
    coverage = record["coverage"]
    assert f"both {coverage['both']}, base alone {coverage['base_only']}" in text
    assert "T = 1.80" in text
    assert "step 10" in text


def test_what_was_not_measured_is_left_out(record: dict[str, Any]) -> None:
    bare = record | {"random_reward": None, "matched": None, "checkpoints": [], "guess": None}
    text = "\n".join(prove_text(bare))
    assert not any(word in text for word in ("coin flips", "as varied", "step ", "guessing"))


def test_a_crossover_beyond_the_samples_is_told_as_such(record: dict[str, Any]) -> None:
    curves = record["pass_at_k"] | {"crossover": {"k": None, "low": 8, "high": None}}
    text = "\n".join(prove_text(record | {"pass_at_k": curves}))
    assert f"none [8, beyond {record['samples']}]" in text
    curves = record["pass_at_k"] | {"crossover": {"k": 12, "low": 8, "high": None}}
    text = "\n".join(prove_text(record | {"pass_at_k": curves}))
    assert f"ahead from k = 12 on [8, beyond {record['samples']}]" in text


def test_the_tables_hold_every_row_within_80_columns(record: dict[str, Any]) -> None:
    shown = printed(pass_table(record))
    for k, base in zip(record["pass_at_k"]["k"], record["pass_at_k"]["base"], strict=True):
        row = next(line for line in shown.splitlines() if line.startswith(f"│ {k} "))
        assert f"{100 * base['value']:.1f} %" in row
    shown = printed(regression_table(record))
    for row in record["regressions"]:
        assert row["env"] in shown
    assert "…" not in shown
