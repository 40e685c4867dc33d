"""How success probabilities spread over tasks: a Beta fitted to the tasks' counts.

Each task's probability is taken as drawn from one Beta(α, β) (empirical Bayes; the likelihood of
the counts is beta-binomial: Skellam 1948, JRSS B 10:257). What the fit does not know of α and β is
carried along, as weights over a grid of them, into every interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import special

from minirl.stats.bayes import Posterior
from minirl.stats.counts import TaskCounts, check_confidence, columns

Floats = NDArray[np.float64]

# Concentrations α + β: from "each task is all or nothing" to "all tasks are alike".
SPREAD = (0.05, 3000.0)
# Means and concentrations; each grid covers what matters of the one before.
GRIDS = ((40, 24), (40, 24), (80, 48))
BINS = 60  # of a quantity's distribution when it is replaced
NEGLIGIBLE = 1e-5  # weight, relative to the largest


def expected_signal(alpha: Floats, beta: Floats, group_size: int) -> Floats:
    """Expected share of groups of G with signal: ``1 - [B(α+G, β) + B(α, β+G)] / B(α, β)``.

    The mean of ``1 - p^G - (1-p)^G`` over p ~ Beta(α, β).
    """
    if group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")
    whole = special.betaln(alpha, beta)
    solved = np.exp(special.betaln(alpha + group_size, beta) - whole)
    failed = np.exp(special.betaln(alpha, beta + group_size) - whole)
    return np.asarray(np.clip(1 - solved - failed, 0.0, 1.0))


def expected_pass_at_k(alpha: Floats, beta: Floats, k: int) -> Floats:
    """Expected chance that one of k samples solves a task: ``1 - B(α, β+k) / B(α, β)``."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return np.asarray(-np.expm1(special.betaln(alpha, beta + k) - special.betaln(alpha, beta)))


@dataclass(frozen=True)
class SuccessSpread:
    """What counts of some tasks say about the success probabilities of all tasks.

    Attributes:
        alpha, beta, weight: (M,) a grid of Beta parameters and their posterior weights, sum 1.
    """

    alpha: Floats
    beta: Floats
    weight: Floats

    @property
    def best(self) -> tuple[float, float]:
        """α and β of the largest weight."""
        at = int(self.weight.argmax())
        return float(self.alpha[at]), float(self.beta[at])

    def signal(self, group_size: int, confidence: float = 0.95) -> Posterior:
        """Expected share of groups with signal."""
        return self._of(lambda a, b: expected_signal(a, b, group_size), confidence)

    def pass_at_k(self, k: int, confidence: float = 0.95) -> Posterior:
        """Expected pass@k; an extrapolation where k exceeds the samples of a task, and far beyond
        them a little too sure: at k = 64 from 8 samples of tasks that are much alike (Beta(1, 20)),
        95 % intervals cover 92 to 93 % (simulated).
        """
        return self._of(lambda a, b: expected_pass_at_k(a, b, k), confidence)

    def mean(self, confidence: float = 0.95) -> Posterior:
        """Mean success probability over tasks."""
        return self._of(lambda a, b: a / (a + b), confidence)

    def shares(self, edges: Sequence[float]) -> list[float]:
        """Expected share of tasks whose probability lies between neighbouring ``edges``."""
        below = [float(self.weight @ special.betainc(self.alpha, self.beta, e)) for e in edges]
        return [max(0.0, high - low) for low, high in pairwise(below)]

    def recalibrated(
        self, value: Callable[[Floats, Floats], Floats], confidence_of: Callable[[Floats], Floats]
    ) -> SuccessSpread:
        """The spread with the distribution of one quantity replaced by a better founded one, and
        all else given that quantity as it was.

        After a sequential design, the credible intervals hold on average over the prior, and not
        for a truth near a threshold, where high counts stop it earlier. The design knows the
        distribution of the share that it stopped on.

        Args:
            value: of (α, β): the quantity.
            confidence_of: its cumulative distribution, rising from 0 to 1.
        """
        values = value(self.alpha, self.beta)
        order = np.argsort(values)
        cumulated = np.cumsum(self.weight[order])
        bins = np.minimum((cumulated * BINS).astype(int), BINS - 1)  # (M,), sorted
        ends = np.flatnonzero(np.diff(bins, append=BINS))
        reached = np.concatenate([confidence_of(values[order][ends[:-1]]), [1.0]])
        mass = np.diff(np.maximum.accumulate(reached), prepend=0.0)
        was = np.diff(cumulated[ends], prepend=0.0)
        factor = mass / np.maximum(was, 1e-300)  # of each bin that is not empty
        weight = np.empty_like(self.weight)
        weight[order] = self.weight[order] * factor[np.searchsorted(ends, np.arange(len(order)))]
        return SuccessSpread(self.alpha, self.beta, weight / weight.sum())

    def _of(self, value: Callable[[Floats, Floats], Floats], confidence: float) -> Posterior:
        check_confidence(confidence)
        values = value(self.alpha, self.beta)
        # Cells of equal value are one: a rank among them would move the quantile by half a cell.
        distinct, at = np.unique(values.round(12), return_inverse=True)
        weight = np.bincount(at, self.weight)
        tail = (1 - confidence) / 2
        low, high = np.interp([tail, 1 - tail], np.cumsum(weight) - weight / 2, distinct)
        return Posterior(float(self.weight @ values), float(low), float(high))


def unbiased_signal(repeats: Sequence[int], group_size: int) -> float:
    """Share of the groups of G among a task's n samples that carry signal, from how often each
    distinct reward occurs: ``1 - Σ C(r, G) / C(n, G)``.

    With c solved of n, ``(c, n - c)``, it is the unbiased estimate of ``1 - p^G - (1-p)^G`` (a
    U-statistic, as pass@k is: Chen et al. 2021, arXiv 2107.03374).

    Raises:
        ValueError: a negative count, or fewer samples than a group has.
    """
    sampled = sum(repeats)
    if any(r < 0 for r in repeats) or not 1 <= group_size <= sampled:
        raise ValueError(f"expected 1 <= group_size <= {sampled}, got {group_size} of {repeats}")
    alike = sum(math.comb(r, group_size) for r in repeats)
    return 1 - alike / math.comb(sampled, group_size)


def fit_success(by_task: TaskCounts) -> SuccessSpread:
    """Fit the spread of success probabilities to one ``(solved, sampled)`` pair a task.

    The prior is Jeffreys' Beta(1/2, 1/2) on the mean α / (α + β) and flat on the logarithm of the
    concentration α + β, so that none or all solved still gives a proper answer. The weights do not
    depend on why sampling stopped (the likelihood principle: Berger & Wolpert 1988).

    Raises:
        ValueError: without tasks, or for impossible counts.
    """
    solved, sampled = columns(by_task, "by_task")
    # Equal steps of the angle are equal masses of Beta(1/2, 1/2): mean = sin²(angle).
    angles = (0.0, math.pi / 2)
    logs = (math.log(SPREAD[0]), math.log(SPREAD[1]))
    for shape in GRIDS:
        angle, log = (
            low + (np.arange(n) + 0.5) * (high - low) / n
            for (low, high), n in zip((angles, logs), shape, strict=True)
        )
        mean, size = np.sin(angle)[:, None] ** 2, np.exp(log)
        alpha, beta = mean * size, (1 - mean) * size
        likelihood = _log_likelihood(alpha, beta, solved, sampled)
        weight = np.exp(likelihood - likelihood.max())
        angles = _narrowed(angles, weight.max(axis=1))
        logs = _narrowed(logs, weight.max(axis=0))
    return SuccessSpread(alpha.ravel(), beta.ravel(), weight.ravel() / weight.sum())


def _log_likelihood(
    alpha: Floats, beta: Floats, solved: NDArray[np.int64], sampled: NDArray[np.int64]
) -> Floats:
    """Σ log B(α + c, β + n - c) / B(α, β) over tasks; the binomial coefficients do not matter."""
    total = -len(solved) * special.betaln(alpha, beta)
    parts = ((alpha, solved, 1), (beta, sampled - solved, 1), (alpha + beta, sampled, -1))
    for start, counts, sign in parts:
        for count, tasks in zip(*np.unique(counts, return_counts=True), strict=True):
            total += sign * tasks * special.gammaln(start + count)
    return np.asarray(total)


def _narrowed(ends: tuple[float, float], heights: Floats) -> tuple[float, float]:
    """The part of a range whose weights matter, a cell wider on either side."""
    matter = np.flatnonzero(heights > NEGLIGIBLE * heights.max())
    cell = (ends[1] - ends[0]) / len(heights)
    first, last = max(0, matter[0] - 1), min(len(heights), matter[-1] + 2)
    return ends[0] + first * cell, ends[0] + last * cell
