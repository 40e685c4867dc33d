"""Statistics against scipy's oracles, brute force and simulated coverage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from minirl.stats import (
    Difference,
    Rate,
    beta_posterior,
    clustered_rate,
    mcnemar_exact,
    paired_difference,
    signal_probability,
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


# Paired differences -------------------------------------------------------------------------------


def improved(rng: np.random.Generator, tasks: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Base and tuned success probabilities, and the true mean difference (2/3 of 0.2)."""
    base = rng.beta(0.5, 1.0, tasks)
    return base, base + (1 - base) * rng.uniform(0, 0.4, tasks), 2 / 3 * 0.2


@pytest.mark.parametrize(("tasks", "samples"), [(40, 1), (40, 8), (200, 1), (200, 8)])
def test_paired_difference_covers(tasks, samples):
    rng = np.random.default_rng([7, tasks, samples])
    trials, hits = 600, 0
    for trial in range(trials):
        base, tuned, truth = improved(rng, tasks)
        difference = paired_difference(
            sampled_tasks(rng, base, samples),
            sampled_tasks(rng, tuned, samples),
            seed=trial,
            resamples=2000,
        )
        hits += difference.low <= truth <= difference.high
    assert 0.93 <= hits / trials <= 0.97


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


# McNemar, posteriors, signal ----------------------------------------------------------------------


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


@given(counts, st.floats(0.1, 5), st.floats(0.1, 5))
def test_posterior_agrees_with_scipy(kn, a, b):
    c, n = kn
    posterior = oracle.beta(a + c, b + n - c)
    got = beta_posterior(c, n, a, b)
    assert got.mean == pytest.approx(posterior.mean())
    assert (got.low, got.high) == pytest.approx(posterior.interval(0.95), abs=1e-9)


def test_posterior_without_data_is_the_prior():
    assert beta_posterior(0, 0).mean == 0.5


@pytest.mark.parametrize(("c", "n", "a"), [(2, 1, 0.5), (-1, 3, 0.5), (0, 1, 0.0)])
def test_posterior_refuses_what_is_impossible(c, n, a):
    with pytest.raises(ValueError, match="got"):
        beta_posterior(c, n, a)


@pytest.mark.parametrize(
    ("p", "group_size", "percent"),
    [(0.01, 8, 7.7), (0.05, 8, 33.7), (0.1, 8, 57.0), (0.5, 8, 99.2), (0.05, 16, 56.0)],
)
def test_signal_probability_has_the_published_values(p, group_size, percent):
    assert 100 * signal_probability(p, group_size) == pytest.approx(percent, abs=0.06)


@given(st.floats(0, 1), st.integers(1, 64))
def test_signal_is_a_probability_and_symmetric(p, group_size):
    signal = signal_probability(p, group_size)
    assert 0.0 <= signal <= 1.0
    assert signal == pytest.approx(signal_probability(1 - p, group_size), abs=1e-9)


def test_no_signal_at_the_ends_or_alone():
    assert signal_probability(0.0, 8) == signal_probability(1.0, 8) == 0.0
    assert signal_probability(0.5, 1) == 0.0


@pytest.mark.parametrize(("p", "group_size"), [(1.1, 8), (-0.1, 8), (0.5, 0)])
def test_signal_refuses_what_is_impossible(p, group_size):
    with pytest.raises(ValueError, match="got"):
        signal_probability(p, group_size)
