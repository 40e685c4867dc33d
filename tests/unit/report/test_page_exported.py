"""The export on the page: the terminal's figures, of the files as they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import finished_export as finished
import finished_run as made
import pytest

from minirl.report.export_table import export_text
from minirl.report.page import gather, render
from minirl.report.text import visible
from minirl.rundir import RunDir, write_json


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = made.make_run(tmp_path / "run")
    finished.add_export(run)
    return run


def row_of(name: str, shown: dict[str, Any]) -> dict[str, str]:
    row = next(row for row in shown["rows"] if row[0] == name)
    return dict(zip(shown["columns"], row, strict=True))


def test_a_row_a_file_with_interval_and_number_of_tasks(run: RunDir) -> None:
    shown = gather(run).data["export"]
    assert shown["title"] == "export of smollm2-135m, arithmetic:2, 200 held-out tasks"
    assert [row[0] for row in shown["rows"]] == list(finished.exported()["files"])
    q4 = row_of("sums-q4_k_m.gguf", shown)
    assert q4["size"] == "105.0 MB"
    assert q4["top-1"].startswith("99.0 %\n[98.")
    assert q4["KL, nats"].startswith("0.068\n[0.06")
    solved, interval, change = q4["solved, change"].split("\n")
    assert (solved, interval) == ("50.0 %", "[43.1, 56.9]")
    assert change.startswith("-25.0 [-3")
    assert (q4["tokens/s"], q4["verdict"]) == ("198", "FAILED")
    assert row_of("sums-f16.gguf", shown)["verdict"] == "passed"
    assert set(list(row_of("merged", shown).values())[2:]) == {"–"}


def test_what_it_was_compared_with_and_what_failed(run: RunDir) -> None:
    compared, places, failure, note = gather(run).data["export"]["said"]
    assert "transformers, float32" in compared
    assert "(n = 200)" in compared
    assert places == "likeliest tokens and KL over 2,000 places of text"
    assert failure.startswith("sums-q4_k_m.gguf FAILED: first at token 7")
    assert "\\x1b[31m<b>|" in failure
    assert note == "sums-q4_k_m.gguf: tools are described otherwise"


def test_what_was_written_anew_is_not_verified(run: RunDir) -> None:
    ledger = finished.exported()
    ledger["files"]["sums-q4_k_m.gguf"]["sha256"] = "1" * 64
    write_json(run.export / "export.json", ledger)
    shown = gather(run).data["export"]
    assert row_of("sums-q4_k_m.gguf", shown)["verdict"] == "–"
    assert row_of("sums-f16.gguf", shown)["verdict"] == "passed"
    assert not any("FAILED" in line for line in shown["said"])

    for file in ledger["files"].values():
        file["sha256"] = "1" * 64
    write_json(run.export / "export.json", ledger)
    unverified = gather(run).data["export"]
    assert unverified["title"] == "export of smollm2-135m"
    assert unverified["said"] == export_text(ledger, None)
    (run.export / "verify.json").unlink()
    assert gather(run).data["export"] == unverified


def test_nothing_is_said_of_an_export_elsewhere(run: RunDir) -> None:
    run.export.rename(run.path.parent / "elsewhere")
    gathered = gather(run)
    assert gathered.data["export"] is None
    assert gathered.summary()["notes"] == []
    assert "export" not in gathered.summary()["parts"]


@pytest.mark.parametrize("name", ["export.json", "verify.json"])
@pytest.mark.parametrize("text", ["{", "[]", '{"a": ' * 100_000])
def test_a_damaged_file_is_noted(run: RunDir, name: str, text: str) -> None:
    (run.export / name).write_text(text)
    data = gather(run).data
    (note,) = data["notes"]
    assert note.startswith(f"export/{name} ")
    assert (data["export"] is None) is (name == "export.json")
    render(data)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("export.json", {"files": ["sums.gguf"]}),
        ("export.json", {"files": {"sums.gguf": {"bytes": "many"}}}),
        ("export.json", {"model": None, "files": {"sums.gguf": 7}}),
        ("verify.json", {"files": {"sums-f16.gguf": {"sha256": "0" * 64}}}),
        ("verify.json", {"reference": None}),
        ("verify.json", {"reference": {"solved": {"tasks": 3, "value": 10**400}}}),
    ],
)
def test_another_versions_files_are_noted(run: RunDir, name: str, changes: dict[str, Any]) -> None:
    record = json.loads((run.export / name).read_text())
    write_json(run.export / name, record | changes)
    data = gather(run).data
    assert data["export"] is None
    (note,) = data["notes"]
    assert "does not understand" in note


def test_names_and_words_of_others_are_made_visible(run: RunDir) -> None:
    evil = "\u202e</script><b>\x00\x1b[2J"
    ledger, checks = finished.exported(model=evil, base=evil), finished.verified()
    ledger["files"][evil] = ledger["files"]["sums-f16.gguf"]
    checks["files"][evil] = checks["files"]["sums-q4_k_m.gguf"] | {"failures": [evil]}
    checks["reference"] |= {"env": evil, "backend": evil}
    write_json(run.export / "export.json", ledger)
    write_json(run.export / "verify.json", checks)
    data = gather(run).data
    shown = data["export"]
    assert shown["rows"][-1][0] == visible(evil)
    for text in (shown["title"], *shown["said"], *(cell for row in shown["rows"] for cell in row)):
        assert visible(text) == text
    assert render(data).count("</script>") == 2  # the page's own
