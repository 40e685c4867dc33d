"""What the probe plays: when it stops, when it goes on; an interruption changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from coin_policy import Coin, CoinPolicy, Dense, Wordy, beta, half, mixed, same

from minirl.config import Recipe
from minirl.envs import make_env
from minirl.measure.probe import (
    Played,
    counts_by_task,
    escalated,
    most_samples,
    next_round,
    play_probe,
    probe_tasks,
)


def recipe(**change: object) -> Recipe:
    return Recipe.model_validate({"env": {"name": "coin"}, **change})


def whole(env, chance, setting, **options) -> list[Played]:
    return play_probe(CoinPolicy(env, chance), env, setting, **options)


def untimed(played: list[Played]) -> list[Played]:
    return [replace(p, seconds=0.0) for p in played]


# Stopping and escalation --------------------------------------------------------------------------


def test_groups_are_those_of_training_and_it_stops_when_clear():
    env = Coin()
    played = whole(env, same(0.5), recipe(train={"group_size": 6}))
    assert [p.sampled for p in played] == [6] * 24  # all at once clear: high, nothing to escalate
    assert {p.stage for p in played} == {"screen"}
    assert len({p.index for p in played}) == 24
    assert all(p.signal == (0 < sum(p.solved) < 6) for p in played)


def test_nothing_solved_goes_on_to_32_and_then_to_300():
    env = Coin()
    played = whole(env, same(0.0), recipe(probe={"escalate_tasks": 4}))
    _, sampled = counts_by_task(played)
    assert sum(p.stage == "screen" for p in played) == 56
    more = escalated(played)
    assert len(more) == 4
    assert {sampled[i] for i in more} == {300}
    assert {sampled[i] for i in sampled if i not in more} == {8}
    assert [p.sampled for p in played if p.stage == "escalate"] == [24] * 4 + [268] * 4


def test_only_tasks_that_nothing_solved_are_sampled_on():
    env = Coin()
    chances = mixed(0.85, 0.0, 0.5)  # a share of signal between the thresholds
    played = whole(env, chances, recipe(seed=1, probe={"escalate_tasks": 4}))
    screened = [p for p in played if p.stage == "screen"]
    unsolved = [p.index for p in screened if not any(p.solved)]
    assert escalated(played) == set(unsolved[:4])
    assert any(any(p.solved) for p in screened)


def test_a_task_that_32_samples_solved_is_not_taken_to_300():
    env = Coin()
    played = whole(env, same(0.02), recipe(seed=3, probe={"escalate_tasks": 8}))
    solved, _ = counts_by_task([p for p in played if p.stage == "screen" or p.sampled == 24])
    first = [p for p in played if p.stage == "escalate" and p.sampled == 24]
    second = [p for p in played if p.stage == "escalate" and p.sampled == 268]
    assert len(first) == 8
    assert {p.index for p in second} == {p.index for p in first if not solved[p.index]}
    assert 0 < len(second) < 8  # (1 - 0.02)^24 = 62 % of them, so the seed shows both


def test_a_high_share_of_signal_escalates_nothing():
    env = Coin()
    assert not escalated(whole(env, half(0.0, 0.5), recipe()))


def test_escalation_can_be_left_out():
    assert not escalated(whole(Coin(), same(0.0), recipe(probe={"escalate_tasks": 0})))


def test_it_never_takes_more_than_it_said():
    env = Coin()
    setting = recipe(probe={"groups": 64, "screen": 400, "escalate": 50})
    said = []
    played = whole(env, same(0.018), setting, on_progress=lambda n, most: said.append((n, most)))
    total = sum(p.sampled for p in played)
    assert said[-1] == (total, most_samples(setting))
    assert total <= most_samples(setting)
    assert sum(p.stage == "screen" for p in played) <= 64


# Which tasks --------------------------------------------------------------------------------------


def test_tasks_are_train_tasks_of_the_curriculums_pool_in_the_seeds_order():
    env = Coin()
    one, again, other = (probe_tasks(env, recipe(seed=s)) for s in (1, 1, 2))
    assert one == again != other
    assert len(set(one)) == 256
    assert max(one) < max(recipe().stream.pool, 256)


def test_where_tasks_are_fewer_than_groups_they_come_again():
    env = Coin(10)
    played = whole(env, mixed(0.5, 0.03, 0.0), recipe())
    screened = Counter(p.index for p in played if p.stage == "screen")
    assert set(screened) == set(range(10))
    assert max(screened.values()) - min(screened.values()) <= 1
    again = [p.solved for p in played if p.stage == "screen"]
    assert len(set(again)) > 1  # a task that comes again is sampled anew


def test_a_seed_gives_the_same_probe_and_another_seed_another():
    env = make_env("arithmetic:2")
    setting = recipe(env={"name": "arithmetic:2"})
    chance = beta(0.2, 4.0)
    once = untimed(whole(env, chance, setting))
    assert once == untimed(whole(env, chance, setting))
    assert once != untimed(whole(env, chance, setting.model_copy(update={"seed": 9})))


def test_dense_rewards_give_signal_without_anything_solved():
    env = Dense()
    played = play_probe(Wordy(env), env, recipe())
    assert [p.signal for p in played] == [True] * 24
    assert sum(sum(p.solved) for p in played) == 0


# Interruption -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [same(0.0), same(0.03), mixed(0.8, 0.0, 0.5)])
def test_a_probe_that_was_interrupted_is_the_one_that_was_not(chance):
    env, setting = Coin(), recipe(seed=5)
    unbroken = untimed(whole(env, chance, setting))
    # After any line of its journal: between rounds, and where a kill left part of a round.
    for lines in (1, 5, 8, 23, 24, 30, len(unbroken) - 5, len(unbroken) - 1, len(unbroken)):
        journal = [json.loads(json.dumps(p.as_record())) for p in unbroken[:lines]]
        before = [Played.from_record(r) for r in journal]
        assert before == unbroken[:lines]
        new: list[Played] = []
        went_on = whole(env, chance, setting, played=before, on_played=new.extend)
        assert untimed(went_on) == unbroken
        assert untimed(new) == unbroken[lines:]


def test_a_probe_that_has_ended_plays_nothing_more():
    env, setting = Coin(), recipe()
    played = whole(env, same(0.5), setting)
    assert next_round(env, setting, played) is None


def test_a_failing_environment_keeps_what_was_played():
    class Fails(Coin):
        def score(self, task, text):
            if self.left == 0:
                raise RuntimeError("the disk is full")
            self.left -= 1
            return super().score(task, text)

    env, kept = Fails(), []
    env.left = 8 * 8 + 3
    with pytest.raises(Exception, match="the disk is full"):
        whole(env, same(0.0), recipe(), on_played=kept.extend)
    assert len(kept) == 8
    went_on = whole(Coin(), same(0.0), recipe(), played=kept)
    assert untimed(went_on) == untimed(whole(Coin(), same(0.0), recipe()))
