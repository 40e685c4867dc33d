"""An audit on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from minirl.report.text import duration, visible

STYLES = {"FAILED": "bold red", "noted": "yellow", "not tried": "dim", "passed": "green"}


def audit_table(record: Mapping[str, Any]) -> Table:
    """Every check of one environment, with what it tried."""
    # Text, for a title that is a str would be read as markup, whatever the console says.
    table = Table(title=Text(visible(f"{record['env']}: {record['tasks']:,} tasks of each split")))
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("failures / tries", justify="right", no_wrap=True)
    table.add_column("what")
    for check in record["checks"]:
        counts = f"{check['failures']:,} / {check['tries']:,}"
        table.add_row(
            check["check"],
            Text(check["outcome"], style=STYLES[check["outcome"]]),
            counts if check["tries"] else "–",
            Text(visible(check["title"] + (f": {check['detail']}" if check["detail"] else ""))),
        )
    return table


def audit_summary(record: Mapping[str, Any]) -> str:
    """One line: passed or not, by which checks, how much was tried."""
    outcomes = [check["outcome"] for check in record["checks"]]
    failed = [check["check"] for check in record["checks"] if check["outcome"] == "FAILED"]
    verdict = f"FAILED ({', '.join(failed)})" if failed else "passed"
    seconds = max(record["seconds"], 0.01)
    tried = f"{outcomes.count('passed') + outcomes.count('noted')} checks passed"
    untried = outcomes.count("not tried")
    return visible(
        f"{record['env']}: {verdict}; {tried}, {untried} had nothing to try; "
        f"{record['calls']:,} calls in {duration(seconds)}"
    )


def example_text(check: Mapping[str, Any]) -> str:
    """The first failure of one check in full; all of it is hostile text made safe."""
    counts = f"{check['failures']:,} of {check['tries']:,}"
    lines = [f"{check['check']} ({check['outcome']}, {counts}): {check['title']}"]
    if check["detail"]:
        lines.append(f"  {visible(check['detail'])}")
    example = check["example"]
    if example is None:
        return "\n".join(lines)
    value = "none" if example["value"] is None else f"{example['value']:g}, "
    solved = {None: "", True: "solved", False: "not solved"}[example["solved"]]
    fields = (
        ("why", example["why"]),
        ("task", example["task"]),
        ("prompt", example["prompt"]),
        ("completion", example["completion"]),
    )
    for name, text in fields:
        if text or name == "completion":
            shown = visible(text).replace("\n", "\n" + " " * 14)
            lines.append(f"  {name + ':':<12}{shown}")
    return "\n".join([*lines, f"  {'score:':<12}{value}{solved}"])
