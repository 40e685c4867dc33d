"""The price of a training from a probe's speed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from coin_policy import Coin, CoinPolicy, same

from minirl.cli.price import cost
from minirl.config import Recipe
from minirl.measure.probe import play_probe
from minirl.measure.probe_result import Probe, conclude
from minirl.plan.pace import REDRAWN, Pace


def probe_of(recipe: Recipe, p: float) -> Probe:
    """A probe whose screen took 0.1 s a rollout, and whose further samples took none."""
    env = Coin()
    found = conclude(env, recipe, play_probe(CoinPolicy(env, same(p)), env, recipe))
    timed = [
        replace(g, seconds=0.1 * g.sampled if g.stage == "screen" else 0.0) for g in found.played
    ]
    return replace(found, played=tuple(timed))


def recipe(rounds: int) -> Recipe:
    return Recipe.model_validate(
        {
            "env": {"name": "coin"},
            "train": {"steps": 10, "prompts_per_step": 4, "group_size": 8},
            "stream": {"resample_rounds": rounds},
        }
    )


def test_without_redraws_each_rollout_is_sampled_and_trained_once():
    setting = recipe(0)
    price = cost(setting, probe_of(setting, 0.5), Pace(sampling=2.0, training=3.0, steps=10))
    assert price["rollouts"] == 10 * 4 * 8
    assert price["tokens"] == pytest.approx(320 * 6, rel=0.1)  # "yes" or "no idea", and the end
    assert price["seconds"] == pytest.approx(32 * (1 + 1.5))
    assert price["seconds_low"] == pytest.approx(32 * 1.75)
    assert price["seconds_high"] == pytest.approx(32 * 4)


def test_groups_without_signal_are_drawn_again_and_not_trained_on():
    setting = recipe(2)
    pace = Pace(
        sampling=2.0 * (1 + 2 * REDRAWN), training=3.0, steps=10
    )  # the plan's, with its own
    price = cost(setting, probe_of(setting, 0.0), pace)  # nothing has signal: two more rounds
    assert price["rollouts"] == 3 * 320
    assert price["seconds"] == pytest.approx(3 * 32 + 1.5 * 32)
