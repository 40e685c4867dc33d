"""A plan as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from minirl.report.text import duration

GB = 1e9


def plan_table(record: Mapping[str, Any]) -> Table:
    """The record of ``minirl plan --json``: bytes by part while sampling and while training."""
    phases: Mapping[str, Mapping[str, int]] = record["phases"]
    names = [name for name in ("sampling", "training") if name in phases]
    table = Table(title=f"{record['recipe']} on {record['target']['name']}: predicted memory, GB")
    table.add_column("part", no_wrap=True)
    for name in names:
        table.add_column(f"while {name}", justify="right", no_wrap=True)
    for part in record["parts"]:
        cells = [phases[name][part] for name in names]
        if any(cells):
            table.add_row(_LABELS[part], *(_gb(cell) for cell in cells))
    sums = [sum(phases[name].values()) for name in names]
    table.add_row("together", *map(_gb, sums), style="bold")
    return table


_LABELS = {
    "weights": "weights",
    "quantisation": "4-bit scales, one unpacked matrix",
    "adapter": "LoRA adapter",
    "gradients": "its gradients",
    "optimizer": "optimizer",
    "sampling": "cache and draws of sampling",
    "activations": "activations",
    "logits": "logits",
    "runtime": "runtime",
}


def _gb(count: float) -> str:
    return f"{count / GB:.2f}"


def plan_text(record: Mapping[str, Any]) -> list[str]:
    """Whether it fits, what would, and how long it may take: a line each."""
    target, room = record["target"], record["room"]
    usable = target["usable"] / GB
    total = max(record["total"], record["evaluation"]) / GB
    fits = "fits" if record["fits"] else "does not fit"
    left = "to spare" if record["fits"] else "too much"
    lines = [
        f"{fits}: {total:.1f} GB of {usable:.1f} GB usable ({target['memory'] / GB:.1f} in all), "
        f"{abs(record['headroom']) / GB:.1f} GB {left}; {record['backend']}, {record['engine']} "
        f"sampling, {record['precision']}"
    ]
    if record["settled"] and record["fits"]:
        lines.append(
            "settled: " + ", ".join(f"{k} = {v}" for k, v in sorted(record["settled"].items()))
        )
    lines += [f"advice: {advice}" for advice in record["advice"]]
    lines.append(
        "largest that fits, each by itself: " + ", ".join(f"{k} {v:,}" for k, v in room.items())
    )
    lines.append(
        f"lengths: prompt {record['prompt']['tokens']} tokens ({record['prompt']['how']}), replies "
        f"counted at their limit of {record['completion']}"
    )
    if pace := record["pace"]:
        lines.append(
            f"time, {pace['note']}: {duration(pace['step'])} a step "
            f"({duration(pace['sampling'])} of it sampling), {duration(pace['run'])} for "
            f"{pace['steps']} steps"
        )
    if record["licence"]:
        lines.append(f"licence of {record['model']}: {record['licence']}")
    return lines
