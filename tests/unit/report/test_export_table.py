"""An export on the terminal."""

from __future__ import annotations

from itertools import takewhile

from finished_export import exported, verified

from minirl.report.export_table import bytes_text, export_lines, export_text


def said_of(name: str, lines: list[str]) -> list[str]:
    """The lines about a file."""
    at = next(i for i, line in enumerate(lines) if line.startswith(f"  {name}  "))
    return [lines[at], *takewhile(lambda line: line.startswith("    "), lines[at + 1 :])]


def test_a_file_with_its_figures() -> None:
    lines = export_lines(exported(), verified())
    assert "arithmetic:2, 200 held-out tasks" in lines[0]
    head, tokens, answers = said_of("sums-f16.gguf", lines)
    assert head.endswith("271.0 MB  passed")
    assert "token 100.0 % [98.1, 100.0], KL 5.6e-6 [" in tokens
    assert "solved 75.0 % [68.6, 80.5], change +0.0 [" in answers
    assert answers.endswith(" 198 tokens/s")


def test_it_fits_a_narrow_terminal() -> None:
    assert max(map(len, export_lines(exported(), verified()))) <= 80


def test_a_failure_stands_out_and_is_said_in_words() -> None:
    head, tokens, answers = said_of("sums-q4_k_m.gguf", export_lines(exported(), verified()))
    assert "FAILED" in head
    assert " 99.0 % " in tokens
    assert "-25.0 [-" in answers
    lines = export_text(exported(), verified())
    said = next(line for line in lines if "FAILED" in line)
    assert said.startswith("  sums-q4_k_m.gguf FAILED: first at token 7")
    assert "\\x1b[31m<b>|" in said
    assert "  sums-q4_k_m.gguf: tools are described otherwise" in lines


def test_what_was_not_measured_is_left_out() -> None:
    lines = export_lines(exported(), verified())
    (adapter,) = said_of("adapter", lines)
    (merged,) = said_of("merged", lines)
    assert adapter.endswith("passed")
    assert merged.endswith("538.1 MB")


def test_what_it_was_compared_with() -> None:
    first, second = export_text(exported(), verified())[:2]
    assert "transformers, float32" in first
    assert "solved 75.0 % [" in first
    assert "(n = 200)" in first
    assert "2,000 places" in second
    lines = export_text(exported(base="dequantized"), verified())
    assert "  merged into the dequantized weights of the base" in lines


def test_without_verification() -> None:
    assert all("passed" not in line for line in export_lines(exported(), None))
    assert export_text(exported(), None) == [
        "not verified: minirl export --verify compares the files with the trained model"
    ]


def test_names_cannot_steer_the_terminal() -> None:
    name = "x\x1b[31m\u202e[red].gguf"
    exports = exported(model="m\x1b]0;t\x07", files={name: exported()["files"]["sums-f16.gguf"]})
    shown = "\n".join(export_lines(exports, None))
    assert "\\x1b[31m\\u202e[red].gguf" in shown
    assert "m\\x1b]0;t\\x07" in shown


def test_a_divergence_without_bound_is_shown() -> None:
    checks = verified()
    checks["files"]["sums-f16.gguf"]["distributions"]["kl"] |= {"value": None, "high": None}
    tokens = said_of("sums-f16.gguf", export_lines(exported(), checks))[1]
    assert "KL ∞ [" in tokens
    assert ", ∞]" in tokens


def test_sizes() -> None:
    assert [bytes_text(n) for n in (7, 9_830, 105_000_000, 15_200_000_000)] == [
        "7 B", "9.8 kB", "105.0 MB", "15.2 GB",
    ]  # fmt: skip
