"""Counts as they come in, checked; quantiles that several intervals share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

TaskCounts = Sequence[tuple[int, int]]


def normal_quantile(confidence: float) -> float:
    check_confidence(confidence)
    return float(special.ndtri((1 + confidence) / 2))


def t_quantile(confidence: float, degrees: float) -> float:
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


def variance_degrees(values: NDArray[np.float64]) -> float:
    """How many degrees of freedom Student's t has for the mean of ``values``: at most one less than
    there are, and fewer where a few lie far from the others, for the variance is then uncertain.

    2 n / (κ - 1) with the kurtosis κ, which matches the variance of the variance (Satterthwaite
    1946, Biometrics Bulletin 2:110).
    """
    n, centred = len(values), values - values.mean()
    square, fourth = float((centred**2).mean()), float((centred**4).mean())
    excess = fourth / square**2 - 1 if square > 1e-18 else 0.0
    return min(max(2 * n / excess, 1.0), n - 1.0) if excess > 1e-9 else n - 1.0


def columns(by_task: TaskCounts, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if len(by_task) == 0:
        raise ValueError(f"{name} must hold at least one (solved, sampled) pair, got none")
    for solved, sampled in by_task:
        check_counts(solved, sampled)
    table = np.array(by_task, dtype=np.int64)  # (tasks, 2)
    return table[:, 0], table[:, 1]


def check_counts(k: int, n: int) -> None:
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"expected 0 <= k <= n and n >= 1, got k = {k}, n = {n}")


def check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
