"""The quick draws are the standard library's, from the same state and to the same state."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.rewards.draws import below, pick, shuffled


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_below_is_randrange(seed: int, n: int) -> None:
    ours, theirs = Random(seed), Random(seed)
    assert [below(ours, n) for _ in range(5)] == [theirs.randrange(n) for _ in range(5)]
    assert ours.getstate() == theirs.getstate()


@given(st.integers(0, 10**9), st.text(min_size=1, max_size=40))
def test_pick_and_shuffled_are_choice_and_sample(seed: int, items: str) -> None:
    ours, theirs = Random(seed), Random(seed)
    assert pick(ours, items) == theirs.choice(items)
    assert shuffled(ours, items) == theirs.sample(items, len(items))
    assert ours.getstate() == theirs.getstate()


def test_nothing_to_draw_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="no number"):
        pick(Random(1), [])
    assert shuffled(Random(1), []) == []
