"""What a probe's samples say: the verdict, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from minirl.config import Recipe
from minirl.envs.base import Environment
from minirl.errors import UnknownGold
from minirl.measure.probe import GO, NO, Played, counts_by_task, design_of, escalated, probe_tasks
from minirl.rollout import ScriptedPolicy, play
from minirl.stats import (
    Rate,
    SuccessSpread,
    beta_posterior,
    clustered_rate,
    expected_signal,
    fit_success,
    rate_beside,
    unbiased_signal,
)

Verdict = Literal["go", "ease", "cold_start", "saturated"]

GROUP_SIZES = (4, 8, 16, 32)
EDGES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 1.0)
MOSTLY = 0.8  # solved at least so often, tasks without signal are solved ones
# A limit is too short where more is cut off than this, and solved answers come near it.
CUT_OFF, NEAR = 0.05, 0.75


@dataclass(frozen=True, slots=True)
class Signal:
    """Expected share of groups whose rollouts differ in reward, for one group size.

    Attributes:
        how: ``played`` (groups of this size, or larger ones that hold them, were), or
            ``extrapolated``: for larger groups, if the tasks' probabilities follow a Beta.
    """

    value: float
    low: float
    high: float
    how: Literal["played", "extrapolated"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe's answer.

    Attributes:
        verdict: ``go`` where the share of groups with signal is at least :data:`GO`. Else
            ``saturated`` (nothing left to learn) where at least :data:`MOSTLY` is solved; else
            ``ease`` (raise G or ease the task), or below :data:`NO` ``cold_start`` (nothing to
            reinforce).
        decided: whether the tests were sure before the limit was reached.
        reason: the rule and the figures, in a sentence or two.
        solved, lenient, truncated: rates over the screened groups; ``lenient`` None where the
            environment does not report it.
        guess: what the reference answers of other tasks score; None where there are none.
        signal: by group size; the recipe's own among them.
        first_step: of the groups of training's first step, how many will carry signal, at least and
            at most (95 %).
        spread: of the success probabilities over tasks.
        recommend: ``group_size`` (None where no size helps), ``max_tokens``, and ``why``.
        lengths: mean, p50, p95 and max of tokens a rollout.
    """

    recipe: Recipe
    env: str
    verdict: Verdict
    decided: bool
    reason: str
    solved: Rate
    lenient: Rate | None
    truncated: Rate
    guess: Rate | None
    signal: dict[int, Signal]
    first_step: tuple[int, int]
    spread: SuccessSpread
    recommend: dict[str, Any]
    lengths: dict[str, float]
    played: tuple[Played, ...]

    @property
    def samples(self) -> int:
        return sum(p.sampled for p in self.played)

    @property
    def tokens(self) -> int:
        return sum(sum(p.tokens) for p in self.played)

    @property
    def seconds(self) -> float:
        return sum(p.seconds for p in self.played)

    def as_record(self) -> dict[str, Any]:
        """probe.json, but for what only the command knows: ``endpoint`` and ``price``."""
        sampling = self.recipe.sampling
        alpha, beta = self.spread.best
        return {
            "format": 1,
            "env": self.env,
            "model": self.recipe.model.name,
            "split": "train",
            "seed": self.recipe.seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "max_tokens": sampling.max_tokens,
            "group_size": self.recipe.train.group_size,
            "verdict": self.verdict,
            "decided": self.decided,
            "reason": self.reason,
            "solved": asdict(self.solved),
            "lenient": self.lenient and asdict(self.lenient),
            "truncated": asdict(self.truncated),
            "guess": self.guess and asdict(self.guess),
            "signal": {str(g): asdict(s) for g, s in self.signal.items()},
            "first_step": {
                "groups": self.recipe.train.prompts_per_step,
                "low": self.first_step[0],
                "high": self.first_step[1],
            },
            "fit": {"alpha": alpha, "beta": beta},
            "distribution": {"edges": list(EDGES), "share": self.spread.shares(EDGES)},
            "recommend": self.recommend,
            "lengths": self.lengths,
            "tasks": self._tasks(),
            "samples": self.samples,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }

    def _tasks(self) -> list[dict[str, Any]]:
        tasks: dict[int, dict[str, Any]] = {}
        for p in self.played:
            row = tasks.setdefault(
                p.index,
                {"index": p.index, "sampled": 0, "solved": 0, "lenient": 0, "truncated": 0},
            )
            row["sampled"] += p.sampled
            row["solved"] += sum(p.solved)
            row["truncated"] += sum(p.truncated)
            known = p.lenient and row["lenient"] is not None
            row["lenient"] = row["lenient"] + sum(p.lenient) if known else None
        for row in tasks.values():
            row["p"] = asdict(beta_posterior(row["solved"], row["sampled"]))
        return list(tasks.values())


def conclude(env: Environment[Any], recipe: Recipe, played: Sequence[Played]) -> Probe:
    """Draw the conclusions of a probe that has ended.

    Raises:
        EnvironmentFault: the environment's code failed while the guess floor was played.
    """
    screened = [p for p in played if p.stage == "screen"]
    design = design_of(recipe)
    k, n = sum(p.signal for p in screened), len(screened)
    solved = _rate(recipe, screened, [p.solved for p in screened])
    reports = all(p.lenient for p in screened)
    lenient = _rate(recipe, screened, [p.lenient for p in screened]) if reports else None
    truncated = _rate(recipe, screened, [p.truncated for p in screened])
    by_task = counts_by_task(played)
    spread = fit_success([(by_task[0][i], by_task[1][i]) for i in by_task[1]])
    if all(p.signal == (0 < sum(p.solved) < p.sampled) for p in screened):
        # Where rewards are dense, the design stopped on something else than what is fitted here.
        spread = spread.recalibrated(
            lambda a, b: expected_signal(a, b, recipe.train.group_size),
            lambda shares: design.at_least(k, n, shares),
        )
    signal = _signal(recipe, screened, spread)
    verdict = _verdict(design.zone(k, n), solved.value)
    tokens = np.array([t for p in played for t in p.tokens])
    return Probe(
        recipe=recipe,
        env=env.label,
        verdict=verdict,
        decided=design.decided(k, n),
        reason=_reason(recipe, verdict, signal, solved, lenient, played),
        solved=solved,
        lenient=lenient,
        truncated=truncated,
        guess=_guess(env, recipe, len(by_task[1])),
        signal=signal,
        first_step=design.predicted(k, n, recipe.train.prompts_per_step),
        spread=spread,
        recommend=_recommend(recipe, verdict, signal, truncated, played),
        lengths={
            "mean": float(tokens.mean()),
            "p50": float(np.quantile(tokens, 0.5)),
            "p95": float(np.quantile(tokens, 0.95)),
            "max": float(tokens.max()),
        },
        played=tuple(played),
    )


def _rate(recipe: Recipe, screened: Sequence[Played], hits: Sequence[Sequence[int]]) -> Rate:
    return rate_beside(
        design_of(recipe),
        [p.signal for p in screened],
        [sum(hit) / len(hit) for hit in hits],
        n=sum(len(hit) for hit in hits),
    )


def _signal(recipe: Recipe, screened: Sequence[Played], spread: SuccessSpread) -> dict[int, Signal]:
    own, design = recipe.train.group_size, design_of(recipe)
    observed = [p.signal for p in screened]
    k, n = sum(observed), len(observed)
    played = Signal(k / n, *design.interval(k, n), "played")
    out: dict[int, Signal] = {}
    for size in sorted({*GROUP_SIZES, own}):
        if size == own:
            out[size] = played
        elif size < own:
            shares = [unbiased_signal(tuple(Counter(p.values).values()), size) for p in screened]
            rate = rate_beside(design, observed, shares, n=n * own)
            out[size] = Signal(rate.value, rate.low, rate.high, "played")
        else:
            found = spread.signal(size)
            # A group that holds one with signal has signal, whatever made the rewards differ.
            value = max(found.mean, played.value)
            low, high = max(found.low, played.low), max(found.high, played.high)
            out[size] = Signal(value, low, high, "extrapolated")
    return out


def _verdict(zone: str | None, solved: float) -> Verdict:
    if zone == "high":
        return "go"
    if solved >= MOSTLY:
        return "saturated"
    return "ease" if zone == "middle" else "cold_start"


def _reason(
    recipe: Recipe,
    verdict: Verdict,
    signal: dict[int, Signal],
    solved: Rate,
    lenient: Rate | None,
    played: Sequence[Played],
) -> str:
    size = recipe.train.group_size
    own = signal[size]
    share = (
        f"{100 * own.value:.0f} % [{100 * own.low:.0f}, {100 * own.high:.0f}] of groups of {size} "
        "carry signal"
    )
    said = {
        "go": f"{share}; from {100 * GO:.0f} % on, training is worth its time",
        "ease": f"{share}, between {100 * NO:.0f} and {100 * GO:.0f} %: raise G or ease the task",
        "cold_start": f"{share}, fewer than {100 * NO:.0f} %: next to nothing to reinforce",
        "saturated": (
            f"{share}, since {100 * solved.value:.0f} % is solved already: a harder level has more "
            "to teach"
        ),
    }[verdict]
    if verdict in ("ease", "cold_start"):
        more = escalated(played)
        hits, sampled = counts_by_task(played)
        if more:
            ever = sum(hits[i] > 0 for i in more)
            most = max(sampled[i] for i in more)
            tasks = "1 unsolved task" if len(more) == 1 else f"{len(more)} unsolved tasks"
            said += f"; of {tasks} sampled on (up to {most} times), "
            said += f"{ever} {'was' if ever == 1 else 'were'} solved"
        if lenient and lenient.low > solved.high:
            said += (
                f"; the right answer stands there in {100 * lenient.value:.0f} %, in another form: "
                "show the form (a worked example, a cold start)"
            )
    return said


def _guess(env: Environment[Any], recipe: Recipe, tasks: int) -> Rate | None:
    """What other tasks' reference answers score here; None where the environment has none."""
    indices = list(dict.fromkeys(probe_tasks(env, recipe)))[:tasks]
    asked = [env.task("train", i) for i in indices]
    policy = ScriptedPolicy(env, "random")
    try:
        groups = play(policy, env, asked, 8, max_tokens=100_000, seed=recipe.seed)
    except UnknownGold:
        return None
    return clustered_rate([(g.solved, len(g.rollouts)) for g in groups])


def _recommend(
    recipe: Recipe,
    verdict: Verdict,
    signal: dict[int, Signal],
    truncated: Rate,
    played: Sequence[Played],
) -> dict[str, Any]:
    own, limit = recipe.train.group_size, recipe.sampling.max_tokens
    why = []
    size: int | None = own
    if verdict in ("ease", "cold_start"):
        enough = [g for g in signal if g > own and signal[g].value >= GO]
        size = enough[0] if enough else None
        if size:
            found = signal[size]
            why.append(
                f"G = {size}: {100 * found.value:.0f} % of groups would carry signal "
                f"[{100 * found.low:.0f}, {100 * found.high:.0f}]"
            )
        else:
            why.append(f"no G up to {max(signal)} brings {100 * GO:.0f} % of groups to signal")
    solved = [t for p in played for t, hit in zip(p.tokens, p.solved, strict=True) if hit]
    longest = max((t for p in played for t in p.tokens), default=limit)
    tokens = limit
    if truncated.value > CUT_OFF and (not solved or max(solved) > NEAR * limit):
        tokens = 2 * limit
        why.append(f"max_tokens = {tokens}: {100 * truncated.value:.0f} % were cut off at {limit}")
    elif truncated.value > CUT_OFF:
        why.append(
            f"max_tokens = {limit} is enough: {100 * truncated.value:.0f} % were cut off, but no "
            f"solved answer took more than {max(solved)} tokens"
        )
    elif longest <= limit / 2:
        tokens = 8 * -(-5 * longest // 32)  # a quarter to spare, in eights
        why.append(f"max_tokens = {tokens}: the longest answer took {longest} of {limit}")
    return {"group_size": size, "max_tokens": tokens, "why": why}
