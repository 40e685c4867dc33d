"""pass@k: the chance that at least one of k samples solves a task, and what k samples are worth to
the base against the tuned model (Yue et al., arXiv 2504.13837).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minirl.stats.bootstrap import RESAMPLES, Estimate, expanded_tail, resample
from minirl.stats.counts import (
    TaskCounts,
    check_confidence,
    check_counts,
    columns,
)
from minirl.stats.paired import Difference, mean_difference
from minirl.stats.rates import mean_interval

_ROUNDING = 1e-12  # differences below it are equality


def pass_at_k(solved: int, sampled: int, k: int) -> float:
    """Unbiased estimate ``1 - C(n-c, k) / C(n, k)`` of pass@k from c of n samples.

    Source: Chen et al. 2021 (HumanEval), arXiv 2107.03374, section 2.1.

    Raises:
        ValueError: for impossible counts, or ``k`` outside 1 to ``sampled``.
    """
    check_counts(solved, sampled)
    _check_k(k, sampled)
    return float(_all_k(solved, sampled)[k - 1])


def pass_table(by_task: TaskCounts) -> NDArray[np.float64]:
    """pass@k of each task for k = 1 to the fewest samples that a task has: (tasks, k).

    Raises:
        ValueError: without tasks, or for impossible counts.
    """
    most = int(columns(by_task, "by_task")[1].min())
    rows = {(c, n): _all_k(c, n)[:most] for c, n in set(by_task)}
    return np.stack([rows[c, n] for c, n in by_task])


def ladder(most: int) -> list[int]:
    """1, 2, 4, … and ``most`` itself: where a curve on a log axis is drawn."""
    ks = [2**i for i in range(most.bit_length()) if 2**i < most]
    return [*ks, most]


def pass_at_k_curve(
    by_task: TaskCounts, ks: Sequence[int], *, confidence: float = 0.95
) -> list[Estimate]:
    """pass@k averaged over tasks, for each k, with an interval over tasks.

    The spread between tasks makes the interval (:func:`minirl.stats.rates.mean_interval`). At k = 1
    it is the solved rate's own, and where k is the number of samples, Wilson's.

    Raises:
        ValueError: for impossible counts, or a k that the samples do not reach.
    """
    check_confidence(confidence)
    table = pass_table(by_task)  # (tasks, k)
    tasks, most = table.shape
    for k in ks:
        _check_k(k, most)
    curve = []
    for k in ks:
        values = table[:, k - 1]
        mean = float(values.mean())
        # Where less than one task is left on one side, the spread says little about those that
        # were not met; a task then counts as the n/k looks that share no sample.
        rare = tasks * min(mean, 1 - mean) < 1
        interval = mean_interval(values, tasks * (most / k if rare else most), confidence)
        curve.append(Estimate(mean, *interval, confidence))
    return curve


def pass_at_k_difference(
    base: TaskCounts,
    tuned: TaskCounts,
    k: int,
    *,
    seed: int,
    base_k: int | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Difference:
    """Tuned's pass@k minus the base's, paired by task, with a bootstrap interval over tasks.

    Args:
        base_k: another k for the base. With ``k = 1`` and ``base_k = K`` the result, negated, is
            the sampling-efficiency gap pass@K(base) - pass@1(tuned).

    Raises:
        ValueError: for differing tasks, impossible counts, or a k that the samples do not reach.
    """
    before, after = _same_tasks(base, tuned)
    base_k = k if base_k is None else base_k
    most = min(before.shape[1], after.shape[1])
    for asked in (k, base_k):
        _check_k(asked, most)
    # One more solved sample where none was changes a task's pass@k by k/n, on either side.
    step = (k + base_k) / 2 / most
    deltas = after[:, k - 1] - before[:, base_k - 1]
    return mean_difference(deltas, step, seed=seed, confidence=confidence, resamples=resamples)


@dataclass(frozen=True, slots=True)
class Crossover:
    """The smallest k at which tuned falls below the base; None stands for "not up to n".

    Attributes:
        k: of the curves as measured.
        low, high: its interval over tasks.
    """

    k: int | None
    low: int | None
    high: int | None
    confidence: float = 0.95


def crossover(
    base: TaskCounts,
    tuned: TaskCounts,
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Crossover:
    """Where the pass@k curves cross, with a bootstrap interval over tasks.

    The interval is of expanded percentiles of the resampled crossings, rounded outwards; a curve
    that does not cross counts as crossing beyond n. With tuned at or below the base from the start
    the crossover is the first k at which it is below.

    Raises:
        ValueError: for differing tasks or impossible counts.
    """
    check_confidence(confidence)
    before, after = _same_tasks(base, tuned)
    most = min(before.shape[1], after.shape[1])
    deltas = after[:, :most] - before[:, :most]  # (tasks, k)
    tasks = len(deltas)

    def first_below(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        below = (weights @ deltas) / tasks < -_ROUNDING  # (R, k)
        return np.where(below.any(axis=1), below.argmax(axis=1) + 1.0, np.inf)

    at = float(first_below(np.ones((1, tasks)))[0])
    drawn = np.sort(resample(first_below, tasks, seed=seed, resamples=resamples))
    tail = expanded_tail(tasks, confidence)
    low = min(drawn[math.floor(tail * (len(drawn) - 1))], at)
    high = max(drawn[math.ceil((1 - tail) * (len(drawn) - 1))], at)
    k, lowest, highest = (None if math.isinf(x) else int(x) for x in (at, low, high))
    return Crossover(k, lowest, highest, confidence)


def _all_k(solved: int, sampled: int) -> NDArray[np.float64]:
    """pass@k for k = 1 to n: one minus ∏ (n-c-j)/(n-j) over j < k, which neither overflows nor
    cancels.
    """
    j = np.arange(sampled)
    left = np.maximum(sampled - solved - j, 0) / (sampled - j)
    return np.asarray(1.0 - np.cumprod(left), dtype=np.float64)


def _same_tasks(
    base: TaskCounts, tuned: TaskCounts
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    before, after = pass_table(base), pass_table(tuned)
    if len(before) != len(after):
        raise ValueError(
            f"base and tuned must list the same tasks, got {len(before)} and {len(after)}"
        )
    return before, after


def _check_k(k: int, most: int) -> None:
    if not 1 <= k <= most:
        raise ValueError(f"k must lie between 1 and the {most} samples a task, got {k}")
