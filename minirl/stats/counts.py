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


def t_quantile(confidence: float, degrees: int) -> float:
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


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
