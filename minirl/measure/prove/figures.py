"""The figures of a proof from its samples, as prove.json holds them. No model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from minirl.measure.prove.diversity import diversity, diversity_difference
from minirl.measure.prove.samples import Answers
from minirl.measure.prove.verdict import CONFIDENCE, Coverage, decide
from minirl.stats import (
    Difference,
    Estimate,
    Rate,
    clustered_rate,
    crossover,
    ladder,
    mcnemar_exact,
    paired_difference,
    pass_at_k_curve,
    pass_at_k_difference,
    ratio_estimate,
)
from minirl.stats.paired import RESAMPLES

Counts = list[tuple[int, int]]
EDGES = [i / 10 for i in range(11)]


def span(estimate: Estimate | Difference) -> dict[str, float]:
    """A figure with its interval, for JSON."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _negated(d: Difference) -> dict[str, float]:
    return {"value": 0.0 - d.value, "low": 0.0 - d.high, "high": 0.0 - d.low}  # 0 and never -0


def counts(answers: Answers) -> Counts:
    """(solved, sampled) of each task."""
    return [(sum(a.solved for a in task), len(task)) for task in answers]


def lenient_counts(answers: Answers) -> Counts | None:
    """The same by the lenient score; None where a rollout has none."""
    if any(a.lenient is None for task in answers for a in task):
        return None
    return [(sum(bool(a.lenient) for a in task), len(task)) for task in answers]


def misformed_counts(answers: Answers) -> Counts | None:
    """How many of each task's samples are right in a wrong form: lenient, and not solved."""
    if lenient_counts(answers) is None:
        return None
    return [(sum(bool(a.lenient) and not a.solved for a in task), len(task)) for task in answers]


def policy_summary(answers: Answers, *, seed: int) -> dict[str, Any]:
    """Rates and lengths of one policy."""
    lenient = lenient_counts(answers)
    return {
        "solved": asdict(clustered_rate(counts(answers))),
        "lenient": asdict(clustered_rate(lenient)) if lenient else None,
        "truncated": asdict(
            clustered_rate([(sum(a.truncated for a in task), len(task)) for task in answers])
        ),
        "mean_tokens": span(
            ratio_estimate(
                [float(sum(a.tokens for a in task)) for task in answers],
                [float(len(task)) for task in answers],
                seed=seed,
            )
        ),
    }


def difference(base: Answers, tuned: Answers, *, seed: int) -> Difference:
    """Solved rates, tuned minus base, paired by task."""
    return paired_difference(counts(base), counts(tuned), seed=seed)


def curve(answers: Answers, ks: Sequence[int]) -> list[dict[str, float]]:
    """pass@k with intervals."""
    return [span(e) for e in pass_at_k_curve(counts(answers), ks)]


def compared(base: Answers, tuned: Answers, guess: Answers | None, *, seed: int) -> dict[str, Any]:
    """Everything of prove.json that base, tuned and random answers settle by themselves.

    Args:
        guess: random answers; None where the environment has none.

    Raises:
        ValueError: they are not the same number of samples of the same number of tasks.
    """
    before, after = counts(base), counts(tuned)
    n = before[0][1]
    shape = [n] * len(base)
    for answers in (base, tuned, *([guess] if guess else [])):
        if [len(task) for task in answers] != shape:
            raise ValueError(f"expected {n} samples of each of {len(base)} tasks of every policy")
    ks = ladder(n)
    # What pass@1 and the solved rate say is the same, to the last digit of the interval.
    gain = partial(pass_at_k_difference, resamples=RESAMPLES)
    crossed = crossover(before, after, seed=seed)
    gap = gain(before, after, 1, base_k=n, seed=seed)
    coverage = coverage_of(before, after)
    guessing = pass_at_k_curve(counts(guess), ks) if guess else None
    verdict = decide(
        gain(before, after, 1, seed=seed, confidence=CONFIDENCE),
        gain(before, after, n, seed=seed, confidence=CONFIDENCE),
        n,
        coverage,
        lenient=_difference_at(lenient_counts(base), lenient_counts(tuned), seed),
        misformed=_difference_at(misformed_counts(base), misformed_counts(tuned), seed),
        guess=guessing[-1].high if guessing else None,
    )
    spread = {"base": base, "tuned": tuned}
    return {
        "verdict": verdict.word,
        "also": list(verdict.also),
        "reasons": list(verdict.reasons),
        "verdict_confidence": CONFIDENCE,
        "base": policy_summary(base, seed=seed),
        "tuned": policy_summary(tuned, seed=seed),
        "difference": asdict(difference(base, tuned, seed=seed)),
        "pass_at_k": {
            "k": ks,
            "base": curve(base, ks),
            "tuned": curve(tuned, ks),
            "difference": [span(gain(before, after, k, seed=seed)) for k in ks],
            # Only a curve that starts above the other can cross it.
            "crossover": None
            if crossed.k == 1
            else {"k": crossed.k, "low": crossed.low, "high": crossed.high},
        },
        "efficiency_gap": {"k": n, **_negated(gap)},
        "coverage": asdict(coverage)
        | {"samples": n, "mcnemar_p": mcnemar_exact(coverage.base_only, coverage.tuned_only)},
        "histogram": histogram(before, after),
        "diversity": {
            **{name: _spans(diversity(a, seed=seed)) for name, a in spread.items()},
            "difference": _spans(diversity_difference(base, tuned, seed=seed)),
        },
        "guess": {
            "solved": asdict(clustered_rate(counts(guess))),
            "pass_at_k": [span(e) for e in guessing],
        }
        if guess and guessing
        else None,
    }


def coverage_of(before: Counts, after: Counts) -> Coverage:
    """Tasks solved at least once, by both, by one alone, by neither."""
    pairs = [(b > 0, a > 0) for (b, _), (a, _) in zip(before, after, strict=True)]
    return Coverage(
        both=pairs.count((True, True)),
        base_only=pairs.count((True, False)),
        tuned_only=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )


def histogram(before: Counts, after: Counts) -> dict[str, Any]:
    """How many tasks have which solved rate; the ends, never and always, are counted apart too,
    for there training shows first.
    """
    out: dict[str, Any] = {"edges": EDGES, "never": {}, "always": {}}
    for name, by_task in (("base", before), ("tuned", after)):
        rates = [c / n for c, n in by_task]
        out[name] = [int(x) for x in np.histogram(rates, EDGES)[0]]
        out["never"][name] = sum(c == 0 for c, _ in by_task)
        out["always"][name] = sum(c == n for c, n in by_task)
    return out


def rates_of(base: Answers, tuned: Answers, *, seed: int) -> tuple[Rate, Rate, Difference]:
    """Both solved rates and their paired difference."""
    return (
        clustered_rate(counts(base)),
        clustered_rate(counts(tuned)),
        difference(base, tuned, seed=seed),
    )


def _difference_at(before: Counts | None, after: Counts | None, seed: int) -> Difference | None:
    """A paired difference with the verdict's confidence."""
    if before is None or after is None:
        return None
    return paired_difference(before, after, seed=seed, confidence=CONFIDENCE)


def _spans(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: span(e) for name, e in estimates.items()}
