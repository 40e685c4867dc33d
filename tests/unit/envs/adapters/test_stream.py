"""Which entry is which task: repeats, entries that cannot be judged or generated, the end."""

from __future__ import annotations

import pytest

from minirl.envs.adapters.reasoning_gym.stream import BLOCK, BROKEN, STRIDE, Drawn, Stream
from minirl.envs.base import split_of
from minirl.errors import ConfigError, EnvironmentFault
from minirl.types import SPLITS


def stream(problems: int = 10**9, *, fails: int = 0, unsound: int = 0) -> Stream:
    """Entry n asks for n modulo ``problems``; some are None, some unsound."""

    def draw(number: int) -> Drawn | None:
        return None if fails and number % fails == 0 else Drawn(number, str(number % problems), "x")

    return Stream("s", draw, lambda d: not unsound or d.number % unsound != 0)


def test_entries_go_to_the_split_of_their_question_in_order() -> None:
    for split in SPLITS:
        picked = [stream().pick(split, i) for i in range(30)]
        assert picked == sorted(picked, key=lambda d: d.number)
        assert {split_of(drawn.key) for drawn in picked} == {split}
    last_first = stream()
    assert [last_first.pick("test", i) for i in (9, 0)] == [
        stream().pick("test", i) for i in (9, 0)
    ]


def test_what_cannot_be_generated_or_judged_is_passed_over() -> None:
    one = stream(fails=3, unsound=7)
    numbers = [one.pick("train", i).number for i in range(100)]
    assert all(n % 3 and n % 7 for n in numbers)
    assert one.size("train") is None


def test_a_few_problems_are_all_found_and_then_it_ends() -> None:
    one = stream(25)
    train, test = one.size("train"), one.size("test")
    assert (train or 0) + (test or 0) == 25
    found = [one.pick("train", i).question for i in range(train or 0)]
    assert len(set(found)) == train
    assert one.pick("train", 3 * BLOCK).question == found[3 * BLOCK % (train or 1)]
    with pytest.raises(ConfigError, match="no test task"):
        one.pick("test", test or 0)


def test_blocks_draw_from_stretches_of_their_own() -> None:
    assert stream().pick("train", 2 * BLOCK).number >= 2 * STRIDE
    assert stream().pick("test", 2 * BLOCK).number < STRIDE


@pytest.mark.parametrize("broken", [{"fails": 1}, {"unsound": 1}])
def test_where_nothing_is_sound_it_is_a_fault(broken: dict[str, int]) -> None:
    with pytest.raises(EnvironmentFault, match=f"{BROKEN} entries in a row|generates nothing"):
        stream(**broken).pick("train", 0)


def test_an_index_below_zero_is_an_error() -> None:
    with pytest.raises(ConfigError, match="start at 0"):
        stream().pick("train", -1)
