"""Finding the temperature of a given entropy."""

from __future__ import annotations

import math

import pytest

from minirl.measure.prove.matched import HOTTEST, NEAR, TRIALS, matching_temperature


@pytest.mark.parametrize("wanted", [0.25, 0.5, 1.0, 2.0, 3.0])
def test_it_finds_the_temperature_of_a_smooth_curve(wanted: float) -> None:
    """An entropy that rises slowly, then fast: 0.1 at T = 1, about 4.3 at T = 4."""

    def entropy(heat: float) -> float:
        return 0.1 * math.exp(1.25 * (heat - 1))

    found = matching_temperature(entropy, wanted, 1.0)
    assert entropy(found) == pytest.approx(wanted, rel=2 * NEAR)


def test_few_trials_are_enough() -> None:
    asked = []

    def entropy(heat: float) -> float:
        asked.append(heat)
        return heat**3 / 20

    matching_temperature(entropy, 0.4, 1.0)
    assert len(asked) <= TRIALS + 2
    assert len(set(asked)) == len(asked)


def test_what_is_out_of_reach_gives_the_hottest() -> None:
    assert matching_temperature(lambda heat: heat / 100, 1.0, 0.5) == HOTTEST * 0.5


def test_noise_never_leaves_the_bracket() -> None:
    noisy = {1.0: 0.2, 4.0: 3.0}

    def entropy(heat: float) -> float:
        return noisy.setdefault(heat, 0.9 if len(noisy) % 2 else 0.1)

    assert 1.0 <= matching_temperature(entropy, 0.5, 1.0) <= 4.0
