"""What training did, in one word, by stated rules on intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scipy import special

from minirl.stats import Difference

Word = Literal["sharpened", "expanded", "narrowed", "format only", "no effect"]

# Two differences are looked at, pass@1 and pass@K; with 97.5 % each, training that did nothing is
# said to have done something in at most 5 % of all proofs (Bonferroni).
CONFIDENCE = 0.975
GUESSING = 0.05  # chance at which guessing is ruled out as what solved the new tasks


@dataclass(frozen=True, slots=True)
class Coverage:
    """Tasks solved at least once in n samples, by whom."""

    both: int
    base_only: int
    tuned_only: int
    neither: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word, the words whose rule holds too, and a sentence for each rule that spoke."""

    word: Word
    also: tuple[Word, ...]
    reasons: tuple[str, ...]


def decide(
    at_1: Difference,
    at_k: Difference,
    k: int,
    coverage: Coverage,
    *,
    lenient: Difference | None,
    misformed: Difference | None,
    guess: float | None,
) -> Verdict:
    """The verdict. The rules, on intervals of :data:`CONFIDENCE`:

    - narrowed: pass@K or pass@1 fell (its interval lies below 0);
    - format only: pass@1 rose; the lenient rate, which reads the right answer in any form, did
      not; and fewer right answers stand in a wrong form;
    - expanded: pass@K rose, by more than form, and tuned solves more of the tasks that the base
      never solved than guessing explains (binomial tail below :data:`GUESSING`);
    - sharpened: pass@1 rose, by more than form, and nothing shows that it expanded;
    - no effect: none of these.

    Where several hold, the first of this list is the verdict. K samples bound what they show: a
    task of P(good path) far below 1/K that was made likely counts as new.

    Args:
        at_1, at_k: paired differences of pass@1 and pass@K, tuned minus base.
        lenient: that of the lenient rate; None where the environment has none.
        misformed: that of the share of samples that are right in a wrong form, lenient and not
            solved.
        guess: the most that pass@K of random answers can be, on average over tasks. Tasks that
            differ only make many lucky ones rarer (Hoeffding 1956, Ann. Math. Stat. 27:713). None
            where it is not known: then nothing rules guessing out.
    """
    rose, rose_k = at_1.low > 0, at_k.low > 0
    formed = lenient is not None and misformed is not None and misformed.high < 0
    form_only = rose and formed and lenient is not None and lenient.low <= 0
    missed = coverage.tuned_only + coverage.neither
    guessed = guess is not None and _tail(coverage.tuned_only, missed, guess) >= GUESSING
    expanded = rose_k and not form_only and not guessed

    spoken: list[tuple[Word, str]] = []
    fell = [
        f"{name} fell by {_size(d)}"
        for name, d in ((f"pass@{k}", at_k), ("pass@1", at_1))
        if d.high < 0
    ]
    if fell:
        spoken.append(("narrowed", f"{' and '.join(fell)}."))
    if form_only and lenient is not None and misformed is not None:
        reason = (
            f"pass@1 rose by {_size(at_1)}, and the lenient rate did not ({_points(lenient)}): "
            f"right answers in a wrong form became fewer, by {_size(misformed)}."
        )
        spoken.append(("format only", reason))
    if expanded:
        limit = (
            "what guessing is worth is not known"
            if guess is None
            else f"more than guessing ({100 * guess:.1f} % at most) explains"
        )
        reason = (
            f"pass@{k} rose by {_size(at_k)}, and tuned solves {coverage.tuned_only} of the "
            f"{missed} tasks that the base never solved in {k} samples; {limit}."
        )
        spoken.append(("expanded", reason))
    if rose and not form_only and not expanded:
        further = (
            f"pass@{k} rose no further than guessing explains ({_points(at_k)})"
            if rose_k
            else f"pass@{k} did not rise ({_points(at_k)})"
        )
        spoken.append(("sharpened", f"pass@1 rose by {_size(at_1)}, and {further}."))
    if not spoken:
        explained = ", which guessing explains" if rose_k else ""
        reason = (
            f"no rule holds: pass@1 changed by {_points(at_1)}, "
            f"pass@{k} by {_points(at_k)}{explained}."
        )
        spoken.append(("no effect", reason))
    words = [word for word, _ in spoken]
    return Verdict(words[0], tuple(words[1:]), tuple(reason for _, reason in spoken))


def _tail(successes: int, trials: int, p: float) -> float:
    """P[Bin(trials, p) >= successes]."""
    return float(special.bdtrc(successes - 1, trials, p)) if successes > 0 else 1.0


def _points(d: Difference) -> str:
    return f"{100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"


def _size(d: Difference) -> str:
    """How large a change is whose sign the sentence tells."""
    low, high = sorted((abs(d.low), abs(d.high)))
    return f"{100 * abs(d.value):.1f} points [{100 * low:.1f}, {100 * high:.1f}]"
