"""The figures of a proof, each against a count of its own."""

from __future__ import annotations

import json
import math
import re
from itertools import combinations

import pytest
from proof_answers import answer, solved_of

from minirl.measure.prove.figures import (
    compared,
    coverage_of,
    curve,
    histogram,
    lenient_counts,
    misformed_counts,
    policy_summary,
    rates_of,
)
from minirl.types import json_line

N = 6
BASE = [0, 0, 1, 3, 6, 2, 0, 1]
TUNED = [0, 2, 0, 6, 6, 5, 0, 4]
GUESS = [0, 1, 0, 0, 0, 0, 0, 0]
FIGURES = {
    "verdict", "also", "reasons", "verdict_confidence", "base", "tuned", "difference", "pass_at_k",
    "efficiency_gap", "coverage", "histogram", "diversity", "guess",
}  # fmt: skip


def brute_pass_at_k(solved: int, k: int) -> float:
    """The share of all choices of k of the N samples that hold a solved one."""
    chosen = list(combinations([i < solved for i in range(N)], k))
    return sum(map(any, chosen)) / len(chosen)


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


@pytest.fixture(scope="module")
def record():
    return compared(solved_of(BASE, N), solved_of(TUNED, N), solved_of(GUESS, N), seed=3)


def test_all_that_samples_settle_is_there_and_is_strict_json(record):
    assert set(record) == FIGURES
    assert json.loads(json_line(record)) == record


def test_pass_at_k_against_every_choice_of_samples(record):
    found = record["pass_at_k"]
    assert found["k"] == [1, 2, 4, 6]
    for at, k in enumerate(found["k"]):
        base, tuned = (mean(brute_pass_at_k(c, k) for c in side) for side in (BASE, TUNED))
        assert found["base"][at]["value"] == pytest.approx(base, abs=1e-12)
        assert found["tuned"][at]["value"] == pytest.approx(tuned, abs=1e-12)
        assert found["difference"][at]["value"] == pytest.approx(tuned - base, abs=1e-12)
        guess = mean(brute_pass_at_k(c, k) for c in GUESS)
        assert record["guess"]["pass_at_k"][at]["value"] == pytest.approx(guess, abs=1e-12)
        for name in ("base", "tuned", "difference"):
            assert found[name][at]["low"] < found[name][at]["value"] < found[name][at]["high"]
    assert record["guess"]["solved"]["value"] == pytest.approx(1 / 48)


def test_the_efficiency_gap_is_the_bases_pass_at_n_less_tuneds_pass_at_1(record):
    gap = record["efficiency_gap"]
    assert gap["k"] == N
    assert gap["value"] == pytest.approx(mean(c > 0 for c in BASE) - mean(c / N for c in TUNED))
    assert gap["low"] < gap["value"] < gap["high"]


def test_coverage_by_hand(record):
    assert record["coverage"] == {
        "both": 4, "base_only": 1, "tuned_only": 1, "neither": 2, "samples": N, "mcnemar_p": 1.0,
    }  # fmt: skip
    five = compared(solved_of([0] * 5, N), solved_of([1] * 5, N), None, seed=0)["coverage"]
    assert (five["tuned_only"], five["mcnemar_p"]) == (5, 2 / 2**5)


def test_histogram_by_hand():
    """0.3 stands in [0.3, 0.4), 1 in the last bin, however division rounds."""
    before = [(0, 10), (1, 10), (3, 10), (7, 10), (10, 10), (19, 20), (6, 20)]
    found = histogram(before, before)
    assert found["base"] == found["tuned"] == [1, 1, 0, 2, 0, 0, 0, 1, 0, 2]
    assert found["never"] == {"base": 1, "tuned": 1}
    assert found["always"] == {"base": 1, "tuned": 1}
    assert len(found["edges"]) == 11


def test_every_task_stands_in_one_bin_and_one_field(record):
    for name, side in (("base", BASE), ("tuned", TUNED)):
        assert sum(record["histogram"][name]) == len(side)
        assert record["histogram"]["never"][name] == side.count(0)
        assert record["histogram"]["always"][name] == side.count(N)
    found = coverage_of([(c, N) for c in BASE], [(c, N) for c in TUNED])
    assert found.both + found.base_only + found.tuned_only + found.neither == len(BASE)


def test_the_solved_rate_and_pass_at_1_are_one_figure(record):
    """Its interval, too: the page shows both."""
    first = record["pass_at_k"]["difference"][0]
    for bound in ("value", "low", "high"):
        assert record["difference"][bound] == pytest.approx(first[bound], abs=1e-12)
        for name in ("base", "tuned"):
            assert record[name]["solved"][bound] == pytest.approx(
                record["pass_at_k"][name][0][bound], abs=1e-12
            )
    assert record["difference"]["value"] == pytest.approx(mean(TUNED) / N - mean(BASE) / N)
    before, after, change = rates_of(solved_of(BASE, N), solved_of(TUNED, N), seed=3)
    assert (before.value, after.n) == (pytest.approx(mean(BASE) / N), N * len(TUNED))
    assert change.value == pytest.approx(record["difference"]["value"])


# The crossover -------------------------------------------------------------------------------


def test_where_the_curves_cross():
    """Tuned is sure of half of the tasks; the base solves each now and then."""
    base, tuned = solved_of([2] * 8, N), solved_of([N] * 4 + [0] * 4, N)
    found = compared(base, tuned, None, seed=0)["pass_at_k"]["crossover"]
    first = next(k for k in range(1, N + 1) if brute_pass_at_k(2, k) > 0.5)
    assert found["k"] == first == 2
    assert found["low"] <= 2 <= (found["high"] or N)


def test_a_curve_that_starts_below_does_not_cross():
    assert compared(solved_of([3], N), solved_of([1], N), None, seed=0)["pass_at_k"][
        "crossover"
    ] is None  # fmt: skip


def test_a_curve_that_stays_above_crosses_nowhere():
    found = compared(solved_of([1] * 4, N), solved_of([4] * 4, N), None, seed=0)
    assert found["pass_at_k"]["crossover"] == {"k": None, "low": None, "high": None}


# The verdict's inputs ------------------------------------------------------------------------


def loose(strict: int, right: int) -> list:
    return [answer(i < strict, lenient=i < right) for i in range(N)]


def test_lenient_and_misformed_by_hand():
    answers = [loose(1, 4), loose(0, 0), loose(6, 6)]
    assert lenient_counts(answers) == [(4, N), (0, N), (6, N)]
    assert misformed_counts(answers) == [(3, N), (0, N), (0, N)]
    summary = policy_summary(answers, seed=0)
    assert summary["solved"]["value"] == pytest.approx(7 / 18)
    assert summary["lenient"]["value"] == pytest.approx(10 / 18)
    without = [*answers, [answer(lenient=None)] * N]
    assert lenient_counts(without) is None
    assert misformed_counts(without) is None
    assert policy_summary(without, seed=0)["lenient"] is None


def test_form_is_told_from_skill():
    tasks = 30
    base = [loose(1, 5)] * tasks
    assert compared(base, [loose(5, 5)] * tasks, None, seed=0)["verdict"] == "format only"
    base = [loose(1, 1)] * tasks
    assert compared(base, [loose(5, 5)] * tasks, None, seed=0)["verdict"] == "sharpened"


def test_new_tasks_count_where_guessing_does_not_reach():
    tasks = 30
    base = solved_of([3] * 20 + [0] * 10, N)
    tuned = solved_of([3] * 20 + [2] * 10, N)

    def verdict(guess):
        return compared(base, tuned, guess, seed=0)["verdict"]

    assert verdict(solved_of([0] * tasks, N)) == "expanded"
    assert verdict(solved_of([1] * 25 + [0] * 5, N)) == "sharpened"
    assert verdict(None) == "expanded"
    # 20 of 30 guessed: all ten new would be no chance at 67 % (0.017), but may be one at the 81 %
    # that 20 of 30 leave possible (0.12).
    assert verdict(solved_of([1] * 20 + [0] * 10, N)) == "sharpened"


def test_summary_by_hand():
    task = [answer(True, ids=(1, 2, 3)), answer(ids=(1,), truncated=True)]
    found = policy_summary([task, task], seed=0)
    assert found["mean_tokens"]["value"] == 2.0
    assert (found["truncated"]["value"], found["truncated"]["n"]) == (0.5, 4)
    assert found["solved"]["tasks"] == 2


# Degenerate proofs ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("tasks", [1, 2, 12])
@pytest.mark.parametrize("base", [0.0, 1.0])
@pytest.mark.parametrize("tuned", [0.0, 1.0])
def test_nothing_and_everything_solved_gives_numbers(tasks, n, base, tuned):
    answers = [solved_of([round(p * n)] * tasks, n) for p in (base, tuned)]
    found = compared(*answers, solved_of([0] * tasks, n), seed=0)
    text = json_line(found)  # refuses NaN and infinities
    assert not re.search(r"-0\.0[,}\]]", text)
    assert found["pass_at_k"]["base"][-1]["value"] == base
    assert found["coverage"]["neither"] == (tasks if base == tuned == 0 else 0)
    if base == tuned:
        assert found["verdict"] == "no effect"
        assert found["difference"]["low"] < 0 < found["difference"]["high"]
    for rate in (found["base"]["solved"], found["tuned"]["solved"], found["guess"]["solved"]):
        assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1
        assert rate["low"] < rate["high"]
        assert (rate["n"], rate["tasks"]) == (tasks * n, tasks)


def test_without_random_answers_there_is_no_floor():
    assert compared(solved_of(BASE, N), solved_of(TUNED, N), None, seed=0)["guess"] is None


def test_unequal_samples_are_refused():
    base = solved_of([1, 1], 4)
    for other in (solved_of([1], 4), solved_of([1, 1], 3)):
        with pytest.raises(ValueError, match="4 samples of each of 2 tasks"):
            compared(base, other, None, seed=0)
        with pytest.raises(ValueError, match="4 samples of each of 2 tasks"):
            compared(base, base, other, seed=0)


def test_intervals_are_the_same_whenever_they_are_computed(record):
    again = compared(solved_of(BASE, N), solved_of(TUNED, N), solved_of(GUESS, N), seed=3)
    assert again == record
    assert curve(solved_of(BASE, N), [1, 6])[1] == record["pass_at_k"]["base"][-1]
    assert all(math.isfinite(p["high"]) for p in record["pass_at_k"]["base"])
