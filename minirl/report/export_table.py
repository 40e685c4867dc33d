"""An export on the terminal: its files, and what came of verifying them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from minirl.report.console import rate_text
from minirl.report.text import visible

NONE = "–"


def export_table(exported: Mapping[str, Any], verified: Mapping[str, Any] | None) -> Table:
    """A row a file; each figure with its 95 % interval, the change in points.

    Args:
        exported: export.json.
        verified: verify.json, where the files have been verified.
    """
    table = Table(
        title=_title(exported, verified), box=box.SIMPLE, collapse_padding=True, pad_edge=False
    )
    table.add_column("file", no_wrap=True)
    for column in ("size", "top-1", "KL, nats", "solved, change", "tokens/s"):
        table.add_column(column, justify="right", overflow="fold")
    table.add_column("verdict", overflow="fold")
    for name, file in exported["files"].items():
        record = _records(verified).get(name)
        table.add_row(
            Text(visible(name)), bytes_text(file["bytes"]), *figures(record), verdict(record)
        )
    return table


def figures(record: Mapping[str, Any] | None) -> tuple[str, str, str, str]:
    """top-1, KL, solved and tokens/s of a record of verify.json; a dash where not measured."""
    distributions = (record or {}).get("distributions")
    answers = (record or {}).get("answers")
    return (
        _two_lines(_percent(distributions["top1"])) if distributions else NONE,
        _two_lines(_small(distributions["kl"])) if distributions else NONE,
        f"{_two_lines(_percent(answers['solved']))}\n{_points(answers['difference'])}"
        if answers
        else NONE,
        f"{answers['tokens_per_second']:.0f}" if answers else NONE,
    )


def verdict(record: Mapping[str, Any] | None) -> str:
    """What verification said, in a word; a dash where there was none."""
    if record is None:
        return NONE
    return "passed" if record["passed"] else "FAILED"


def export_text(exported: Mapping[str, Any], verified: Mapping[str, Any] | None) -> list[str]:
    """What it was compared with, then failures and notes, a line each."""
    if verified is None:
        return ["not verified: minirl export --verify compares the files with the trained model"]
    reference = verified["reference"]
    lines = [
        f"compared with {visible(str(reference['model']))} and its adapter on "
        f"{visible(str(reference['env']))} ({reference['backend']}, {reference['dtype']}): solved "
        f"{rate_text(reference['solved'])}, {reference['tokens_per_second']:.0f} tokens/s"
    ]
    places = [
        r["distributions"]["positions"]
        for r in _records(verified).values()
        if r.get("distributions")
    ]
    if places:
        lines.append(f"  top-1 and KL over {_range(places)} places of text")
    base = str(exported.get("base", "stored"))
    if base != "stored":
        lines.append(f"  merged into the {visible(base)} weights of the base")
    for name, record in _records(verified).items():
        shown = visible(name)
        lines += [f"  {shown} FAILED: {visible(str(what))}" for what in record["failures"]]
        lines += [f"  {shown}: {visible(str(what))}" for what in record["notes"]]
    return lines


def bytes_text(n: int) -> str:
    """``134.5 MB``, in powers of 1000."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} B"


def _two_lines(figure: str) -> str:
    """A figure above its interval."""
    return figure.replace(" [", "\n[")


def _records(verified: Mapping[str, Any] | None) -> Mapping[str, Mapping[str, Any]]:
    return verified["files"] if verified else {}


def _title(exported: Mapping[str, Any], verified: Mapping[str, Any] | None) -> Text:
    of = visible(str(exported["model"]))
    if not verified:
        return Text(f"export of {of}")
    solved = verified["reference"]["solved"]
    env = visible(str(verified["reference"]["env"]))
    return Text(f"export of {of}, {env}, {solved['tasks']} held-out tasks")


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _percent(s: Mapping[str, float]) -> str:
    value, low, high = (f"{100 * s[key]:.1f}" for key in ("value", "low", "high"))
    return f"{value} % [{low}, {high}]"


def _small(s: Mapping[str, float | None]) -> str:
    value, low, high = (_two_digits(s[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _two_digits(x: float | None) -> str:
    return (
        "∞" if x is None else f"{x:.2g}".replace("e-0", "e-")
    )  # JSON has no infinity: verify.json says null


def _points(s: Mapping[str, float]) -> str:
    return f"{100 * s['value']:+.1f} [{100 * s['low']:+.1f}, {100 * s['high']:+.1f}]"
