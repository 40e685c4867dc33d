"""A proof on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from minirl.report.console import rate_text
from minirl.report.text import duration


def prove_text(record: Mapping[str, Any]) -> list[str]:
    """The verdict with its rules, then coverage, diversity and distance, a line each."""
    also = f" (and {', '.join(record['also'])})" if record["also"] else ""
    lines = [f"{record['verdict'].upper()}{also}"]
    lines += [f"  {reason}" for reason in record["reasons"]]
    coverage, gap = record["coverage"], record["efficiency_gap"]
    lines += [
        "",
        f"  solved        {rate_text(record['base']['solved'])} → "
        f"{rate_text(record['tuned']['solved'])}",
    ]
    if record["base"]["lenient"] and record["tuned"]["lenient"]:
        lines.append(
            f"  in any form   {rate_text(record['base']['lenient'])} → "
            f"{rate_text(record['tuned']['lenient'])}"
        )
    lines += [
        f"  coverage      of {record['tasks']} tasks in {record['samples']} samples: both "
        f"{coverage['both']}, base alone {coverage['base_only']}, tuned alone "
        f"{coverage['tuned_only']}, neither {coverage['neither']} "
        f"(McNemar p = {coverage['mcnemar_p']:.2g})",
        f"  to be gained  pass@{gap['k']} of the base - pass@1 of tuned: {_points(gap)}",
    ]
    crossing = record["pass_at_k"]["crossover"]
    if crossing:
        lines.append(f"  crossover     {_crossover(crossing, record['samples'])}")
    before, after = record["diversity"]["base"], record["diversity"]["tuned"]
    lines.append(
        f"  answers       {_arrow(before, after, 'distinct_answers')} different ones a task, "
        f"entropy {_arrow(before, after, 'answer_entropy')} nats"
    )
    lines.append(f"  tokens        entropy {_arrow(before, after, 'token_entropy')} nats")
    kl = record["kl"]
    lines.append(
        f"  KL            {_span(kl['tuned_base'], 4)} (tuned ‖ base), "
        f"{_span(kl['base_tuned'], 4)} (base ‖ tuned) {kl['unit']}"
    )
    perplexity = record["perplexity"]
    lines.append(f"  perplexity    {_span(perplexity['tuned_under_base'])} of tuned under the base")
    lines.append(f"  plain text    perplexity times {_span(record['plain_text']['ratio'], 3)}")
    guess = record["guess"]
    if guess:
        lines.append(
            f"  guessing      {rate_text(guess['solved'])}, "
            f"{100 * guess['pass_at_k'][-1]['value']:.1f} % in {record['samples']} samples"
        )
    control = record["random_reward"]
    if control:
        lines.append(
            f"  coin flips    {rate_text(control['solved'])} after training on random rewards: "
            f"{_points(control['difference'])}"
        )
    matched = record["matched"]
    if matched:
        last = matched["pass_at_k"]["tuned"][-1]
        lines.append(
            f"  as varied     tuned at T = {matched['temperature']:.2f} has the base's entropy: "
            f"pass@{matched['samples']} {_percent(last)}"
        )
    for row in record["checkpoints"]:
        lines.append(
            f"  step {row['step']:<8} pass@1 {_percent(row['pass_at_1'])}, "
            f"pass@{row['k']} {_percent(row['pass_at_k'])}"
        )
    return [*lines, "", f"  proved in {duration(record['seconds'])}", ""]


def pass_table(record: Mapping[str, Any]) -> Table:
    """pass@k of base and tuned, and their paired difference."""
    curves = record["pass_at_k"]
    table = Table(
        title=f"{record['env']}, {record['tasks']} held-out tasks, T = {record['temperature']:g}"
    )
    for column in ("k", "base", "tuned", "tuned - base, points"):
        table.add_column(column, no_wrap=True)
    rows = zip(curves["k"], curves["base"], curves["tuned"], curves["difference"], strict=True)
    for k, base, tuned, change in rows:
        table.add_row(str(k), _percent(base), _percent(tuned), _points(change, unit=""))
    return table


def regression_table(record: Mapping[str, Any]) -> Table:
    """What other environments lost or gained."""
    table = Table(title="elsewhere")
    for column in ("environment", "base", "tuned", "points"):
        table.add_column(column, no_wrap=column != "environment")
    for row in record["regressions"]:
        table.add_row(
            f"{row['env']} {row['kind']}",
            _percent(row["base"], 0),
            _percent(row["tuned"], 0),
            _points(row["difference"], unit=""),
        )
    return table


def _crossover(crossing: Mapping[str, int | None], n: int) -> str:
    def told(k: int | None) -> str:
        return f"beyond {n}" if k is None else str(k)

    at = "none" if crossing["k"] is None else f"the base is ahead from k = {crossing['k']} on"
    return f"{at} [{told(crossing['low'])}, {told(crossing['high'])}]"


def _arrow(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> str:
    return f"{_span(before[key])} → {_span(after[key])}"


def _span(s: Mapping[str, float], digits: int = 2) -> str:
    return f"{s['value']:.{digits}f} [{s['low']:.{digits}f}, {s['high']:.{digits}f}]"


def _percent(s: Mapping[str, float], digits: int = 1) -> str:
    value, low, high = (f"{100 * s[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} % [{low}, {high}]"


def _points(s: Mapping[str, float], unit: str = " points") -> str:
    return f"{100 * s['value']:+.1f}{unit} [{100 * s['low']:+.1f}, {100 * s['high']:+.1f}]"
