"""How varied a policy's samples are, task by task: answers, n-grams, whole completions, tokens.

Token entropy can rise while the diversity of answers falls (arXiv 2507.14843), so both are told.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from minirl.measure.prove.samples import Answer, Answers
from minirl.stats import Estimate, ratio_difference, ratio_estimate

Column = tuple[list[float], list[float]]  # (sums, sizes), a pair a task


def diversity(answers: Answers, *, seed: int) -> dict[str, Estimate]:
    """Figures of one policy, averaged over tasks.

    - ``distinct_answers``: different final answers among a task's n samples;
    - ``answer_entropy``: entropy of their frequencies, in nats; the plug-in estimate, which is low
      by about (distinct - 1) / 2n, alike for policies that are alike;
    - ``distinct_1``, ``distinct_2``: different n-grams of tokens over all of them, within a task's
      samples (Li et al. 2016, arXiv 1510.03055); longer samples have less of them, all else equal;
    - ``unique``: share of completions that are unlike every other of the task;
    - ``token_entropy``: nats a token, by the mean -log π of the sampled tokens, which is an
      unbiased estimate of the sampling distribution's entropy with top_p = 1 (below 1, π is the
      distribution before the tail was cut, and the figure a cross-entropy).
    """
    return {name: ratio_estimate(*column, seed=seed) for name, column in _columns(answers).items()}


def diversity_difference(base: Answers, tuned: Answers, *, seed: int) -> dict[str, Estimate]:
    """Tuned minus base, paired by task."""
    before, after = _columns(base), _columns(tuned)
    return {
        name: ratio_difference(
            (before[name][0], after[name][0]), (before[name][1], after[name][1]), seed=seed
        )
        for name in before
    }


def entropy_of(answers: Answers, *, seed: int) -> Estimate:
    """``token_entropy`` alone."""
    return ratio_estimate(*_columns(answers)["token_entropy"], seed=seed)


def _columns(answers: Answers) -> dict[str, Column]:
    ones = [1.0] * len(answers)
    return {
        "distinct_answers": ([float(len({a.final for a in task})) for task in answers], ones),
        "answer_entropy": ([_entropy([a.final for a in task]) for task in answers], ones),
        "distinct_1": ([_distinct(task, 1) for task in answers], ones),
        "distinct_2": ([_distinct(task, 2) for task in answers], ones),
        "unique": ([_unique(task) for task in answers], ones),
        "token_entropy": (
            [sum(a.surprise for a in task) for task in answers],
            [float(max(1, sum(a.tokens for a in task))) for task in answers],
        ),
    }


def _entropy(labels: Sequence[Any]) -> float:
    n = len(labels)
    return sum(c / n * math.log(n / c) for c in Counter(labels).values())


def _distinct(task: Sequence[Answer], size: int) -> float:
    grams: list[tuple[int, ...]] = []
    for answer in task:
        ids = answer.written
        grams += [ids[i : i + size] for i in range(len(ids) - size + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def _unique(task: Sequence[Answer]) -> float:
    counts = Counter(a.written for a in task)
    return sum(c == 1 for c in counts.values()) / len(task)
