"""An export on the terminal: its files, and what came of verifying them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minirl.report.console import rate_text
from minirl.report.text import visible

NONE = "–"
COLUMNS = ("file", "size", "top-1", "KL, nats", "solved, change", "tokens/s", "verdict")


def export_lines(exported: Mapping[str, Any], verified: Mapping[str, Any] | None) -> list[str]:
    """A few lines a file, which fit a narrow terminal; each figure with its 95 % interval, the
    change in points.

    Args:
        exported: export.json.
        verified: verify.json, where the files have been verified.
    """
    lines = [export_title(exported, verified)]
    for name, file in exported["files"].items():
        record = _records(verified).get(name)
        said = f"  {verdict(record)}" if record else ""
        lines.append(f"  {visible(name)}  {bytes_text(file['bytes'])}{said}")
        distributions = (record or {}).get("distributions")
        answers = (record or {}).get("answers")
        if distributions:
            top1, kl = _percent(distributions["top1"]), _small(distributions["kl"])
            lines.append(f"    same likeliest token {top1}, KL {kl} nats")
        if answers:
            solved, change = _percent(answers["solved"]), _points(answers["difference"])
            speed = f"{answers['tokens_per_second']:.0f} tokens/s"
            lines.append(f"    solved {solved}, change {change}, {speed}")
    return lines


def export_rows(
    exported: Mapping[str, Any], verified: Mapping[str, Any] | None
) -> list[tuple[str, ...]]:
    """The cells under :data:`COLUMNS`, a row a file; some are of several lines."""
    rows: list[tuple[str, ...]] = []
    for name, file in exported["files"].items():
        record = _records(verified).get(name)
        rows.append((visible(name), bytes_text(file["bytes"]), *figures(record), verdict(record)))
    return rows


def export_title(exported: Mapping[str, Any], verified: Mapping[str, Any] | None) -> str:
    """The base model and, where the files have been verified, on how many tasks of what."""
    of = visible(str(exported["model"]))
    if not verified:
        return f"export of {of}"
    solved = verified["reference"]["solved"]
    env = visible(str(verified["reference"]["env"]))
    return f"export of {of}, {env}, {solved['tasks']} held-out tasks"


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
        lines.append(f"  likeliest tokens and KL over {_range(places)} places of text")
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
