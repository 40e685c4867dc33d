"""Is a share low, middling or high? Asked sequentially, with an interval that survives the early
stop.

Two sequential probability ratio tests run side by side, one at each threshold, and the answer is
given as soon as both have decided: the three-hypothesis procedure of Sobel & Wald (1949, Annals of
Mathematical Statistics 20:502), cut off at a largest number of observations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from minirl.stats.counts import check_confidence, check_counts, normal_quantile
from minirl.stats.rates import Interval, Rate, wilson_of

EDGES = np.linspace(0.0, 1.0, 501)  # of the shares that a prediction averages over

Zone = Literal["low", "middle", "high"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sequential:
    """A design: whether a share of yes-or-no observations lies below, between or above thresholds.

    A test at threshold t tells t's odds divided by ``sqrt(odds_ratio)`` from its odds times that.
    Where the truth lies outside of these zones of indifference, each test errs with a probability
    of at most about ``error`` (Wald 1945); within them either answer is near enough to the truth.

    Attributes:
        low, high: the thresholds.
        batch: observations between two looks.
        least: observations before the first look, and
        limit: most observations, both multiples of ``batch``; the estimate decides there.
        odds_ratio: between the ends of a zone of indifference.
        error: chance that a test errs.
    """

    low: float = 0.1
    high: float = 0.3
    batch: int = 8
    least: int = 24
    limit: int = 256
    odds_ratio: float = 2.0
    error: float = 0.03

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < 1:
            raise ValueError(f"expected 0 < low < high < 1, got {self.low} and {self.high}")
        sizes = (self.batch, self.least, self.limit)
        if not 1 <= self.batch <= self.least <= self.limit or any(s % self.batch for s in sizes):
            raise ValueError(
                "expected 1 <= batch <= least <= limit, the latter two multiples of batch, "
                f"got {sizes}"
            )
        if not self.odds_ratio > 1 or not 0 < self.error < 0.5:
            raise ValueError(
                "expected odds_ratio > 1 and error in (0, 1/2), "
                f"got {self.odds_ratio} and {self.error}"
            )

    def zone(self, k: int, n: int) -> Zone | None:
        """The answer after ``k`` yes of ``n`` observations; None while more are needed.

        At ``limit`` the estimate k/n answers; :meth:`decided` tells whether both tests had.
        """
        if n < self.least:
            return None
        above_low, above_high = self._above(self.low, k, n), self._above(self.high, k, n)
        if n >= self.limit:
            above_low = k / n >= self.low if above_low is None else above_low
            above_high = k / n >= self.high if above_high is None else above_high
        if above_high:
            return "high"
        if above_low is False:
            return "low"
        return "middle" if above_low and above_high is False else None

    def decided(self, k: int, n: int) -> bool:
        """Whether the tests themselves gave the answer, and not the limit."""
        above_low, above_high = self._above(self.low, k, n), self._above(self.high, k, n)
        return bool(above_high) or above_low is False or (bool(above_low) and above_high is False)

    def _above(self, threshold: float, k: int, n: int) -> bool | None:
        check_counts(k, n)
        half = math.log(self.odds_ratio) / 2
        odds = math.log(threshold / (1 - threshold))
        under, over = (float(special.expit(odds + side * half)) for side in (-1, 1))
        evidence = k * math.log(over / under) + (n - k) * math.log((1 - over) / (1 - under))
        bound = math.log((1 - self.error) / self.error)
        return True if evidence >= bound else False if evidence <= -bound else None

    def interval(self, k: int, n: int, confidence: float = 0.95) -> Interval:
        """Interval for the share after the design ended with ``k`` of ``n``.

        All ways in which the design can end are ordered by their estimate k/n (Emerson & Fleming
        1990, Biometrika 77:875), their probabilities are exact, and the end that was seen counts
        half on each side (mid-p: Lancaster 1961), so the coverage is near the nominal one and not
        above it.

        Raises:
            ValueError: the design does not end there.
        """
        check_confidence(confidence)
        tail = (1 - confidence) / 2
        return Interval(self._share_where(k, n, tail), self._share_where(k, n, 1 - tail))

    def predicted(self, k: int, n: int, further: int, confidence: float = 0.95) -> tuple[int, int]:
        """How many of ``further`` observations will say yes, least and most, after the design ended
        with ``k`` of ``n``.

        The counts' distribution is binomial, averaged over the confidence distribution of the share
        (Lawless & Fredette 2005, Biometrika 92:529), so it knows both what the design does not know
        and the luck of the draw. Counts are whole, and rounded outwards.

        Raises:
            ValueError: the design does not end there.
        """
        check_confidence(confidence)
        if further < 1:
            raise ValueError(f"further must be at least 1, got {further}")
        weights = np.diff(self._on_edges @ self._at_least(k, n))  # (shares,), between the edges
        weights = np.maximum(weights, 0.0) / np.maximum(weights, 0.0).sum()
        shares = (EDGES[1:] + EDGES[:-1]) / 2
        counts = np.arange(further + 1)
        below = special.bdtr(counts, further, shares[:, None])  # (shares, counts)
        cumulated = weights @ below
        tail = (1 - confidence) / 2
        low = int(np.searchsorted(cumulated, tail))
        return low, int(np.searchsorted(cumulated, 1 - tail))

    def estimate(self, k: int, n: int) -> float:
        """The share that makes an end as high as this as likely as a lower one: k/n without the
        bias of having stopped there.
        """
        return 0.0 if k == 0 else 1.0 if k == n else self._share_where(k, n, 0.5)

    def at_least(self, k: int, n: int, shares: Floats) -> Floats:
        """Chance of an end with at least the estimate k/n, its own counted half, for each of
        ``shares``; as a function of the share it is the confidence distribution after that end.

        Raises:
            ValueError: the design does not end there.
        """
        return np.asarray(self.probabilities(shares) @ self._at_least(k, n))

    def _at_least(self, k: int, n: int) -> Floats:
        """Of each end: 1 where its estimate is above k/n, half where it is equal, else 0."""
        if not (self._ends == (k, n)).all(axis=1).any():
            raise ValueError(f"the design does not end at {k} of {n}")
        estimates = self._ends[:, 0] / self._ends[:, 1]
        return np.where(np.isclose(estimates, k / n), 0.5, estimates > k / n)

    def probabilities(self, share: float | Floats) -> Floats:
        """Chance of each way to end, in the order of :attr:`ends`, for each share."""
        k, n = self._ends[:, 0], self._ends[:, 1]
        p = np.asarray(share, dtype=float)[..., None]
        return np.asarray(
            np.exp(self._log_paths + special.xlogy(k, p) + special.xlog1py(n - k, -p))
        )

    def _share_where(self, k: int, n: int, chance: float) -> float:
        weights = self._at_least(k, n)
        return _root(lambda share: float(self.probabilities(share) @ weights) - chance)

    @cached_property
    def _on_edges(self) -> Floats:
        return self.probabilities(EDGES)  # (edges, ends)

    @property
    def ends(self) -> list[tuple[int, int]]:
        """Every (k, n) at which the design can end."""
        return [(int(k), int(n)) for k, n in self._ends]

    def expected(self, share: float) -> float:
        """Mean number of observations."""
        return float(self.probabilities(share) @ self._ends[:, 1])

    @cached_property
    def _table(self) -> tuple[NDArray[np.int64], Floats]:
        """Ends (E, 2) as (k, n), and the logarithm of how many sequences lead to each."""
        step = np.array([math.comb(self.batch, j) for j in range(self.batch + 1)], dtype=float)
        paths = np.ones(1)  # by k; sequences that are still being observed
        ends, counts = [], []
        scale = 0.0  # logarithm of what the counts were divided by
        for n in range(self.batch, self.limit + 1, self.batch):
            paths = np.convolve(paths, step)
            for k in np.flatnonzero(paths):
                if self.zone(int(k), n) is not None:
                    ends.append((int(k), n))
                    counts.append(math.log(paths[k]) + scale)
                    paths[k] = 0.0
            if largest := paths.max():
                paths /= largest
                scale += math.log(largest)
        return np.array(ends), np.array(counts)

    @property
    def _ends(self) -> NDArray[np.int64]:
        return self._table[0]

    @property
    def _log_paths(self) -> Floats:
        return self._table[1]


def rate_beside(
    design: Sequential,
    observed: Sequence[bool],
    values: Sequence[float],
    *,
    n: int,
    confidence: float = 0.95,
) -> Rate:
    """The mean of another quantity, measured on the observations that a design stopped on.

    What stops the design early also moves everything that goes with it. The part of ``values`` that
    goes with ``observed`` (their regression) takes its estimate and interval from the design, the
    rest is independent of the stopping (Whitehead 1986, Biometrics 42:461). Both together give an
    effective sample size for Wilson's interval, which stays within [0, 1].

    Args:
        observed: the design's observations, O of them, in any order.
        values: O numbers in [0, 1], one for each.
        n: samples behind them, for the record.

    Raises:
        ValueError: lengths differ, or the design does not end there.
    """
    y, x = np.asarray(observed, dtype=float), np.asarray(values, dtype=float)
    if len(x) != len(y):
        raise ValueError(f"expected a value for each observation, got {len(x)} for {len(y)}")
    total, k, z = len(y), int(y.sum()), normal_quantile(confidence)
    low, high = design.interval(k, total, confidence)
    middle = design.estimate(k, total)
    centred = y - y.mean()
    slope = float(centred @ x / (centred @ centred)) if centred.any() else 0.0
    rest = x - x.mean() - slope * centred
    mean = min(max(float(x.mean()) + slope * (middle - float(y.mean())), 0.0), 1.0)
    scatter = float(rest @ rest) / max(total - 2, 1)  # two parameters were fitted
    variance = scatter / total + (slope * (high - low) / (2 * z)) ** 2
    # Where nothing varies, nothing shows how alike a task's samples are: its tasks count.
    effective = mean * (1 - mean) / variance if variance > 0 else float(total)
    bounds = wilson_of(mean, min(max(effective, float(total)), float(max(n, total))), z)
    return Rate(mean, *bounds, n, total, confidence)


def _root(excess: Callable[[float], float]) -> float:
    """Where a function that rises over (0, 1) is zero; the end where it never is."""
    low, high = 1e-9, 1 - 1e-9
    if excess(low) >= 0:
        return 0.0
    if excess(high) <= 0:
        return 1.0
    return float(optimize.brentq(excess, low, high, xtol=1e-10))
