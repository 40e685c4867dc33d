"""The search for what fits."""

from __future__ import annotations

from typing import Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.config import TOKEN_BUDGET, Recipe, change
from minirl.plan.fit import Fits, Settings, divisors, largest, next_lower, remedy

RECIPE = Recipe.model_validate({"env": {"name": "arithmetic"}})


def recipe(**settings) -> Recipe:
    return change(RECIPE, {k.replace("__", "."): v for k, v in settings.items()})


class Where(TypedDict):
    backend: Literal["unsloth", "transformers"]
    device: Literal["cuda", "cpu"]


UNSLOTH: Where = {"backend": "unsloth", "device": "cuda"}
STOCK: Where = {"backend": "transformers", "device": "cpu"}


@given(
    prompts=st.integers(1, 12),
    group=st.integers(2, 16),
    batch=st.integers(1, 300),
    budget=st.none() | st.integers(1, 20_000),
    where=st.sampled_from([UNSLOTH, STOCK, STOCK | {"device": "cuda"}]),
    shared=st.booleans(),
)
def test_next_lower_goes_down_step_by_step_and_ends(prompts, group, batch, budget, where, shared):
    current = recipe(
        train__prompts_per_step=prompts,
        train__group_size=group,
        train__token_budget=budget,
        train__shared_prefix=shared,
        sampling__batch=batch,
    )
    seen = 0
    while lower := next_lower(current, **where):
        [(key, value)] = lower.items()
        old = {
            "train.micro_batch": current.train.micro_batch or prompts * group,
            "train.token_budget": current.train.token_budget or TOKEN_BUDGET[where["device"]],
            "sampling.batch": current.sampling.batch,
        }[key]
        assert 1 <= value < old
        assert value <= old // 2 or value == 64
        current = change(current, lower)  # validates: a micro-batch must divide the rows
        seen += 1
        assert seen < 30
    assert current.sampling.batch == 1
    if where is UNSLOTH or not shared:
        assert (current.train.micro_batch, current.train.token_budget) == (1, budget)
    else:
        assert current.train.token_budget == min(64, budget or 64)
        assert current.train.micro_batch is None


def test_next_lower_takes_the_micro_batch_first():
    start = recipe(train__prompts_per_step=3, train__group_size=8, sampling__batch=6)
    assert next_lower(start, **UNSLOTH) == {"train.micro_batch": 12}
    third = change(start, {"train.micro_batch": 3})
    assert next_lower(third, **UNSLOTH) == {"train.micro_batch": 1}
    single = change(start, {"train.micro_batch": 1})
    assert next_lower(single, **UNSLOTH) == {"sampling.batch": 3}
    apart = change(start, {"train.shared_prefix": False})
    assert next_lower(apart, **STOCK) == {"train.micro_batch": 12}


def test_next_lower_takes_the_token_budget_first_where_it_bounds_the_pass():
    start = recipe(sampling__batch=6)
    assert next_lower(start, **STOCK) == {"train.token_budget": 1024}
    assert next_lower(start, backend="transformers", device="cuda") == {"train.token_budget": 4096}
    assert next_lower(recipe(train__token_budget=100), **STOCK) == {"train.token_budget": 64}
    least = change(start, {"train.token_budget": 64})
    assert next_lower(least, **STOCK) == {"sampling.batch": 3}


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
    def found(fits: Fits) -> Settings | None:
        return remedy(RECIPE, fits, budget=None, four_bit=True)

    assert found(lambda r: rows(r) <= 9) == {"train.micro_batch": 8}
    assert found(lambda r: r.sampling.batch <= 40) == {"sampling.batch": 32}
    assert found(lambda r: r.model.load_in_4bit) == {"model.load_in_4bit": True}
    assert found(lambda r: r.train.gradient_checkpointing and rows(r) <= 4) == {
        "train.gradient_checkpointing": True,
        "train.micro_batch": 4,
    }


def test_on_the_stock_pass_the_token_budget_is_lowered():
    def budget(r: Recipe) -> int:
        return r.train.token_budget or 1024

    def found(fits: Fits, within: int = 1024) -> Settings | None:
        start = change(RECIPE, {"train.token_budget": within})
        return remedy(start, fits, budget=within, four_bit=True)

    assert found(lambda r: budget(r) <= 300) == {"train.token_budget": 256}
    assert found(lambda r: budget(r) <= 300, within=1000) == {"train.token_budget": 250}
    assert found(lambda r: budget(r) <= 600 and r.model.load_in_4bit) == {
        "train.token_budget": 512,
        "model.load_in_4bit": True,
    }
    assert found(lambda r: r.sampling.batch <= 40) == {"sampling.batch": 32}
    assert found(lambda r: rows(r) < 32) is None


def test_there_may_be_no_remedy():
    assert remedy(RECIPE, lambda r: False, budget=None, four_bit=True) is None
    assert remedy(RECIPE, lambda r: r.model.load_in_4bit, budget=None, four_bit=False) is None
