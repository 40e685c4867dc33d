"""The bootstrap against a plain one, a t interval, and the delta method."""

from __future__ import annotations

import math
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from minirl.stats import Estimate, bootstrap, mean_estimate, ratio_difference, ratio_estimate
from minirl.stats.bootstrap import expanded_tail, resample


def plain(values: np.ndarray, statistic, tail: float, rounds: int = 20_000) -> np.ndarray:
    """Tasks drawn one by one, percentiles by sorting."""
    rng = np.random.default_rng(99)
    drawn = sorted(
        float(statistic(values[rng.integers(0, len(values), len(values))])) for _ in range(rounds)
    )
    return np.array([drawn[int(tail * rounds)], drawn[int((1 - tail) * rounds) - 1]])


def test_bootstrap_agrees_with_drawing_tasks_one_by_one():
    tasks = np.random.default_rng(1).gamma(2.0, 1.0, (25, 2))  # (sum, size)
    tail = oracle.norm.cdf(-math.sqrt(25 / 24) * oracle.t.ppf(0.975, 24))
    assert expanded_tail(25, 0.95) == pytest.approx(tail)
    for statistic, got in (
        (lambda x: x[:, 0].mean(), mean_estimate(tasks[:, 0], seed=0, resamples=20_000)),
        (
            lambda x: x[:, 0].sum() / x[:, 1].sum(),
            ratio_estimate(tasks[:, 0], tasks[:, 1], seed=0, resamples=20_000),
        ),
    ):
        assert got.value == pytest.approx(statistic(tasks))
        width = got.high - got.low
        assert np.abs(plain(tasks, statistic, tail) - (got.low, got.high)).max() < 0.03 * width


def test_mean_of_many_tasks_agrees_with_students_t():
    values = np.random.default_rng(2).normal(3.0, 2.0, 400)
    expected = oracle.ttest_1samp(values, 0).confidence_interval(0.95)
    got = mean_estimate(values, seed=0)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_ratio_agrees_with_the_delta_method():
    rng = np.random.default_rng(3)
    size = rng.uniform(5, 50, 500)
    top = 2 * size + rng.normal(0, 10, 500)
    got = ratio_estimate(top, size, seed=0)
    rest = top - got.value * size
    half = 1.96 * rest.std(ddof=1) / math.sqrt(500) / size.mean()
    assert got.value == pytest.approx(top.sum() / size.sum())
    assert (got.high - got.low) / 2 == pytest.approx(half, rel=0.06)


def test_difference_is_paired_and_mirrors():
    rng = np.random.default_rng(4)
    hard = rng.uniform(0, 100, 60)  # what the tasks differ by, and base and tuned share
    size = np.full(60, 10.0)
    base, tuned = hard + rng.normal(0, 1, 60), hard + 5 + rng.normal(0, 1, 60)
    got = ratio_difference((base, tuned), (size, size), seed=0)
    assert got.value == pytest.approx((tuned - base).mean() / 10)
    assert got.high - got.low < 0.1  # unpaired it would be more than 1
    back = ratio_difference((tuned, base), (size, size), seed=0)
    assert (-back.high, -back.value, -back.low) == pytest.approx((got.low, got.value, got.high))


def test_same_seed_same_interval_in_parts_or_at_once(monkeypatch):
    values = list(np.random.default_rng(5).normal(size=30))
    whole = mean_estimate(values, seed=1)
    assert whole == mean_estimate(values, seed=1)
    assert whole != mean_estimate(values, seed=2)
    # The package's name `bootstrap` is the function, hence the module by import_module.
    monkeypatch.setattr(import_module("minirl.stats.bootstrap"), "_AT_ONCE", 1000)
    assert mean_estimate(values, seed=1) == whole


def test_every_resample_draws_as_many_tasks():
    totals = resample(lambda w: w.sum(axis=1), 7, seed=0, resamples=100)
    assert totals.tolist() == [7.0] * 100


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20))
def test_estimate_lies_in_its_interval(values):
    got = mean_estimate(values, seed=0, resamples=100)
    assert got.low <= got.value <= got.high
    assert min(values) - 1e-9 <= got.low
    assert got.high <= max(values) + 1e-9


def test_another_scale_keeps_the_order():
    assert Estimate(1.0, 0.5, 2.0).map(lambda x: -x) == Estimate(-1.0, -2.0, -0.5)
    assert Estimate(0.0, -1.0, 1.0).map(math.exp) == Estimate(1.0, math.exp(-1), math.e)


def test_impossible_input_is_named():
    with pytest.raises(ValueError, match="at least one task, got 0"):
        bootstrap(lambda w: w.sum(axis=1), 0, seed=0)
    with pytest.raises(ValueError, match="at least 100, got 10"):
        bootstrap(lambda w: w.sum(axis=1), 3, seed=0, resamples=10)
    with pytest.raises(ValueError, match="a sum and a size a task, got"):
        ratio_estimate([1.0, 2.0], [1.0], seed=0)
    with pytest.raises(ValueError, match="every size must be positive, got 0"):
        ratio_estimate([1.0, 2.0], [1.0, 0.0], seed=0)
    with pytest.raises(ValueError, match="same tasks twice, got 1 and 2"):
        ratio_difference(([1.0], [1.0, 2.0]), ([1.0], [1.0, 1.0]), seed=0)
    with pytest.raises(ValueError, match="got"):
        mean_estimate([], seed=0)
