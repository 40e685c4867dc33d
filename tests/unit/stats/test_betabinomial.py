"""The spread of success probabilities against integration, enumeration and known truths."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy import stats as oracle

from minirl.stats import (
    expected_pass_at_k,
    expected_signal,
    fit_success,
    signal_probability,
    unbiased_signal,
)

shape = st.floats(0.05, 60)


def over_beta(value, a: float, b: float) -> float:
    """The mean of value(p) over p ~ Beta(a, b), by quadrature: exact for polynomials to degree 319
    (Gauss & Jacobi).
    """
    x, weight = special.roots_jacobi(160, b - 1, a - 1)
    return float(np.dot(weight, [value((1 + at) / 2) for at in x]) / weight.sum())


@given(shape, shape, st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_expected_signal_agrees_with_integration(a, b, size):
    got = expected_signal(np.array(a), np.array(b), size)
    assert got == pytest.approx(over_beta(lambda p: signal_probability(p, size), a, b), abs=1e-9)


@given(shape, shape, st.sampled_from([1, 2, 8, 64, 300]))
def test_expected_pass_at_k_agrees_with_integration(a, b, k):
    got = expected_pass_at_k(np.array(a), np.array(b), k)
    assert got == pytest.approx(over_beta(lambda p: 1 - (1 - p) ** k, a, b), abs=1e-9)


@given(shape, shape)
def test_larger_groups_have_more_signal_and_more_samples_solve_more(a, b):
    alpha, beta = np.array(a), np.array(b)
    signals = [float(expected_signal(alpha, beta, g)) for g in (1, 2, 4, 8, 16)]
    passes = [float(expected_pass_at_k(alpha, beta, k)) for k in (1, 2, 4, 8, 16)]
    assert signals[0] == pytest.approx(0, abs=1e-12)
    assert passes[0] == pytest.approx(a / (a + b))
    for low, high in (*itertools.pairwise(signals), *itertools.pairwise(passes)):
        assert low <= high + 1e-12


def test_unbiased_signal_equals_every_choice_of_a_group():
    for n in range(1, 9):
        for c, size in itertools.product(range(n + 1), range(1, n + 1)):
            rewards = [i < c for i in range(n)]
            mixed = [len(set(g)) > 1 for g in itertools.combinations(rewards, size)]
            expected = pytest.approx(sum(mixed) / len(mixed), abs=1e-15)
            assert unbiased_signal((c, n - c), size) == expected


def test_unbiased_signal_counts_every_kind_of_reward():
    rewards = [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 0.25]
    groups = list(itertools.combinations(rewards, 3))
    expected = sum(len(set(g)) > 1 for g in groups) / len(groups)
    assert unbiased_signal((3, 2, 1, 1), 3) == pytest.approx(expected)


@given(st.integers(1, 24), st.floats(0, 1), st.data())
def test_unbiased_signal_is_unbiased(n, p, data):
    size = data.draw(st.integers(1, n))
    chance = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    mean = sum(w * unbiased_signal((c, n - c), size) for c, w in enumerate(chance))
    assert mean == pytest.approx(signal_probability(p, size), abs=1e-10)


@pytest.mark.parametrize(("repeats", "size"), [((2, 1), 4), ((2, 1), 0), ((-1, 4), 2), ((), 1)])
def test_unbiased_signal_refuses_what_is_impossible(repeats, size):
    with pytest.raises(ValueError, match="got"):
        unbiased_signal(repeats, size)


@pytest.mark.parametrize("value", [expected_signal, expected_pass_at_k])
def test_sizes_of_groups_are_positive(value):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        value(np.array(1.0), np.array(1.0), 0)


# The fit ------------------------------------------------------------------------------------------


def brute_force(by_task, value, grid: int = 250) -> tuple[float, float, float]:
    """Posterior mean and interval on one plain, fine grid over (mean, concentration)."""
    angle = (np.arange(grid) + 0.5) / grid * np.pi / 2
    log = np.linspace(np.log(0.05), np.log(3000), grid)
    m, s = np.meshgrid(np.sin(angle) ** 2, np.exp(log))
    a, b = m * s, (1 - m) * s
    logs = sum(by_task.count(t) * oracle.betabinom.logpmf(*t, a, b) for t in set(by_task))
    weight = np.exp(logs - logs.max()).ravel()
    weight /= weight.sum()
    values = value(a, b).ravel()
    order = np.argsort(values)
    low, high = np.interp([0.025, 0.975], np.cumsum(weight[order]), values[order])
    return float(weight @ values), float(low), float(high)


@pytest.mark.parametrize(
    "by_task",
    [
        [(0, 8)] * 20,
        [(0, 8)] * 12 + [(8, 8)] * 12,
        [(c, 8) for c in (0, 0, 1, 3, 0, 7, 2, 0, 0, 4, 8, 1)],
        [(0, 8)] * 20 + [(1, 8)] * 3 + [(2, 300), (0, 300), (1, 32)],
    ],
)
def test_fit_agrees_with_a_plain_grid(by_task):
    spread = fit_success(by_task)
    assert spread.weight.sum() == pytest.approx(1)
    for got, value in (
        (spread.mean(), lambda a, b: a / (a + b)),
        (spread.signal(8), lambda a, b: expected_signal(a, b, 8)),
        (spread.pass_at_k(64), lambda a, b: expected_pass_at_k(a, b, 64)),
    ):
        mean, low, high = brute_force(by_task, value)
        assert (got.mean, got.low, got.high) == pytest.approx((mean, low, high), abs=0.006)


def test_many_tasks_give_the_truth_away():
    rng = np.random.default_rng(0)
    spread = fit_success([(int(c), 16) for c in rng.binomial(16, rng.beta(0.5, 2.0, 3000))])
    assert spread.best == pytest.approx((0.5, 2.0), rel=0.15)
    cells = np.diff(oracle.beta(0.5, 2.0).cdf([0, 0.05, 0.2, 0.5, 1]))
    assert spread.shares([0, 0.05, 0.2, 0.5, 1]) == pytest.approx(list(cells), abs=0.02)


@given(st.lists(st.tuples(st.integers(0, 8), st.just(8)), min_size=1, max_size=12))
def test_shares_of_all_tasks_sum_to_one(by_task):
    shares = fit_success(by_task).shares([0.0, 0.01, 0.3, 0.99, 1.0])
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= 0


def test_none_solved_bounds_the_mean_as_jeffreys_does():
    spread = fit_success([(0, 1)] * 60)  # one sample a task tells of the mean alone
    expected = oracle.beta(0.5, 60.5).interval(0.95)
    got = spread.mean()
    assert (got.low, got.high) == pytest.approx(expected, abs=2e-3)


def test_fit_needs_tasks():
    with pytest.raises(ValueError, match="by_task must hold at least one"):
        fit_success([])


def test_recalibrated_takes_the_given_distribution_of_its_quantity():
    rng = np.random.default_rng(1)
    spread = fit_success([(int(c), 8) for c in rng.binomial(8, rng.beta(1.0, 3.0, 40))])
    wanted = oracle.beta(30, 12)

    def signal(a, b):
        return expected_signal(a, b, 8)

    new = spread.recalibrated(signal, wanted.cdf)
    assert new.weight.sum() == pytest.approx(1)
    got, was = new.signal(8), spread.signal(8)
    assert (got.low, got.high) == pytest.approx(wanted.interval(0.95), abs=0.02)
    assert abs(was.mean - wanted.mean()) > 0.02
    # A distribution that is the old one changes nothing.
    values = signal(spread.alpha, spread.beta)
    order = np.argsort(values)
    same = spread.recalibrated(
        signal, lambda x: np.interp(x, values[order], np.cumsum(spread.weight[order]))
    )
    assert same.pass_at_k(32).mean == pytest.approx(spread.pass_at_k(32).mean, abs=1e-3)
