"""Rates, differences and their intervals: pure functions on counts (numpy and scipy, no torch).

Rates and probabilities are fractions in [0, 1]; text for people shows per cent, differences show
points. ``by_task`` arguments hold one ``(solved, sampled)`` pair for each task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

RESAMPLES = 10_000
TaskCounts = Sequence[tuple[int, int]]


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


@dataclass(frozen=True, slots=True)
class Difference:
    """Tuned minus base over the same tasks, with its interval; fractions in [-1, 1]."""

    value: float
    low: float
    high: float
    tasks: int
    confidence: float = 0.95

    def __str__(self) -> str:
        low, high = f"{100 * self.low:+.1f}", f"{100 * self.high:+.1f}"
        return f"{100 * self.value:+.1f} points [{low}, {high}] ({self.tasks} tasks)"


@dataclass(frozen=True, slots=True)
class Posterior:
    """A probability's posterior mean and its equal-tailed credible interval."""

    mean: float
    low: float
    high: float


def wilson_interval(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for ``k`` solved of ``n`` independent samples.

    Source: Wilson (1927), JASA 22:209; recommended for small n by Brown, Cai & DasGupta (2001).

    Raises:
        ValueError: for counts that are not ``0 <= k <= n`` with ``n >= 1``, or a confidence outside
            (0, 1).
    """
    _check_counts(k, n)
    return _wilson(k / n, float(n), _z(confidence))


def clustered_rate(solved_by_task: TaskCounts, confidence: float = 0.95) -> Rate:
    """Solved rate over tasks that were each sampled several times.

    Samples of one task resemble each other, so n samples tell less than n independent ones. The
    spread between tasks gives the variance of the mean (cluster-robust: Miller 2024, arXiv
    2411.00640); that gives an effective sample size, corrected by Student's t for few tasks (Korn &
    Graubard 1998), which goes into Wilson's interval (its survey form: Dean & Pagano 2015, J. Surv.
    Stat. Methodol. 3:484).

    Unlike a bootstrap it needs no seed, and it keeps its width where every sample or none was
    solved: tasks are counted there, not samples, since nothing shows how alike the samples are.
    With one sample a task it is exactly :func:`wilson_interval`.

    Raises:
        ValueError: without tasks, or for a pair that is not ``0 <= solved <= sampled`` with
            ``sampled >= 1``.
    """
    solved, sampled = _columns(solved_by_task, "solved_by_task")
    z = _z(confidence)
    tasks, n = len(solved), int(sampled.sum())
    shares = solved / sampled  # (tasks,)
    rate = float(shares.mean())
    if n == tasks:
        low, high = _wilson(rate, float(n), z)
        return Rate(rate, low, high, n, tasks, confidence)

    # Between "samples of a task are copies" (tasks) and "they are independent" (n, where all were
    # sampled equally often; less where not).
    independent = tasks**2 / float((1 / sampled).sum())
    variance = float(shares.var(ddof=1)) / tasks if tasks > 1 else 0.0
    effective = rate * (1 - rate) / variance if variance > 0 else float(tasks)
    effective = min(max(effective, float(tasks)), independent)
    if tasks > 1:  # one task gives no spread to estimate
        effective *= (z / _t(confidence, tasks - 1)) ** 2
    low, high = _wilson(rate, effective, z)
    return Rate(rate, low, high, n, tasks, confidence)


def paired_difference(
    base_by_task: TaskCounts,
    tuned_by_task: TaskCounts,
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Difference:
    """Mean over tasks of (tuned rate - base rate), with a bootstrap interval over tasks.

    Both sequences list the same tasks in the same order; pairing takes the tasks' difficulty out of
    the comparison. Tasks are resampled, and the percentiles are the expanded ones (Hesterberg 2015,
    The American Statistician 69:371), for the plain ones are too narrow with few tasks. Two
    pseudo-tasks, one sample better and one sample worse than the mean, stand among those resampled:
    like the two that Bonett & Price (2012) add to paired proportions, they keep the interval open
    where hardly a task changed. They fade as tasks and samples grow.

    Args:
        seed: of the resampling; the same seed gives the same interval.

    Raises:
        ValueError: for differing lengths, no tasks, or impossible counts.
    """
    base_solved, base_n = _columns(base_by_task, "base_by_task")
    tuned_solved, tuned_n = _columns(tuned_by_task, "tuned_by_task")
    tasks = len(base_solved)
    if tasks != len(tuned_solved):
        raise ValueError(
            f"base and tuned must list the same tasks, got {tasks} and {len(tuned_solved)}"
        )
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, got {resamples}")
    deltas = tuned_solved / tuned_n - base_solved / base_n  # (tasks,)
    mean = float(deltas.mean())
    one_sample = float((1 / np.minimum(base_n, tuned_n)).mean())
    pool = np.concatenate([deltas, [mean - one_sample, mean + one_sample]])

    # Drawing how often each distinct value occurs equals drawing tasks, and needs little memory.
    values, counts = np.unique(pool.round(12), return_counts=True)
    draws = np.random.default_rng(seed).multinomial(tasks, counts / counts.sum(), size=resamples)
    means = draws @ values / tasks  # (resamples,)

    spread = _z(confidence)
    if tasks > 1:
        spread = math.sqrt(tasks / (tasks - 1)) * _t(confidence, tasks - 1)
    tail = float(special.ndtr(-spread))
    low, high = (float(q) for q in np.quantile(means, [tail, 1 - tail]))
    return Difference(mean, max(min(low, mean), -1.0), min(max(high, mean), 1.0), tasks, confidence)


def mcnemar_exact(lost: int, gained: int) -> float:
    """Exact two-sided p-value of "both solve equally many tasks", from one sample a task each.

    Args:
        lost: tasks that only the base solved.
        gained: tasks that only the tuned model solved.

    Source: McNemar (1947), exact form: ``min(1, 2 P[Bin(b + c, 1/2) <= min(b, c)])``.

    Raises:
        ValueError: for a negative count.
    """
    if lost < 0 or gained < 0:
        raise ValueError(f"lost and gained must be counts >= 0, got {lost} and {gained}")
    return min(1.0, 2.0 * float(special.bdtr(min(lost, gained), lost + gained, 0.5)))


def beta_posterior(
    c: int, n: int, a: float = 0.5, b: float = 0.5, confidence: float = 0.95
) -> Posterior:
    """Posterior Beta(a + c, b + n - c) of a success probability after ``c`` of ``n``.

    The default prior is Jeffreys' (a = b = 1/2).

    Raises:
        ValueError: for counts that are not ``0 <= c <= n``, a prior that is not positive, or a
            confidence outside (0, 1).
    """
    if not 0 <= c <= n:
        raise ValueError(f"expected 0 <= c <= n, got c = {c}, n = {n}")
    if not (a > 0 and b > 0):
        raise ValueError(f"a and b must be positive, got a = {a}, b = {b}")
    _check_confidence(confidence)
    alpha, beta = a + c, b + n - c
    tail = (1 - confidence) / 2
    low, high = special.betaincinv(alpha, beta, [tail, 1 - tail])
    return Posterior(alpha / (alpha + beta), float(low), float(high))


def signal_probability(p: float, group_size: int) -> float:
    """Chance ``1 - p^G - (1-p)^G`` that G rollouts of a task neither all succeed nor all fail.

    Only such a group has advantages that are not zero (binary rewards; DAPO, arXiv 2503.14476,
    section 3.2).

    Raises:
        ValueError: for ``p`` outside [0, 1] or a group without rollouts.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"p must be a probability in [0, 1], got {p}")
    if group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")
    return max(0.0, 1.0 - p**group_size - (1.0 - p) ** group_size)


def _wilson(rate: float, n: float, z: float) -> Interval:
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At the ends the bound is the rate itself, which rounding would miss by an ulp.
    low = 0.0 if rate == 0.0 else max(0.0, centre - half)
    high = 1.0 if rate == 1.0 else min(1.0, centre + half)
    return Interval(low, high)


def _z(confidence: float) -> float:
    _check_confidence(confidence)
    return float(special.ndtri((1 + confidence) / 2))


def _t(confidence: float, degrees: int) -> float:
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


def _columns(by_task: TaskCounts, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if len(by_task) == 0:
        raise ValueError(f"{name} must hold at least one (solved, sampled) pair, got none")
    for solved, sampled in by_task:
        _check_counts(solved, sampled)
    table = np.array(by_task, dtype=np.int64)  # (tasks, 2)
    return table[:, 0], table[:, 1]


def _check_counts(k: int, n: int) -> None:
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"expected 0 <= k <= n and n >= 1, got k = {k}, n = {n}")


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
