"""Rates and their intervals against scipy and simulated coverage."""

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


@pytest.mark.parametrize("tasks", [40, 100])
@pytest.mark.parametrize("samples", [1, 4, 8])
@pytest.mark.parametrize("shape", [(2, 2), (0.3, 0.3), (0.5, 1.5), (50, 50)])
def test_clustered_rate_covers(tasks, samples, shape):
    rng = np.random.default_rng([tasks, samples, int(10 * shape[0])])
    truth = shape[0] / sum(shape)
    trials, hits = 1500, 0
    for p in rng.beta(*shape, size=(trials, tasks)):
        rate = clustered_rate(sampled_tasks(rng, p, samples))
        hits += rate.low <= truth <= rate.high
    assert 0.93 <= hits / trials <= 0.97
