"""Rates and their intervals against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from minirl.stats import (
    Rate,
    clustered_rate,
    wilson_interval,
)
from minirl.stats.counts import variance_degrees

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def sampled_tasks(rng: np.random.Generator, p: np.ndarray, m: int) -> list[tuple[int, int]]:
    return [(int(k), m) for k in rng.binomial(m, p)]


# Wilson -------------------------------------------------------------------------------------------


@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(kn, confidence):
    k, n = kn
    expected = oracle.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(k, n, confidence) == pytest.approx((expected.low, expected.high))


@given(counts)
def test_wilson_holds_the_rate_and_mirrors(kn):
    k, n = kn
    low, high = wilson_interval(k, n)
    assert 0.0 <= low <= k / n <= high <= 1.0
    assert wilson_interval(n - k, n) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_named(k, n):
    with pytest.raises(ValueError, match=f"got k = {k}, n = {n}"):
        wilson_interval(k, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_is_a_fraction(confidence):
    with pytest.raises(ValueError, match=f"got {confidence}"):
        wilson_interval(1, 2, confidence)


# Rates over tasks ---------------------------------------------------------------------------------


def test_one_sample_a_task_is_wilson():
    rate = clustered_rate([(1, 1)] * 30 + [(0, 1)] * 70)
    assert (rate.low, rate.high) == wilson_interval(30, 100)
    assert (rate.value, rate.n, rate.tasks) == (0.3, 100, 100)


def test_copies_count_as_one_sample():
    # Eight samples that always agree tell (almost) what one sample a task tells.
    copies = clustered_rate([(8, 8)] * 100 + [(0, 8)] * 100)
    low, high = wilson_interval(100, 200)
    assert copies.high - copies.low == pytest.approx(high - low, rel=0.02)


def test_independent_samples_count_in_full():
    rng = np.random.default_rng(3)
    tasks = sampled_tasks(rng, np.full(400, 0.5), 8)
    rate = clustered_rate(tasks)
    low, high = wilson_interval(sum(k for k, _ in tasks), 3200)
    assert rate.high - rate.low == pytest.approx(high - low, rel=0.1)


@pytest.mark.parametrize("solved", [0, 8])
def test_ends_keep_a_width_that_counts_tasks(solved):
    rate = clustered_rate([(solved, 8)] * 40)
    width = rate.high - rate.low
    assert rate.value == solved / 8
    assert rate.low <= rate.value <= rate.high
    assert 0.05 < width < 0.12  # 40 tasks: about 0.09; 320 independent samples would give 0.012


def test_every_task_weighs_the_same():
    assert clustered_rate([(1, 1), (0, 99)]).value == 0.5


@given(st.lists(counts, min_size=1, max_size=30))
def test_rate_lies_in_its_interval(tasks):
    rate = clustered_rate(tasks)
    assert 0.0 <= rate.low <= rate.value + 1e-12
    assert rate.value - 1e-12 <= rate.high <= 1.0


def test_rate_reads_well():
    assert str(Rate(0.623, 0.571, 0.672, 320, 320)) == "62.3 % [57.1, 67.2] (n = 320)"
    assert str(Rate(0.5, 0.4, 0.6, 320, 40)) == "50.0 % [40.0, 60.0] (n = 320, 40 tasks)"


def test_no_tasks_is_an_error():
    with pytest.raises(ValueError, match="solved_by_task must hold at least one"):
        clustered_rate([])


def test_a_few_far_tasks_widen_the_interval():
    # The same mean and variance of the shares, from all tasks and from four of sixty.
    spread = clustered_rate([(40, 64)] * 30 + [(24, 64)] * 30)
    tailed = clustered_rate([(32, 64)] * 56 + [(63, 64)] * 2 + [(1, 64)] * 2)
    assert tailed.value == spread.value == 0.5
    assert np.sqrt(4 / 60) * 31 / 64 == pytest.approx(8 / 64, rel=0.01)
    assert tailed.high - tailed.low > 1.1 * (spread.high - spread.low)


@pytest.mark.parametrize("values", [[0.5] * 30, [0.0, 1.0] * 30])
def test_degrees_of_freedom_are_one_less_where_nothing_lies_far(values):
    assert variance_degrees(np.array(values)) == len(values) - 1


def test_degrees_of_freedom_follow_the_variance_of_the_variance():
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(4000, 200))  # kurtosis 9: 2 n / 8
    relative = draws.var(axis=1).var() / draws.var() ** 2
    assert 2 / relative == pytest.approx(2 * 200 / 8, rel=0.15)
    assert np.median([variance_degrees(row) for row in draws]) == pytest.approx(50, rel=0.5)
