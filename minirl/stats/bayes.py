"""A task's success probability after some samples, and what a group of rollouts is worth."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

from minirl.stats.counts import check_confidence


@dataclass(frozen=True, slots=True)
class Posterior:
    """A probability's posterior mean and its equal-tailed credible interval."""

    mean: float
    low: float
    high: float


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
    check_confidence(confidence)
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
