"""Training's curves, from metrics.jsonl and, where they are there, the rollouts themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from minirl.report.page.read import number, rounded
from minirl.stats import clustered_rate, wilson_interval
from minirl.stats.rates import mean_interval

WINDOW = 5  # steps that a point pools, at least; the terminal's view pools as many
PART_OF_RUN = 20  # and at least this part of the steps
POINTS = 240  # drawn of a curve, at most
SERIES = (
    "reward",
    "reward_std",
    "entropy",
    "completions/mean_length",
    "completions/min_length",
    "completions/max_length",
    "completions/clipped_ratio",
    "learning_rate",
    "grad_norm",
    "kl",
    "loss",
    "frac_reward_zero_std",
)
TIMES = {
    "seconds": "step",
    "sampling": "rollouts",
    "training": "training",
    "tokens_per_second": "tokens_per_second",
}


@dataclass(slots=True)
class StepRollouts:
    """What one step played, in the order it was played.

    Attributes:
        values, solved: one a rollout.
        tokens: that the policy wrote.
    """

    values: list[float] = field(default_factory=list)
    solved: list[bool] = field(default_factory=list)
    tokens: float = 0.0

    def first_groups(self, rollouts: int, size: int) -> list[tuple[list[float], int]]:
        """(rewards, solved) of each group that the task stream drew first; those that replaced a
        group without signal come later, and would flatter the curve.
        """
        whole = min(rollouts, len(self.values)) // size * size
        return [
            (self.values[i : i + size], sum(self.solved[i : i + size]))
            for i in range(0, whole, size)
        ]


def training(
    metrics: Sequence[Mapping[str, Any]],
    played: Mapping[int, StepRollouts],
    *,
    group_size: int,
    steps: int | None,
) -> dict[str, Any] | None:
    """The curves, the raw series and the cost; None before the first step has ended.

    Args:
        metrics: records of metrics.jsonl.
        played: each step's rollouts, where they are known.
        group_size: G.
        steps: how many the recipe asks for.
    """
    rows = [r for r in metrics if number(r.get("step")) is not None]
    if not rows:
        return None
    rows = sorted(rows, key=lambda r: float(r["step"]))
    window = max(WINDOW, math.ceil(len(rows) / PART_OF_RUN))
    drawn = _thinned(len(rows))
    pooled = [_pooled(rows[max(0, i + 1 - window) : i + 1], played, group_size) for i in drawn]
    at = [int(rows[i]["step"]) for i in drawn]
    return {
        "done": int(rows[-1]["step"]),
        "steps": steps,
        "window": window,
        "by_group": any(p["by_group"] for p in pooled),
        "step": at,
        **{name: [p[name] for p in pooled] for name in ("solved", "reward", "signal")},
        "series": _series([rows[i] for i in drawn]),
        "cost": _cost(rows, played),
    }


def _thinned(count: int) -> list[int]:
    """Positions to draw: all, or evenly spaced ones that end with the last."""
    if count <= POINTS:
        return list(range(count))
    return sorted({(i + 1) * count // POINTS - 1 for i in range(POINTS)})


def _pooled(
    rows: Sequence[Mapping[str, Any]], played: Mapping[int, StepRollouts], size: int
) -> dict[str, Any]:
    """Solved, reward and signal over a window of steps."""
    groups: list[tuple[list[float], int]] = []
    for row in rows:
        step = played.get(int(row["step"]))
        first = int(number(row.get("solved_n")) or 0)
        found = step.first_groups(first, size) if step else []
        if not found or len(found) * size != first:
            return _pooled_metrics(rows, size)
        groups += found
    rate = clustered_rate([(k, len(values)) for values, k in groups])
    means = [fmean(values) for values, _ in groups]
    low, high = mean_interval(np.array(means), float(sum(len(values) for values, _ in groups)))
    useful = sum(max(values) - min(values) > 1e-8 for values, _ in groups)
    return {
        "by_group": True,
        "solved": _span(rate.value, rate.low, rate.high) | {"n": rate.n},
        "reward": _span(fmean(means), low, high) | {"n": rate.n},
        "signal": _share(useful, len(groups)),
    }


def _pooled_metrics(rows: Sequence[Mapping[str, Any]], size: int) -> dict[str, Any]:
    """The same from the means that were logged: without the rollouts, samples of a task count as
    independent.
    """
    n = [int(number(r.get("solved_n")) or 0) for r in rows]
    solved = [round((number(r.get("solved")) or 0.0) * k) for r, k in zip(rows, n, strict=True)]
    groups = [k // size for k in n]
    useful = [
        round((number(r.get("signal")) or 0.0) * g) for r, g in zip(rows, groups, strict=True)
    ]
    rewards = [x for r in rows if (x := number(r.get("reward"))) is not None]
    return {
        "by_group": False,
        "solved": _share(sum(solved), sum(n)),
        "reward": {"value": rounded(fmean(rewards)), "low": None, "high": None, "n": sum(n)}
        if rewards
        else None,
        "signal": _share(sum(useful), sum(groups)),
    }


def _share(k: int, n: int) -> dict[str, Any] | None:
    if n < 1 or not 0 <= k <= n:
        return None
    return _span(k / n, *wilson_interval(k, n)) | {"n": n}


def _span(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def _series(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Logged figures step by step, those that were logged at all."""
    found = {name: [_figure(r.get(name)) for r in rows] for name in SERIES}
    for name, key in TIMES.items():
        found[name] = [_figure(_time(r).get(key)) for r in rows]
    return {name: values for name, values in found.items() if any(v is not None for v in values)}


def _time(row: Mapping[str, Any]) -> Mapping[str, Any]:
    value = row.get("time")
    return value if isinstance(value, dict) else {}


def _figure(value: Any) -> float | None:
    found = number(value)
    return None if found is None else rounded(found)


def _cost(
    rows: Sequence[Mapping[str, Any]], played: Mapping[int, StepRollouts]
) -> dict[str, float | None]:
    def total(key: str) -> float | None:
        whole = [x for r in rows if (x := number(_time(r).get(key))) is not None]
        return rounded(sum(whole)) if whole else None

    rollouts = [x for r in rows if (x := number(r.get("rollouts"))) is not None]
    steps = {int(r["step"]) for r in rows}
    written = sum(s.tokens for at, s in played.items() if at in steps)
    return {
        "seconds": total("step"),
        "sampling": total("rollouts"),
        "training": total("training"),
        "rollouts": sum(rollouts) if rollouts else None,
        "tokens": written or None,
        "tokens_seen": _figure(rows[-1].get("num_tokens")),
    }
