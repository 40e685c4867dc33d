"""pass@k against enumeration, big integers and published formulas; its curves and differences."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.stats import (
    clustered_rate,
    crossover,
    ladder,
    paired_difference,
    pass_at_k,
    pass_at_k_curve,
    pass_at_k_difference,
    pass_table,
    wilson_interval,
)

counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def human_eval(n: int, c: int, k: int) -> float:
    """The formula that Chen et al. (2021) print in figure 3."""
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def exact(c: int, n: int, k: int) -> Fraction:
    return 1 - Fraction(comb(n - c, k), comb(n, k))


def test_pass_at_k_equals_every_choice_of_k_samples():
    for n in range(1, 9):
        for c, k in itertools.product(range(n + 1), range(1, n + 1)):
            samples = [i < c for i in range(n)]
            hits = [any(chosen) for chosen in itertools.combinations(samples, k)]
            assert pass_at_k(c, n, k) == pytest.approx(sum(hits) / len(hits), abs=1e-15)


@given(counts, st.data())
def test_pass_at_k_agrees_with_big_integers_and_human_evals_formula(cn, data):
    c, n = cn
    k = data.draw(st.integers(1, n))
    assert abs(Fraction(pass_at_k(c, n, k)) - exact(c, n, k)) < Fraction(1, 10**12)
    assert pass_at_k(c, n, k) == pytest.approx(human_eval(n, c, k), abs=1e-12)


@pytest.mark.parametrize(("c", "n", "k"), [(1, 1024, 512), (3, 4096, 1000), (4000, 4096, 90)])
def test_pass_at_k_holds_where_binomials_overflow(c, n, k):
    assert abs(Fraction(pass_at_k(c, n, k)) - exact(c, n, k)) < Fraction(1, 10**12)


@given(counts)
def test_pass_at_1_is_the_mean_and_pass_at_n_says_ever(cn):
    c, n = cn
    assert pass_at_k(c, n, 1) == pytest.approx(c / n, abs=1e-15)
    assert pass_at_k(c, n, n) == float(c > 0)


@given(counts)
def test_pass_at_k_rises_with_k_and_with_c(cn):
    c, n = cn
    curve = pass_table([(c, n)])[0]
    assert ((curve >= 0) & (curve <= 1)).all()
    assert (np.diff(curve) >= -1e-15).all()
    if c < n:
        assert (pass_table([(c + 1, n)])[0] >= curve).all()


@given(st.integers(2, 40), st.floats(0, 1), st.data())
def test_pass_at_k_is_unbiased(n, p, data):
    k = data.draw(st.integers(1, n))
    chance = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    mean = sum(w * pass_at_k(c, n, k) for c, w in enumerate(chance))
    assert mean == pytest.approx(1 - (1 - p) ** k, abs=1e-10)


@pytest.mark.parametrize(("c", "n", "k"), [(2, 1, 1), (0, 4, 0), (0, 4, 5), (-1, 4, 2), (0, 0, 1)])
def test_pass_at_k_refuses_what_is_impossible(c, n, k):
    with pytest.raises(ValueError, match="got"):
        pass_at_k(c, n, k)


def test_table_goes_to_the_fewest_samples_and_keeps_the_order():
    table = pass_table([(1, 4), (2, 2), (1, 4), (0, 3)])
    assert table.tolist() == [[0.25, 0.5], [1.0, 1.0], [0.25, 0.5], [0.0, 0.0]]


@given(st.integers(1, 5000))
def test_ladder_doubles_and_ends_at_the_most(most):
    ks = ladder(most)
    assert ks[-1] == most
    assert ks[:-1] == [2**i for i in range(len(ks) - 1)]
    assert all(a < b for a, b in itertools.pairwise(ks))


# Curves -------------------------------------------------------------------------------------------


def _tasks(seed: int, tasks: int = 60, n: int = 16) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    return [(int(c), n) for c in rng.binomial(n, rng.beta(0.5, 1.5, tasks))]


def test_curve_begins_with_the_solved_rates_interval_and_ends_with_wilsons():
    tasks = _tasks(0)
    first, last = pass_at_k_curve(tasks, [1, 16])
    rate = clustered_rate(tasks)
    assert (first.value, first.low, first.high) == (rate.value, rate.low, rate.high)
    ever = sum(c > 0 for c, _ in tasks)
    assert last.value == pytest.approx(ever / 60)
    assert (last.low, last.high) == pytest.approx(wilson_interval(ever, 60))


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40))
def test_curve_lies_in_its_intervals_and_in_0_to_1(solved):
    for e in pass_at_k_curve([(c, 8) for c in solved], [1, 3, 8]):
        assert 0 <= e.low <= e.value + 1e-12
        assert e.value - 1e-12 <= e.high <= 1


@pytest.mark.parametrize("solved", [0, 16])
def test_curve_keeps_a_width_where_all_or_none_was_solved(solved):
    for e in pass_at_k_curve([(solved, 16)] * 40, [1, 4, 16]):
        assert e.value == solved / 16
        assert e.high - e.low == pytest.approx(0.088, abs=0.002)  # Wilson's of 0 or 40 in 40


def test_curve_refuses_a_k_beyond_the_samples():
    with pytest.raises(ValueError, match="between 1 and the 3 samples a task, got 4"):
        pass_at_k_curve([(1, 3), (2, 9)], [1, 4])


# Differences --------------------------------------------------------------------------------------


def test_difference_at_1_is_the_paired_difference_of_rates():
    base, tuned = _tasks(1), _tasks(2)
    ours = pass_at_k_difference(base, tuned, 1, seed=3, resamples=2000)
    assert ours == paired_difference(base, tuned, seed=3, resamples=2000)


def test_efficiency_gap_sets_k_of_the_base_against_1_of_tuned():
    base, tuned = _tasks(1), _tasks(2)
    gap = pass_at_k_difference(base, tuned, 1, base_k=16, seed=0)
    by_hand = np.mean([c / 16 for c, _ in tuned]) - np.mean([c > 0 for c, _ in base])
    assert gap.value == pytest.approx(by_hand)
    assert gap.low < gap.value < gap.high < 0


def test_differences_are_of_the_same_tasks_and_within_the_samples():
    with pytest.raises(ValueError, match="same tasks, got 1 and 2"):
        pass_at_k_difference([(0, 2)], [(0, 2)] * 2, 1, seed=0)
    with pytest.raises(ValueError, match="the 2 samples a task, got 3"):
        pass_at_k_difference([(0, 3)], [(0, 2)], 3, seed=0)


# Crossover ----------------------------------------------------------------------------------------


def _first_below(base: np.ndarray, tuned: np.ndarray) -> float:
    at = np.flatnonzero(tuned < base - 1e-12)
    return at[0] + 1 if len(at) else np.inf


def test_crossover_agrees_with_a_plain_bootstrap():
    rng = np.random.default_rng(5)
    base_p = rng.beta(0.6, 1.2, 80)
    tuned_p = np.where(rng.random(80) < 0.3, 0.0, base_p**0.4)  # sharper, and narrower
    base, tuned = ([(int(c), 32) for c in rng.binomial(32, p)] for p in (base_p, tuned_p))
    before, after = pass_table(base), pass_table(tuned)
    drawn = []
    for _ in range(4000):
        tasks = rng.integers(0, 80, 80)
        drawn.append(_first_below(before[tasks].mean(0), after[tasks].mean(0)))
    found = crossover(base, tuned, seed=0)
    assert found.k == _first_below(before.mean(0), after.mean(0))
    assert 1 < found.k < 32
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    assert abs(found.low - low) <= 1
    assert abs((found.high or 33) - min(high, 33)) <= 2


def test_curves_that_do_not_cross_have_no_crossover():
    found = crossover([(1, 8)] * 30, [(4, 8)] * 30, seed=0)
    assert (found.k, found.low, found.high) == (None, None, None)
    assert crossover([(4, 8)] * 30, [(1, 8)] * 30, seed=0).k == 1
