"""Diversity of samples: by hand, by known distributions, by laws."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proof_answers import answer

from minirl.measure.prove.diversity import diversity, diversity_difference, entropy_of

TASK = [
    answer(ids=(1, 2, 3), final="7", surprise=3.0),
    answer(ids=(1, 2, 3), final="7", surprise=1.0),
    answer(ids=(1, 2), final="7", surprise=1.0),
    answer(ids=(4,), final="8", surprise=0.5),
]
OTHER = [answer(ids=(i,), final=str(i), surprise=0.5) for i in range(4)]


def values(answers, **options):
    return {name: e.value for name, e in diversity(answers, seed=0, **options).items()}


def test_one_task_by_hand():
    found = values([TASK])
    assert found["distinct_answers"] == 2
    assert found["answer_entropy"] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert found["distinct_1"] == pytest.approx(4 / 9)  # 1, 2, 3, 4 of nine tokens
    assert found["distinct_2"] == pytest.approx(2 / 5)  # 12 and 23 of five pairs
    assert found["unique"] == 2 / 4  # (1, 2) and (4,)
    assert found["token_entropy"] == pytest.approx(5.5 / 9)


def test_tasks_weigh_alike_except_in_token_entropy():
    found = values([TASK, OTHER])
    assert found["distinct_answers"] == (2 + 4) / 2
    assert found["distinct_1"] == pytest.approx((4 / 9 + 1) / 2)
    assert found["unique"] == (0.5 + 1) / 2
    assert found["token_entropy"] == pytest.approx((5.5 + 2.0) / (9 + 4))  # a token's mean
    assert entropy_of([TASK, OTHER], seed=3) == diversity([TASK, OTHER], seed=3)["token_entropy"]


def test_what_the_environment_wrote_does_not_count():
    spoken = answer(ids=(1, 9, 9, 2), mask=(True, False, False, True), final="x", surprise=2.0)
    found = values([[spoken, spoken]])
    assert found["distinct_1"] == 2 / 4  # 9 stands nowhere
    assert found["token_entropy"] == 1.0
    assert found["unique"] == 0.0


@pytest.mark.parametrize("kinds", [1, 2, 8])
def test_entropy_of_a_uniform_distribution_is_its_logarithm(kinds):
    task = [answer(final=str(i % kinds)) for i in range(16)]
    entropy = diversity([task], seed=0)["answer_entropy"].value
    assert entropy == pytest.approx(math.log(kinds))
    assert math.copysign(1, entropy) == 1  # no -0


def test_answers_are_compared_and_not_completions():
    """Two ways to one answer are one answer, and two completions."""
    task = [answer(ids=(i,), final="42") for i in range(6)]
    found = values([task])
    assert (found["distinct_answers"], found["answer_entropy"], found["unique"]) == (1, 0, 1)


def test_samples_too_short_for_a_pair_have_none():
    assert values([[answer(ids=(1,)), answer(ids=(2,))]])["distinct_2"] == 0


def test_empty_samples_give_numbers():
    found = values([[answer(ids=(), surprise=0.0)] * 3])
    assert found["distinct_1"] == found["token_entropy"] == 0
    assert all(math.isfinite(v) for v in found.values())


def test_differences_are_paired_by_task():
    """Every task loses one answer of ten to nineteen: its spread is no part of the interval."""
    before = [[answer(final=str(i)) for i in range(k)] for k in range(10, 20)]
    after = [[answer(final=str(min(i, k - 2))) for i in range(k)] for k in range(10, 20)]
    found = diversity_difference(before, after, seed=0)["distinct_answers"]
    assert (found.value, found.low, found.high) == pytest.approx((-1, -1, -1))
    alone = diversity(before, seed=0)["distinct_answers"]
    assert alone.high - alone.low > 1
    assert all(
        (e.value, e.low, e.high) == (0, 0, 0)
        for e in diversity_difference(before, before, seed=0).values()
    )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.lists(st.integers(0, 3), max_size=5), st.sampled_from("abc")),
            min_size=2,
            max_size=6,
        ),
        min_size=1,
        max_size=3,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_samples_does_not_matter(tasks, rng: random.Random):
    answers = [[answer(ids=ids, final=f, surprise=len(ids)) for ids, f in t] for t in tasks]
    shuffled = [rng.sample(task, len(task)) for task in answers]
    one, two = values(answers), values(shuffled)
    assert one == pytest.approx(two)
    assert 1 <= one["distinct_answers"] <= max(map(len, answers))
    assert 0 <= one["answer_entropy"] <= math.log(max(map(len, answers))) + 1e-12
    assert 0 <= one["distinct_1"] <= 1
    assert 0 <= one["unique"] <= 1
