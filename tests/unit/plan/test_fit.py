"""The search for what fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.config import Recipe, change
from minirl.plan.fit import divisors, largest, next_lower, remedy

RECIPE = Recipe.model_validate({"env": {"name": "arithmetic"}})


def recipe(**settings) -> Recipe:
    return change(RECIPE, {k.replace("__", "."): v for k, v in settings.items()})


@given(prompts=st.integers(1, 12), group=st.integers(2, 16), batch=st.integers(1, 300))
def test_next_lower_goes_down_step_by_step_and_ends(prompts, group, batch):
    start = recipe(train__prompts_per_step=prompts, train__group_size=group, sampling__batch=batch)
    current, seen = start, 0
    while lower := next_lower(current):
        [(key, value)] = lower.items()
        old = {
            "train.micro_batch": current.train.micro_batch or prompts * group,
            "sampling.batch": current.sampling.batch,
        }[key]
        assert 1 <= value <= old // 2
        current = change(current, lower)  # validates: a micro-batch must divide the rows
        seen += 1
        assert seen < 30
    assert (current.train.micro_batch, current.sampling.batch) == (1, 1)


def test_next_lower_takes_the_micro_batch_first():
    start = recipe(train__prompts_per_step=3, train__group_size=8, sampling__batch=6)
    assert next_lower(start) == {"train.micro_batch": 12}
    assert next_lower(change(start, {"train.micro_batch": 3})) == {"train.micro_batch": 1}
    assert next_lower(change(start, {"train.micro_batch": 1})) == {"sampling.batch": 3}


@given(edge=st.integers(0, 5000), limit=st.integers(1, 5000))
def test_largest_finds_the_edge(edge, limit):
    assert largest(lambda n: n <= edge, limit=limit) == min(edge, limit)


def test_divisors():
    assert divisors(12) == [12, 6, 4, 3, 2, 1]


def test_a_change_is_validated():
    with pytest.raises(ValueError, match="does not divide"):
        recipe(train__micro_batch=5)


def rows(r: Recipe) -> int:
    return r.train.micro_batch or r.train.prompts_per_step * r.train.group_size


def test_the_mildest_remedy_is_taken_and_no_more_than_it_takes():
    assert remedy(RECIPE, lambda r: rows(r) <= 9, four_bit=True) == {"train.micro_batch": 8}
    assert remedy(RECIPE, lambda r: r.sampling.batch <= 40, four_bit=True) == {"sampling.batch": 32}
    assert remedy(RECIPE, lambda r: r.model.load_in_4bit, four_bit=True) == {
        "model.load_in_4bit": True
    }
    assert remedy(
        RECIPE, lambda r: r.train.gradient_checkpointing and rows(r) <= 4, four_bit=True
    ) == {"train.gradient_checkpointing": True, "train.micro_batch": 4}


def test_there_may_be_no_remedy():
    assert remedy(RECIPE, lambda r: False, four_bit=True) is None
    assert remedy(RECIPE, lambda r: r.model.load_in_4bit, four_bit=False) is None
