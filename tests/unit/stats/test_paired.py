"""Paired differences against a t interval and enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from minirl.stats import (
    Difference,
    mcnemar_exact,
    paired_difference,
)


def sampled_tasks(rng: np.random.Generator, p: np.ndarray, m: int) -> list[tuple[int, int]]:
    return [(int(k), m) for k in rng.binomial(m, p)]


# Paired differences -------------------------------------------------------------------------------


def improved(rng: np.random.Generator, tasks: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Base and tuned success probabilities, and the true mean difference (2/3 of 0.2)."""
    base = rng.beta(0.5, 1.0, tasks)
    return base, base + (1 - base) * rng.uniform(0, 0.4, tasks), 2 / 3 * 0.2


def test_pairing_agrees_with_a_paired_t_interval():
    rng = np.random.default_rng(11)
    base, tuned, _ = improved(rng, 300)
    before, after = sampled_tasks(rng, base, 16), sampled_tasks(rng, tuned, 16)
    deltas = np.array([b[0] / 16 - a[0] / 16 for a, b in zip(before, after, strict=True)])
    expected = oracle.ttest_1samp(deltas, 0.0).confidence_interval(0.95)
    got = paired_difference(before, after, seed=0)
    assert got.value == pytest.approx(deltas.mean())
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=0.003)


def test_same_seed_same_interval_and_swapping_mirrors():
    before, after = [(1, 4), (0, 4), (2, 4), (4, 4)] * 10, [(3, 4), (1, 4), (2, 4), (3, 4)] * 10
    once = paired_difference(before, after, seed=5)
    assert once == paired_difference(before, after, seed=5)
    swapped = paired_difference(after, before, seed=5)
    assert swapped.value == -once.value
    assert (-swapped.high, -swapped.low) == pytest.approx((once.low, once.high), abs=0.01)


def test_no_change_is_not_certainty():
    nothing = paired_difference([(0, 1)] * 50, [(0, 1)] * 50, seed=0)
    assert nothing.value == 0.0
    assert nothing.low < -0.02
    assert nothing.high > 0.02


def test_all_won_stays_in_range():
    won = paired_difference([(0, 4)] * 50, [(4, 4)] * 50, seed=0)
    assert (won.value, won.high) == (1.0, 1.0)
    assert 0.9 < won.low < 1.0


def test_difference_reads_well():
    text = str(Difference(0.125, 0.031, 0.22, 320))
    assert text == "+12.5 points [+3.1, +22.0] (320 tasks)"


def test_unpaired_tasks_are_refused():
    with pytest.raises(ValueError, match="same tasks, got 1 and 2"):
        paired_difference([(0, 1)], [(0, 1)] * 2, seed=0)


def test_mcnemar_equals_enumeration():
    for lost, gained in itertools.product(range(6), repeat=2):
        total = lost + gained
        flips = [sum(coins) for coins in itertools.product((0, 1), repeat=total)]
        as_uneven = [f for f in flips if abs(2 * f - total) >= abs(lost - gained)]
        assert mcnemar_exact(lost, gained) == pytest.approx(len(as_uneven) / len(flips))


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_agrees_with_the_binomial_test(lost, gained):
    expected = 1.0 if lost + gained == 0 else oracle.binomtest(lost, lost + gained).pvalue
    assert mcnemar_exact(lost, gained) == pytest.approx(expected)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="got -1 and 2"):
        mcnemar_exact(-1, 2)
