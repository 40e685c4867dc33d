"""A probe on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from minirl.report.console import rate_text
from minirl.report.text import duration, visible

TITLES = {
    "go": "GO",
    "ease": "RAISE G, OR EASE THE TASK",
    "cold_start": "COLD START FIRST",
    "saturated": "SATURATED",
}
BAR = 30  # characters for a share of 1


def probe_text(record: Mapping[str, Any]) -> list[str]:
    """The verdict, the rates, the distribution of p, and the price."""
    unsure = "" if record["decided"] else " (not settled within probe.groups)"
    lines = [f"{TITLES[record['verdict']]}{unsure}: {record['reason']}", ""]
    lines.append(f"  solved        {rate_text(record['solved'])}")
    if record["lenient"]:
        lines.append(f"  in any form   {rate_text(record['lenient'])}")
    if record["guess"]:
        lines.append(f"  guessing      {rate_text(record['guess'])}")
    lines.append(f"  cut off       {rate_text(record['truncated'])}")
    first = record["first_step"]
    lines.append(
        f"  first step    of its {first['groups']} groups, {first['low']} to {first['high']} will "
        "carry signal"
    )
    lines += ["", "  share of tasks by how often the base solves them (fitted)"]
    edges, shares = record["distribution"]["edges"], record["distribution"]["share"]
    for low, high, share in zip(edges, edges[1:], shares, strict=False):
        bar = "█" * round(BAR * share)
        lines.append(f"  {100 * low:>3.0f} to {100 * high:>3.0f} %  {100 * share:>3.0f} %  {bar}")
    price = record["price"]
    if price:
        low, high = duration(price["seconds_low"]), duration(price["seconds_high"])
        lines += [
            "",
            f"  training here: {price['rollouts']:,} rollouts, about {price['tokens']:,} tokens, "
            f"{low} to {high}",
        ]
    lines += [
        "",
        f"  probed with {record['samples']:,} samples in {duration(record['seconds'])}",
        "",
    ]
    return lines


def signal_table(record: Mapping[str, Any]) -> Table:
    """Share of groups with signal by G."""
    # Text, for a title that is a str would be read as markup, whatever the console says.
    table = Table(title=Text(visible(f"{record['env']}: groups with signal")))
    for column in ("G", "share", "rollouts a useful group", ""):
        table.add_column(column, no_wrap=True)
    for size, s in record["signal"].items():
        own = int(size) == record["group_size"]
        table.add_row(
            size,
            _share(s),
            f"{int(size) / s['value']:.0f}" if s["value"] > 0 else "–",
            "this recipe" if own else s["how"] if s["how"] == "extrapolated" else "",
            style="bold" if own else "",
        )
    return table


def ladder_table(record: Mapping[str, Any]) -> Table:
    """A line a level."""
    table = Table(title=Text(visible(f"{record['env']}, {record['model']}")))
    for column in ("level", "verdict", "solved", "groups with signal", "samples"):
        table.add_column(column, no_wrap=True)
    for rung in record["levels"]:
        start = rung["level"] == record["start"]
        table.add_row(
            Text(visible(rung["level"]) + (" ←" if start else "")),
            rung["verdict"].replace("_", " "),
            _share(rung["solved"]),
            _share(rung["signal"][str(rung["group_size"])]),
            f"{rung['samples']:,}",
            style="bold" if start else "",
        )
    return table


def _share(s: Mapping[str, float]) -> str:
    return f"{100 * s['value']:.0f} % [{100 * s['low']:.0f}, {100 * s['high']:.0f}]"
