"""Posteriors and signal against scipy and published values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from minirl.stats import (
    beta_posterior,
    signal_probability,
)

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


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
