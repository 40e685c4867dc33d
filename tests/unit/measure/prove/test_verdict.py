"""The verdict: every word by a case made for it, and how often chance alone earns one."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from minirl.measure.prove.verdict import CONFIDENCE, Coverage, Verdict, decide
from minirl.stats import Difference, paired_difference, pass_at_k_difference

K = 64
SAME = Coverage(80, 0, 0, 20)
TEN_NEW = Coverage(80, 0, 10, 10)


def change(value: float, half: float = 0.02) -> Difference:
    return Difference(value, value - half, value + half, 100, CONFIDENCE)


FLAT = change(0.0)
UP, DOWN = change(0.1), change(-0.1)


def verdict(
    at_1: Difference,
    at_k: Difference,
    coverage: Coverage = SAME,
    *,
    lenient: Difference | None = None,
    misformed: Difference | None = None,
    guess: float | None = 0.0,
) -> Verdict:
    return decide(at_1, at_k, K, coverage, lenient=lenient, misformed=misformed, guess=guess)


def words(*args, **options) -> list[str]:
    result = verdict(*args, **options)
    assert len(result.reasons) == 1 + len(result.also)
    return [result.word, *result.also]


# The words -----------------------------------------------------------------------------------


def test_each_word():
    assert words(FLAT, FLAT) == ["no effect"]
    assert words(UP, FLAT) == ["sharpened"]
    assert words(UP, UP, TEN_NEW) == ["expanded"]
    assert words(FLAT, UP, TEN_NEW) == ["expanded"]
    assert words(FLAT, DOWN) == words(DOWN, FLAT) == words(DOWN, DOWN) == ["narrowed"]
    assert words(UP, FLAT, lenient=FLAT, misformed=DOWN) == ["format only"]


def test_what_holds_too_follows():
    """Narrowed comes first: a rising pass@1 must not hide what was lost."""
    assert words(UP, DOWN) == ["narrowed", "sharpened"]
    assert words(DOWN, UP, TEN_NEW) == ["narrowed", "expanded"]
    assert words(UP, DOWN, lenient=FLAT, misformed=DOWN) == ["narrowed", "format only"]


def test_an_interval_that_touches_0_shows_nothing():
    touching_up, touching_down = change(0.02), change(-0.02)
    assert touching_up.low == touching_down.high == 0
    assert words(touching_up, touching_up, TEN_NEW) == ["no effect"]
    assert words(touching_down, touching_down) == ["no effect"]
    just = Difference(0.02, 1e-9, 0.04, 100, CONFIDENCE)
    assert words(just, FLAT) == ["sharpened"]


def test_skill_is_not_called_format():
    assert words(UP, FLAT, lenient=UP, misformed=FLAT) == ["sharpened"]
    assert words(UP, FLAT, lenient=UP, misformed=DOWN) == ["sharpened"]  # both form and skill
    # An interval too wide to show that the lenient rate rose does not show that it did not.
    assert words(UP, FLAT, lenient=change(0.1, 0.12), misformed=FLAT) == ["sharpened"]
    assert words(UP, FLAT) == ["sharpened"]  # nothing is lenient there


def test_form_alone_expands_nothing():
    """Every task is solved at last, in the form that the base never wrote."""
    assert words(UP, UP, Coverage(0, 0, 90, 10), lenient=FLAT, misformed=DOWN) == ["format only"]


def test_what_guessing_explains_is_not_expansion():
    """Ten of twenty tasks: P[Bin(20, p) >= 10] is 0.048 at p = 0.30, and 0.053 at 0.305."""
    assert words(UP, UP, TEN_NEW, guess=0.30) == ["expanded"]
    assert words(UP, UP, TEN_NEW, guess=0.305) == ["sharpened"]
    assert words(FLAT, UP, TEN_NEW, guess=0.305) == ["no effect"]
    assert words(UP, UP, TEN_NEW, guess=1.0) == ["sharpened"]
    assert "guessing explains" in verdict(FLAT, UP, TEN_NEW, guess=0.305).reasons[0]


def test_an_environment_without_a_guess_floor_says_so():
    result = verdict(UP, UP, TEN_NEW, guess=None)
    assert result.word == "expanded"
    assert "not known" in result.reasons[0]


def test_every_case_has_a_word_and_reasons_that_fit():
    """All signs of the four differences: the words are those of the stated rules."""
    order = ["narrowed", "format only", "expanded", "sharpened", "no effect"]
    for at_1, at_k, lenient, misformed in product((UP, FLAT, DOWN), repeat=4):
        found = words(at_1, at_k, TEN_NEW, lenient=lenient, misformed=misformed)
        form_only = at_1 is UP and lenient is not UP and misformed is DOWN
        expected = {
            "narrowed": DOWN in (at_1, at_k),
            "format only": form_only,
            "expanded": at_k is UP and not form_only,
            "sharpened": at_1 is UP and not form_only and at_k is not UP,
        }
        assert found == ([w for w in order if expected.get(w)] or ["no effect"])


def test_the_reasons_give_sizes_with_intervals():
    result = verdict(UP, DOWN)
    assert result.reasons == (
        "pass@64 fell by 10.0 points [8.0, 12.0].",
        "pass@1 rose by 10.0 points [8.0, 12.0], and pass@64 did not rise "
        "(-10.0 points [-12.0, -8.0]).",
    )
    assert verdict(FLAT, FLAT).reasons == (
        "no rule holds: pass@1 changed by +0.0 points [-2.0, +2.0], "
        "pass@64 by +0.0 points [-2.0, +2.0].",
    )
    (reason,) = verdict(UP, UP, TEN_NEW, guess=0.123).reasons
    assert "10 of the 20 tasks that the base never solved" in reason
    assert "12.3 % at most" in reason


# How often it is right -----------------------------------------------------------------------

TASKS = 100


def prove(
    base: np.ndarray,
    tuned: np.ndarray,
    loose: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    resamples: int,
) -> str:
    """The word for counts of K samples a task; ``loose`` are those of right answers in any form."""

    def compare(one: np.ndarray, two: np.ndarray, n: int = K) -> Difference:
        pairs = ([(int(c), n) for c in side] for side in (one, two))
        return paired_difference(*pairs, seed=0, confidence=CONFIDENCE, resamples=resamples)

    hit = [side > 0 for side in (base, tuned)]
    coverage = Coverage(
        int((hit[0] & hit[1]).sum()),
        int((hit[0] & ~hit[1]).sum()),
        int((~hit[0] & hit[1]).sum()),
        int((~hit[0] & ~hit[1]).sum()),
    )
    lenient = misformed = None
    if loose is not None:
        lenient, misformed = compare(*loose), compare(loose[0] - base, loose[1] - tuned)
    at_k = compare(*hit, n=1)
    return decide(
        compare(base, tuned), at_k, K, coverage, lenient=lenient, misformed=misformed, guess=0.02
    ).word


def test_the_short_cut_of_these_simulations_is_what_a_proof_computes():
    rng = np.random.default_rng(0)
    base, tuned = (rng.binomial(K, rng.beta(0.3, 1, TASKS)) for _ in range(2))
    pairs = [[(int(c), K) for c in side] for side in (base, tuned)]
    same = {"seed": 5, "resamples": 1000}
    assert pass_at_k_difference(*pairs, 1, **same) == paired_difference(*pairs, **same)
    hits = [[(int(c > 0), 1) for c in side] for side in (base, tuned)]
    assert pass_at_k_difference(*pairs, K, **same) == paired_difference(*hits, **same)


@pytest.mark.slow
def test_training_that_did_nothing_is_seldom_said_to_have_done_something():
    rng = np.random.default_rng(1)
    found = Counter()
    rounds = 250
    for a, b in ((0.5, 0.5), (0.2, 2.0), (1.0, 1.0), (5.0, 20.0)):
        for _ in range(rounds):
            p = rng.beta(a, b, TASKS)
            found[prove(rng.binomial(K, p), rng.binomial(K, p), resamples=1000)] += 1
    assert found.total() == 4 * rounds
    assert found["no effect"] >= 0.95 * found.total()


def half_learned(rng: np.random.Generator) -> np.ndarray:
    """30 tasks out of the base's reach, the others within K samples."""
    return np.where(np.arange(TASKS) < 30, 0.0, 0.1 + 0.9 * rng.beta(1, 3, TASKS))


@pytest.mark.slow
@pytest.mark.parametrize("word", ["sharpened", "expanded", "narrowed", "format only"])
def test_planted_truths_are_found(word):
    rng = np.random.default_rng(2)
    found = Counter()
    for _ in range(200):
        p = half_learned(rng)
        base = rng.binomial(K, p)
        q, loose = np.sqrt(p), None
        if word == "expanded":
            q[:15] = 0.2
        if word == "narrowed":
            q[-15:] = 0.0
        tuned = rng.binomial(K, q)
        if word == "format only":
            loose = (rng.binomial(K, p), rng.binomial(K, p))
            base, tuned = rng.binomial(loose[0], 0.3), rng.binomial(loose[1], 0.95)
        elif word == "sharpened":  # with a form that was right before
            loose = (base, tuned)
        found[prove(base, tuned, loose, resamples=400)] += 1
    assert found[word] >= 190
