"""Intervals by resampling tasks, for whatever statistic the tasks' figures give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from minirl.stats.counts import check_confidence, normal_quantile, t_quantile

Weights = NDArray[np.float64]  # (resamples, tasks): how often each task was drawn
Statistic = Callable[[Weights], NDArray[np.float64]]  # (resamples, tasks) -> (resamples, ...)

RESAMPLES = 4_000
_AT_ONCE = 2**22  # weights held at once: 32 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval, in whatever unit the figure has."""

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def map(self, monotone: Callable[[float], float]) -> Estimate:
        """The figure on another scale; percentiles go along with any monotone function."""
        low, high = sorted((monotone(self.low), monotone(self.high)))
        return Estimate(monotone(self.value), low, high, self.confidence)


def expanded_tail(units: int, confidence: float, degrees: float | None = None) -> float:
    """The percentile that the lower bound is read at, the upper at one minus it.

    Plain percentiles are too narrow with few units; the expanded ones widen them as Student's t and
    the divisor n - 1 would (Hesterberg 2015, The American Statistician 69:371).

    Args:
        degrees: of freedom of Student's t, where they are not ``units - 1``.
    """
    spread = normal_quantile(confidence)
    if units > 1:
        t = t_quantile(confidence, units - 1 if degrees is None else degrees)
        spread = math.sqrt(units / (units - 1)) * t
    return float(special.ndtr(-spread))


def resample(
    statistic: Statistic, tasks: int, *, seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """The statistic of ``resamples`` draws of ``tasks`` tasks with replacement.

    Args:
        statistic: from weights (R, tasks), how often each task was drawn, to R results.
        seed: of the draws; the same seed draws the same tasks for every statistic.

    Raises:
        ValueError: without tasks, or with fewer than 100 resamples.
    """
    if tasks < 1:
        raise ValueError(f"expected at least one task, got {tasks}")
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, got {resamples}")
    rng = np.random.default_rng(seed)
    chunk = max(1, _AT_ONCE // tasks)
    parts = [
        statistic(
            rng.multinomial(
                tasks, np.full(tasks, 1 / tasks), size=min(chunk, resamples - start)
            ).astype(np.float64)
        )
        for start in range(0, resamples, chunk)
    ]
    return np.concatenate(parts)


def bootstrap(
    statistic: Statistic,
    tasks: int,
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """A statistic of the tasks with its expanded percentile interval; arguments as
    :func:`resample`'s.
    """
    check_confidence(confidence)
    value = float(statistic(np.ones((1, tasks)))[0])
    drawn = resample(statistic, tasks, seed=seed, resamples=resamples)
    tail = expanded_tail(tasks, confidence)
    low, high = (float(q) for q in np.quantile(drawn, [tail, 1 - tail]))
    return Estimate(value, min(low, value), max(high, value), confidence)


def mean_estimate(
    values: Sequence[float],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Mean over tasks of one figure a task.

    Raises:
        ValueError: without tasks.
    """
    ones = [1.0] * len(values)
    return ratio_estimate(values, ones, seed=seed, confidence=confidence, resamples=resamples)


def ratio_estimate(
    sums: Sequence[float],
    sizes: Sequence[float],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Σ sums / Σ sizes over tasks: a mean per token, say, where tasks differ in tokens.

    Raises:
        ValueError: without tasks, for differing lengths, or for a size that is not positive.
    """
    top, below = _ratio_columns(sums, sizes)
    return bootstrap(
        lambda w: (w @ top) / (w @ below),
        len(top),
        seed=seed,
        confidence=confidence,
        resamples=resamples,
    )


def ratio_difference(
    sums: tuple[Sequence[float], Sequence[float]],
    sizes: tuple[Sequence[float], Sequence[float]],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The second ratio minus the first (base, tuned), over the same tasks in the same order.

    Raises:
        ValueError: as :func:`ratio_estimate`, or for differing numbers of tasks.
    """
    (top_a, below_a), (top_b, below_b) = (
        _ratio_columns(s, n) for s, n in zip(sums, sizes, strict=True)
    )
    if len(top_a) != len(top_b):
        raise ValueError(f"expected the same tasks twice, got {len(top_a)} and {len(top_b)}")

    def difference(w: Weights) -> NDArray[np.float64]:
        return (w @ top_b) / (w @ below_b) - (w @ top_a) / (w @ below_a)

    return bootstrap(difference, len(top_a), seed=seed, confidence=confidence, resamples=resamples)


def _ratio_columns(
    sums: ArrayLike, sizes: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    top, below = np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if top.shape != below.shape or top.ndim != 1 or len(top) == 0:
        raise ValueError(f"expected a sum and a size a task, got {top.shape} and {below.shape}")
    if not (below > 0).all():
        raise ValueError(f"every size must be positive, got {below.min():g}")
    return top, below
