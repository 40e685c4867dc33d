"""Tuned against base over the same tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from minirl.stats.bootstrap import expanded_tail
from minirl.stats.counts import TaskCounts, columns, variance_degrees

RESAMPLES = 10_000


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
    The American Statistician 69:371), for the plain ones are too narrow with few tasks, or where a
    few tasks make the difference (:func:`minirl.stats.counts.variance_degrees`). Two
    pseudo-tasks, one sample better and one sample worse than the mean, stand among those resampled:
    like the two that Bonett & Price (2012) add to paired proportions, they keep the interval open
    where hardly a task changed. They fade as tasks and samples grow.

    Args:
        seed: of the resampling; the same seed gives the same interval.

    Raises:
        ValueError: for differing lengths, no tasks, or impossible counts.
    """
    base_solved, base_n = columns(base_by_task, "base_by_task")
    tuned_solved, tuned_n = columns(tuned_by_task, "tuned_by_task")
    tasks = len(base_solved)
    if tasks != len(tuned_solved):
        raise ValueError(
            f"base and tuned must list the same tasks, got {tasks} and {len(tuned_solved)}"
        )
    deltas = tuned_solved / tuned_n - base_solved / base_n  # (tasks,)
    one_sample = float((1 / np.minimum(base_n, tuned_n)).mean())
    return mean_difference(
        deltas, one_sample, seed=seed, confidence=confidence, resamples=resamples
    )


def mean_difference(
    deltas: NDArray[np.float64],
    step: float,
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Difference:
    """Mean of the tasks' differences, with the interval that :func:`paired_difference` describes.

    Args:
        deltas: (tasks,) tuned minus base, in [-1, 1].
        step: how far one sample moves a task's figure: the two pseudo-tasks lie so far from the
            mean.

    Raises:
        ValueError: without tasks, or with fewer than 100 resamples.
    """
    tasks = len(deltas)
    if tasks < 1:
        raise ValueError(f"expected at least one task, got {tasks}")
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, got {resamples}")
    mean = float(deltas.mean())
    pool = np.concatenate([deltas, [mean - step, mean + step]])

    # Drawing how often each distinct value occurs equals drawing tasks, and needs little memory.
    values, counts = np.unique(pool.round(12), return_counts=True)
    draws = np.random.default_rng(seed).multinomial(tasks, counts / counts.sum(), size=resamples)
    means = draws @ values / tasks  # (resamples,)

    tail = expanded_tail(tasks, confidence, min(variance_degrees(pool), tasks - 1.0))
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
