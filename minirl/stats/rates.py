"""Solved rates and their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minirl.stats.counts import (
    TaskCounts,
    check_counts,
    columns,
    normal_quantile,
    t_quantile,
    variance_degrees,
)


class Interval(NamedTuple):
    """A two-sided interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A solved rate with its interval.

    Attributes:
        value: mean over tasks of each task's solved share.
        low, high: bounds of the interval.
        n: how many samples were judged.
        tasks: how many tasks they answer; equal to ``n`` with one sample a task.
        confidence: the interval's nominal coverage.
    """

    value: float
    low: float
    high: float
    n: int
    tasks: int
    confidence: float = 0.95

    def __str__(self) -> str:
        of = f"n = {self.n}" if self.tasks == self.n else f"n = {self.n}, {self.tasks} tasks"
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] ({of})"


def wilson_interval(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for ``k`` solved of ``n`` independent samples.

    Source: Wilson (1927), JASA 22:209; recommended for small n by Brown, Cai & DasGupta (2001).

    Raises:
        ValueError: for counts that are not ``0 <= k <= n`` with ``n >= 1``, or a confidence outside
            (0, 1).
    """
    check_counts(k, n)
    return wilson_of(k / n, float(n), normal_quantile(confidence))


def clustered_rate(solved_by_task: TaskCounts, confidence: float = 0.95) -> Rate:
    """Solved rate over tasks that were each sampled several times.

    Samples of one task resemble each other, so n samples tell less than n independent ones:
    :func:`mean_interval` takes the tasks' spread into account. With one sample a task the interval
    is exactly :func:`wilson_interval`'s.

    Raises:
        ValueError: without tasks, or for a pair that is not ``0 <= solved <= sampled`` with
            ``sampled >= 1``.
    """
    solved, sampled = columns(solved_by_task, "solved_by_task")
    tasks = len(solved)
    shares = solved / sampled  # (tasks,)
    # Were all samples independent: n, where tasks were sampled equally often; less where not.
    independent = tasks**2 / float((1 / sampled).sum())
    low, high = mean_interval(shares, independent, confidence)
    return Rate(float(shares.mean()), low, high, int(sampled.sum()), tasks, confidence)


def mean_interval(values: NDArray[np.float64], most: float, confidence: float = 0.95) -> Interval:
    """Interval for the mean of one share a task.

    The spread between tasks gives the variance of the mean (cluster-robust: Miller 2024, arXiv
    2411.00640), and that an effective sample size for Wilson's interval (its survey form: Dean &
    Pagano 2015, J. Surv. Stat. Methodol. 3:484), corrected by Student's t for how well the variance
    is known (Korn & Graubard 1998), with :func:`minirl.stats.counts.variance_degrees`.

    Unlike a bootstrap it needs no seed, and it keeps its width where all shares are equal: tasks
    are counted there, not samples, since nothing shows how alike the samples are. Where every share
    is 0 or 1, it is exactly Wilson's for so many tasks.

    Args:
        values: (tasks,) in [0, 1].
        most: the largest effective sample size; the smallest is the number of tasks.
    """
    z = normal_quantile(confidence)
    tasks, mean = len(values), float(values.mean())
    if tasks == 1 or ((values == 0) | (values == 1)).all():
        return wilson_of(mean, float(tasks), z)
    effective = least = tasks * (z / t_quantile(confidence, tasks - 1)) ** 2
    variance = float(values.var(ddof=1)) / tasks
    if variance > 1e-18:
        t = t_quantile(confidence, variance_degrees(values))
        effective = mean * (1 - mean) / variance * (z / t) ** 2
    return wilson_of(mean, min(max(effective, least), max(most, least)), z)


def wilson_of(rate: float, n: float, z: float) -> Interval:
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At the ends the bound is the rate itself, which rounding would miss by an ulp.
    low = 0.0 if rate == 0.0 else max(0.0, centre - half)
    high = 1.0 if rate == 1.0 else min(1.0, centre + half)
    return Interval(low, high)
