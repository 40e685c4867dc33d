"""An export on the terminal."""

from __future__ import annotations

import io
from itertools import takewhile
from typing import Any

from finished_export import exported, verified
from rich.console import Console

from minirl.report.export_table import bytes_text, export_table, export_text


def rows(exports: dict[str, Any], checks: dict[str, Any] | None, width: int = 140) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(export_table(exports, checks), markup=False)
    return out.getvalue().splitlines()


def row_of(name: str, shown: list[str]) -> str:
    """A row's lines as one."""
    at = next(i for i, line in enumerate(shown) if line.strip().startswith(name))
    more = takewhile(lambda line: line.strip() and line.startswith("    "), shown[at + 1 :])
    return "\n".join([shown[at], *more])


def test_a_row_a_file_with_its_figures() -> None:
    shown = rows(exported(), verified())
    row = row_of("sums-f16.gguf", shown)
    for cell in ("271.0 MB", " 100.0 % ", "[98.1, 100.0]", "5.6e-6", "75.0 %", "[68.6, 80.5]"):
        assert cell in row, cell
    for cell in ("+0.0 [", " 198 ", "passed"):
        assert cell in row, cell
    assert "arithmetic:2, 200 held-out tasks" in shown[0]


def test_narrow_terminals_lose_no_figure() -> None:
    shown = "\n".join(rows(exported(), verified(), width=80))
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_failure_stands_out_and_is_said_in_words() -> None:
    row = row_of("sums-q4_k_m.gguf", rows(exported(), verified()))
    assert "FAILED" in row
    assert " 99.0 % " in row
    assert "-25.0 [-" in row
    lines = export_text(exported(), verified())
    said = next(line for line in lines if "FAILED" in line)
    assert said.startswith("  sums-q4_k_m.gguf FAILED: first at token 7")
    assert "\\x1b[31m<b>|" in said
    assert "  sums-q4_k_m.gguf: tools are described otherwise" in lines


def test_what_was_not_measured_is_a_dash() -> None:
    shown = rows(exported(), verified())
    adapter, merged = row_of("adapter", shown), row_of("merged", shown)
    assert (adapter.count("–"), merged.count("–")) == (4, 5)
    assert "passed" in adapter
    assert "538.1 MB" in merged


def test_what_it_was_compared_with() -> None:
    first, second = export_text(exported(), verified())[:2]
    assert "transformers, float32" in first
    assert "solved 75.0 % [" in first
    assert "(n = 200)" in first
    assert "2,000 places" in second
    lines = export_text(exported(base="dequantized"), verified())
    assert "  merged into the dequantized weights of the base" in lines


def test_without_verification() -> None:
    assert all("passed" not in line for line in rows(exported(), None))
    assert export_text(exported(), None) == [
        "not verified: minirl export --verify compares the files with the trained model"
    ]


def test_names_cannot_steer_the_terminal() -> None:
    name = "x\x1b[31m\u202e[red].gguf"
    exports = exported(model="m\x1b]0;t\x07", files={name: exported()["files"]["sums-f16.gguf"]})
    shown = "\n".join(rows(exports, None))
    assert "\\x1b[31m\\u202e[red].gguf" in shown
    assert "m\\x1b]0;t\\x07" in shown


def test_a_divergence_without_bound_is_shown() -> None:
    checks = verified()
    checks["files"]["sums-f16.gguf"]["distributions"]["kl"] |= {"value": None, "high": None}
    row = row_of("sums-f16.gguf", rows(exported(), checks))
    assert " ∞ " in row
    assert ", ∞]" in row


def test_sizes() -> None:
    assert [bytes_text(n) for n in (7, 9_830, 105_000_000, 15_200_000_000)] == [
        "7 B", "9.8 kB", "105.0 MB", "15.2 GB",
    ]  # fmt: skip
