"""What was exported, in the words and figures of the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minirl.report.export_table import COLUMNS, export_rows, export_text, export_title
from minirl.report.page.read import Reader
from minirl.rundir import RunDir

Record = Mapping[str, Any]


def exported(reader: Reader, run: RunDir) -> dict[str, Any] | None:
    """The table of the run's ``export/`` with what was said about it; None where there is none.

    What `minirl export --out` wrote elsewhere is not looked for.
    """
    ledger = reader.json(run.export / "export.json")
    found = reader.json(run.export / "verify.json")
    if ledger is None or not ledger.get("files"):
        return None
    try:
        verified = _as_they_stand(ledger, found) if found else None
        return {
            "title": export_title(ledger, verified),
            "columns": list(COLUMNS),
            "rows": [list(row) for row in export_rows(ledger, verified)],
            "said": [line.strip() for line in export_text(ledger, verified)],
        }
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reader.notes.append(
            "export/ holds an export.json or a verify.json that this minirl does not understand "
            f"({type(error).__name__}), and is left out."
        )
        return None


def _as_they_stand(ledger: Record, found: Record) -> Record | None:
    """Of verify.json, what is about the files as they were last written."""
    written = {name: file["sha256"] for name, file in ledger["files"].items()}
    records = {n: r for n, r in found["files"].items() if r["sha256"] == written.get(n)}
    return {**found, "files": records} if records else None
