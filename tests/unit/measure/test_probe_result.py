"""What a probe concludes: verdicts on policies of known p, advice, and the record."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cache

import numpy as np
import pytest
from coin_policy import Coin, CoinPolicy, Dense, Unsaid, Wordy, beta, half, mixed, same

from minirl.config import Recipe
from minirl.envs import make_env
from minirl.measure.probe import GO, NO, Played, design_of, play_probe
from minirl.measure.probe_result import MOSTLY, Probe, conclude
from minirl.rundir import write_json
from minirl.stats import beta_posterior, signal_probability
from minirl.types import Score


def recipe(**change: object) -> Recipe:
    return Recipe.model_validate({"env": {"name": "coin"}, **change})


def probed(chance, setting: Recipe | None = None, env=None, **policy) -> Probe:
    env, setting = env or Coin(), setting or recipe()
    return conclude(env, setting, play_probe(CoinPolicy(env, chance, **policy), env, setting))


# The verdict --------------------------------------------------------------------------------------

# Chances of tasks, and the verdict. None lies within a zone of indifference around a threshold.
TRUTHS = {
    "0": (same, (0.0,), "cold_start"),
    "0.003": (same, (0.003,), "cold_start"),
    "0.02": (same, (0.02,), "ease"),
    "0.1": (same, (0.1,), "go"),
    "0.5": (same, (0.5,), "go"),
    "0.97": (same, (0.97,), "saturated"),
    "1": (same, (1.0,), "saturated"),
    "half 0, half 0.5": (half, (0.0, 0.5), "go"),
    "half 0, half 1": (half, (0.0, 1.0), "cold_start"),
    "half 0, half 0.01": (half, (0.0, 0.01), "cold_start"),
    "4 of 5 0, else 0.5": (mixed, (0.8, 0.0, 0.5), "ease"),
    "Beta(0.3, 0.3)": (beta, (0.3, 0.3), "go"),
    "Beta(0.2, 4)": (beta, (0.2, 4.0), "ease"),
    "Beta(0.02, 2)": (beta, (0.02, 2.0), "cold_start"),
    "Beta(40, 1)": (beta, (40.0, 1.0), "saturated"),
}


@cache
def moments(make, args) -> tuple[float, float]:
    """The true share of groups of 8 with signal, and the true solved rate."""
    p = np.array([make(*args)(i) for i in range(8000)])
    return float((1 - p**8 - (1 - p) ** 8).mean()), float(p.mean())


@pytest.mark.parametrize("name", TRUTHS)
def test_the_rule_gives_that_verdict(name):
    make, args, verdict = TRUTHS[name]
    signal, solved = moments(make, args)
    by_rule = "go" if signal >= GO else "saturated" if solved >= MOSTLY else "ease"
    if by_rule == "ease" and signal < NO:
        by_rule = "cold_start"
    assert verdict == by_rule


@pytest.mark.parametrize("name", TRUTHS)
def test_verdicts_zone_is_right_in_more_than_95_of_100_probes(name):
    """Exactly, from the design; the runs below are of the whole probe."""
    make, args, verdict = TRUTHS[name]
    signal, _ = moments(make, args)
    design = design_of(recipe())
    right = {"go": ("high",), "ease": ("middle",), "cold_start": ("low",)}
    zones = right.get(verdict, ("low", "middle"))
    chance = design.probabilities(signal)
    assert chance @ np.array([design.zone(k, n) in zones for k, n in design.ends]) > 0.97


RUN = ("0", "0.003", "0.02", "0.1", "0.5", "0.97", "half 0, half 0.5", "half 0, half 1")
RUN += ("4 of 5 0, else 0.5", "Beta(0.2, 4)", "Beta(40, 1)")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_whole_probes_are_right_in_95_of_100_runs(name):
    make, args, verdict = TRUTHS[name]
    env, coins = Unsaid(), Coin()  # without a guess floor, which takes a third of the time
    verdicts, samples = Counter(), []
    for seed in range(100):
        setting = recipe(seed=seed, probe={"escalate_tasks": 0})
        chance = make(*args) if make is same else make(*args, seed=seed)
        found = conclude(env, setting, play_probe(CoinPolicy(coins, chance), env, setting))
        verdicts[found.verdict] += 1
        samples.append(found.samples)
    print(f"{name}: {dict(verdicts)}, {np.mean(samples):.0f} samples")
    assert verdicts[verdict] >= 95


@pytest.mark.parametrize(
    ("p", "verdict"), [(0.0, "cold_start"), (0.02, "ease"), (0.5, "go"), (0.97, "saturated")]
)
def test_a_real_environment_gives_the_same_verdict(p, verdict):
    env = make_env("arithmetic:2")
    found = probed(same(p), recipe(env={"name": "arithmetic:2"}, seed=1), env)
    assert found.verdict == verdict
    assert found.signal[8].low <= signal_probability(p, 8) <= found.signal[8].high
    assert found.solved.low <= p <= found.solved.high


def test_the_limit_decides_where_the_tests_could_not_and_that_is_said():
    undecided = probed(same(0.0132), recipe(seed=2, probe={"groups": 32, "escalate_tasks": 0}))
    assert sum(p.stage == "screen" for p in undecided.played) == 32
    assert not undecided.decided
    assert probed(same(0.5)).decided


# Figures ------------------------------------------------------------------------------------------


def test_signal_by_group_size_says_what_was_played_and_what_is_extrapolated():
    found = probed(same(0.1), recipe(seed=4, train={"group_size": 12}))
    assert {g: s.how for g, s in found.signal.items()} == {
        4: "played",
        8: "played",
        12: "played",
        16: "extrapolated",
        32: "extrapolated",
    }
    values = [s.value for s in found.signal.values()]
    assert values == sorted(values)
    for size, s in found.signal.items():
        assert s.low <= signal_probability(0.1, size) <= s.high
        assert s.low <= s.value <= s.high


def test_distribution_of_p_finds_both_halves():
    found = probed(half(0.0, 0.5), recipe(seed=1, probe={"groups": 256}))
    shares = dict(
        zip([0, 1, 5, 10, 20, 40], found.as_record()["distribution"]["share"], strict=False)
    )
    assert shares[0] > 0.2
    assert sum(found.as_record()["distribution"]["share"]) == pytest.approx(1)


def test_every_task_has_its_posterior():
    found = probed(same(0.0))
    tasks = found.as_record()["tasks"]
    assert len(tasks) == 56
    by_sampled = {t["sampled"]: t for t in tasks}
    assert set(by_sampled) == {8, 300}
    for n, task in by_sampled.items():
        expected = beta_posterior(0, n)
        assert task["p"] == {"mean": expected.mean, "low": expected.low, "high": expected.high}
    assert by_sampled[300]["p"]["high"] < 0.01


def test_guess_floor_is_what_other_tasks_answers_score():
    # Four tasks, two answers: a random other answer is right half of the time.
    class TwoAnswers(Coin):
        def gold(self, task):
            return "yes" if task.index % 2 else "no"

        def score(self, task, text):
            return Score(float(text == self.gold(task)), text == self.gold(task))

    env = TwoAnswers(4)
    found = probed(same(0.3), recipe(), env)
    assert found.guess.low < 0.5 < found.guess.high
    assert found.guess.tasks == 4
    assert probed(same(0.5)).guess.value == 1.0  # every task's answer is the same: no floor at all


def test_without_gold_there_is_no_guess_floor():
    env, known = Unsaid(), Coin()
    played = play_probe(CoinPolicy(known, same(0.5)), env, recipe())
    found = conclude(env, recipe(), played)
    assert found.guess is None
    assert found.as_record()["guess"] is None


def test_lenient_is_reported_where_the_environment_reports_it_for_all():
    assert probed(same(0.5)).lenient is None
    env = make_env("arithmetic:2")
    found = probed(same(0.3), recipe(env={"name": "arithmetic:2"}), env)
    assert found.lenient.value == pytest.approx(found.solved.value)

    class Sometimes(Coin):
        def score(self, task, text):
            score = super().score(task, text)
            return score if text != "yes" else Score(1.0, True, {"lenient": 1.0})

    found = probed(same(0.5), recipe(), Sometimes())
    assert found.lenient is None
    assert {t["lenient"] for t in found.as_record()["tasks"]} == {None}


def test_an_answer_in_another_form_is_told_from_a_missing_one():
    env = make_env("arithmetic:2")

    class Loose(CoinPolicy):
        """Knows the answer and never keeps to the form."""

        def _text(self, task, turn, rng, k):
            return f"It must be {task.data['answer']}"

    setting = recipe(env={"name": "arithmetic:2"}, probe={"escalate_tasks": 0})
    found = conclude(env, setting, play_probe(Loose(env, same(1.0)), env, setting))
    assert found.verdict == "cold_start"
    assert found.solved.value == 0.0
    assert found.lenient.value == 1.0
    assert "the right answer stands there in 100 %, in another form" in found.reason


def test_dense_rewards_leave_the_distribution_of_p_alone():
    env = Dense()
    found = conclude(env, recipe(), play_probe(Wordy(env), env, recipe()))
    assert found.verdict == "go"  # there is signal, so there is something to learn from
    assert found.spread.mean().high < 0.05  # and nothing was solved
    values = [s.value for s in found.signal.values()]
    assert values == sorted(values)
    assert found.signal[32].low >= found.signal[8].low


def test_reason_says_the_figures_and_what_further_samples_found():
    never = probed(same(0.0))
    assert never.reason == (
        "0 % [0, 5] of groups of 8 carry signal, fewer than 10 %: next to nothing to reinforce; "
        "of 1 unsolved task sampled on (up to 300 times), 0 were solved"
    )
    rarely = probed(same(0.004), recipe(seed=2, probe={"escalate_tasks": 4}))
    assert "unsolved tasks sampled on" in rarely.reason
    assert "from 30 % on, training is worth its time" in probed(same(0.5)).reason
    assert "97 % is solved already" in probed(same(0.97), recipe(seed=8)).reason


# Advice -------------------------------------------------------------------------------------------


def test_a_larger_g_is_advised_where_it_brings_signal():
    found = probed(same(0.03), recipe(seed=1))  # G = 8: 22 %, 16: 39 %
    assert found.verdict == "ease"
    assert found.recommend["group_size"] == 16
    assert "G = 16" in found.recommend["why"][0]
    assert probed(same(0.5)).recommend["group_size"] == 8


def test_no_g_is_advised_where_none_helps():
    found = probed(same(0.0))
    assert found.recommend["group_size"] is None
    assert found.recommend["why"][0] == "no G up to 32 brings 30 % of groups to signal"


def advice(chance, limit: int, nonsense: str) -> tuple[int, str]:
    setting = recipe(sampling={"max_tokens": limit}, probe={"escalate_tasks": 0})
    found = probed(chance, setting, Coin(), nonsense=nonsense)
    return found.recommend["max_tokens"], " ".join(found.recommend["why"])


def test_max_tokens_goes_up_where_nothing_comes_to_an_end():
    tokens, why = advice(same(0.0), 16, "and so on " * 5)
    assert tokens == 32
    assert "100 % were cut off at 16" in why


def test_max_tokens_stays_where_only_wrong_answers_are_cut_off():
    tokens, why = advice(same(0.5), 16, "and so on " * 5)
    assert tokens == 16
    assert "is enough" in why
    assert "no solved answer took more than 4 tokens" in why


def test_max_tokens_goes_up_where_solved_answers_come_near_the_limit():
    tokens, _ = advice(same(0.5), 5, "and so on")
    assert tokens == 10


def test_max_tokens_goes_down_where_half_of_it_was_never_used():
    tokens, why = advice(same(0.5), 512, "x" * 99)
    assert tokens == 128  # a hundred, a quarter to spare, in eights
    assert "the longest answer took 100 of 512" in why
    assert advice(same(0.5), 128, "x" * 99) == (128, "")


# The record ---------------------------------------------------------------------------------------


def numbers(value):
    if isinstance(value, dict):
        for v in value.values():
            yield from numbers(v)
    elif isinstance(value, list):
        for v in value:
            yield from numbers(v)
    elif isinstance(value, float):
        yield value


@pytest.mark.parametrize("chance", [same(0.0), same(1.0), half(0.0, 1.0), same(0.02)])
def test_the_record_is_strict_json_whatever_was_found(chance, tmp_path):
    record = probed(chance).as_record()
    write_json(tmp_path / "probe.json", record)  # refuses NaN
    read = json.loads((tmp_path / "probe.json").read_text())
    assert read["signal"]["8"]["how"] == "played"
    assert all(math.isfinite(x) for x in numbers(read))
    assert read["samples"] == sum(t["sampled"] for t in read["tasks"])
    assert read["fit"]["alpha"] > 0
    assert read["fit"]["beta"] > 0


def test_fewer_tasks_than_groups_are_counted_once_each():
    found = probed(same(0.0), recipe(), Coin(10))
    tasks = found.as_record()["tasks"]
    assert len(tasks) == 10
    assert sum(t["sampled"] for t in tasks) == found.samples
    assert found.solved.tasks == 56  # groups, the unit that was observed


def test_totals_count_what_was_played():
    found = probed(same(0.5))
    assert found.samples == 24 * 8
    assert found.tokens == sum(sum(p.tokens) for p in found.played)
    assert found.lengths["max"] == 8.0  # "no idea" and its end
    assert isinstance(found.played[0], Played)
    assert found.seconds == pytest.approx(sum(p.seconds for p in found.played))
