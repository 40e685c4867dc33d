"""Which rollouts a page shows: a bounded number, fairly spread, the same every time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from minirl.report.page.choose import choose

strata = st.lists(st.integers(0, 12), max_size=200)


@given(strata, st.integers(1, 220))
def test_as_many_as_fit_each_once_in_order(items, most):
    chosen = choose(items, most)
    assert len(chosen) == min(most, len(items))
    assert chosen == sorted(set(chosen))
    assert chosen == choose(items, most)


@given(strata, st.integers(1, 220))
def test_no_stratum_gives_more_while_another_has_some_left(items, most):
    taken, sizes = Counter(items[i] for i in choose(items, most)), Counter(items)
    for stratum, size in sizes.items():
        if taken[stratum] < size:
            assert all(taken[stratum] >= taken[other] - 1 for other in sizes)


def test_every_step_keeps_solved_and_unsolved_ones():
    # 20,000 rollouts of 500 steps, of which each fourth is solved.
    items = [(i // 40, i % 4 == 0) for i in range(20_000)]
    chosen = choose(items, 5000)
    assert len(chosen) == 5000
    assert set(Counter(items[i] for i in chosen).values()) == {5}
    assert len({items[i] for i in chosen}) == 1000


def test_rare_ones_are_kept():
    items = ["unsolved"] * 9999 + ["solved"] * 3
    chosen = choose(items, 100)
    assert [items[i] for i in chosen].count("solved") == 3
    gaps = {b - a for a, b in pairwise(chosen[:97])}
    assert max(gaps) - min(gaps) <= 1  # evenly spaced


def test_more_strata_than_places():
    chosen = choose(list(range(1000)), 10)
    assert [c // 100 for c in chosen] == list(range(10))
