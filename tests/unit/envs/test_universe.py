"""Universes: drawn no further than asked, the same in whatever order and however interrupted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from minirl.envs import Drawn
from minirl.envs.base import split_of, task_rng
from minirl.envs.universe import BLOCK
from minirl.errors import ConfigError
from minirl.types import SPLITS


class Counting:
    """Draws numbers and counts how many; one of them may break off."""

    def __init__(self, most: int, breaks_at: int | None = None) -> None:
        self.most, self.breaks_at, self.draws = most, breaks_at, 0

    def __call__(self, rng: Random) -> int:
        self.draws += 1
        number = rng.randrange(self.most)
        if self.draws == self.breaks_at:
            raise KeyboardInterrupt
        return number


def universe(draw: Counting, *, one_stream: bool = False) -> Drawn[int]:
    return Drawn("numbers", draw, str, one_stream=one_stream)


both_ways = pytest.mark.parametrize("one_stream", [False, True])


def test_the_first_task_does_not_wait_for_a_block() -> None:
    draw = Counting(10**9)
    universe(draw).pick("train", 3)
    assert draw.draws < 40


@both_ways
def test_order_and_blocks_do_not_matter(one_stream: bool) -> None:
    one, other = (universe(Counting(10**9), one_stream=one_stream) for _ in range(2))
    other.pick("train", 2 * BLOCK)  # what the other split has drawn does not matter either
    other.pick("train", 40)
    indices = [5, 0, BLOCK - 1, BLOCK, 3 * BLOCK + 7]
    forwards = {i: one.pick("test", i) for i in sorted(indices)}
    assert {i: other.pick("test", i) for i in indices[::-1]} == forwards
    assert len(set(forwards.values())) == len(indices)


@both_ways
def test_a_small_universe_is_finite(one_stream: bool) -> None:
    small = universe(Counting(50), one_stream=one_stream)
    size = small.size("train")
    assert size is not None
    assert small.pick("train", size + 2) == small.pick("train", 2)
    test = small.size("test")
    assert test is not None
    assert size + test == 50
    with pytest.raises(ConfigError, match="different problems"):
        small.pick("test", test)
    with pytest.raises(ConfigError, match="start at 0"):
        small.pick("train", -1)


@both_ways
def test_an_interrupted_draw_leaves_no_short_block(one_stream: bool) -> None:
    draw = Counting(10**9, breaks_at=200)
    broken = universe(draw, one_stream=one_stream)
    broken.pick("test", 10)
    with pytest.raises(KeyboardInterrupt):
        broken.pick("train", BLOCK - 1)
    assert draw.draws == 200
    whole = universe(Counting(10**9), one_stream=one_stream)
    for split in SPLITS:
        assert broken.pick(split, BLOCK - 1) == whole.pick(split, BLOCK - 1)
        assert broken.size(split) is None


def test_splits_of_one_stream_share_its_draws() -> None:
    draw = Counting(10**9)
    shared = universe(draw, one_stream=True)
    train = [shared.pick("train", i) for i in range(700)]
    drawn = draw.draws
    test = [shared.pick("test", i) for i in range(200)]
    assert draw.draws == drawn
    assert not set(train) & set(test)
    rng = task_rng("numbers", 0)
    numbers = [rng.randrange(10**9) for _ in range(drawn)]
    assert train == [n for n in numbers if split_of(str(n)) == "train"]
    assert test == [n for n in numbers if split_of(str(n)) == "test"][:200]


@both_ways
def test_threads_draw_what_one_would(one_stream: bool) -> None:
    shared, alone = (universe(Counting(10**9), one_stream=one_stream) for _ in range(2))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: shared.pick("train", i), range(300)))
    assert found == [alone.pick("train", i) for i in range(300)]


def test_a_proof_sees_only_what_the_split_would_keep() -> None:
    seen: list[int] = []

    def is_even(number: int) -> bool:
        seen.append(number)
        return number % 2 == 0

    proved = Drawn("numbers", Counting(10**9), str, is_even)
    found = [proved.pick("test", i) for i in range(50)]
    assert all(number % 2 == 0 for number in found)
    everything = universe(Counting(10**9))
    assert seen == [everything.pick("test", i) for i in range(len(seen))]
