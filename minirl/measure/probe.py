"""Is there anything to reinforce? Plays groups of train tasks as training would, until that is
clear.

Each group of G rollouts of a task is one observation: it carries signal or it does not. A
sequential design (:mod:`minirl.stats.sequential`) stops as soon as the share with signal is known
to be low, middling or high. Where it is not high, a few tasks that nothing solved are sampled on,
so that "rarely" can be told from "never".

What has been played is a list of :class:`Played`; the rest follows from it, so an interrupted
probe goes on from its list.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from minirl.config import Recipe
from minirl.envs.base import Environment
from minirl.rollout import Policy, play
from minirl.stats.sequential import Sequential
from minirl.types import Group, StopReason

BATCH = 8  # groups between two looks
LEAST = 24  # groups before the first
NO, GO = 0.1, 0.3  # share of groups with signal: below, do not train; from here on, do
PROBE_SEED = 1_500_000_007  # apart from every training step's and the evaluation's


@dataclass(frozen=True, slots=True)
class Played:
    """One task played some times.

    Attributes:
        stage: ``screen`` for a group like those of training, ``escalate`` for more of a task.
        index: the train task.
        signal: whether the rewards differ.
        values: the rewards, one a rollout.
        solved, lenient, truncated, tokens: one entry a rollout; ``lenient`` is empty where the
            environment does not report it for every one.
        seconds: this task's part of the time that its round took.
    """

    stage: Literal["screen", "escalate"]
    index: int
    signal: bool
    values: tuple[float, ...]
    solved: tuple[int, ...]
    lenient: tuple[int, ...]
    truncated: tuple[int, ...]
    tokens: tuple[int, ...]
    seconds: float

    @property
    def sampled(self) -> int:
        return len(self.solved)

    def as_record(self) -> dict[str, Any]:
        """A JSON-ready line for the probe's journal."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Played:
        """Read a journal's line back."""
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in record.items()
        }
        return cls(**fields)

    @classmethod
    def of(cls, group: Group, stage: Literal["screen", "escalate"], seconds: float) -> Played:
        rollouts = group.rollouts
        parts = [r.score.parts for r in rollouts]
        reported = all("lenient" in p for p in parts)
        return cls(
            stage,
            group.task.index,
            group.has_signal,
            tuple(group.values),
            tuple(int(r.score.solved) for r in rollouts),
            tuple(int(p["lenient"] > 0) for p in parts) if reported else (),
            tuple(int(r.stop is StopReason.LENGTH) for r in rollouts),
            tuple(r.tokens_written for r in rollouts),
            seconds,
        )


@dataclass(frozen=True, slots=True)
class Round:
    """What to play next.

    Attributes:
        tasks: train tasks, each to be played ``samples`` times.
        kept: how many of them have been played already: a process that was killed while it wrote
            its journal leaves part of a round. It is played again as a whole, so that the rest is
            what it would have been.
    """

    stage: Literal["screen", "escalate"]
    tasks: tuple[int, ...]
    samples: int
    kept: int = 0


def design_of(recipe: Recipe) -> Sequential:
    """The sequential design that a recipe's probe follows."""
    return _design(recipe.probe.groups)


@lru_cache
def _design(groups: int) -> Sequential:
    """One object a design, since it keeps the table of its ends."""
    return Sequential(NO, GO, batch=BATCH, least=LEAST, limit=groups)


def probe_tasks(env: Environment[Any], recipe: Recipe) -> list[int]:
    """Train tasks in the order they are probed: those of the curriculum's pool, shuffled by the
    seed; where there are fewer than the probe may need, they come again.
    """
    pool = max(recipe.stream.pool, recipe.probe.groups)
    size = env.size("train")
    order = np.random.default_rng([recipe.seed, PROBE_SEED]).permutation(min(pool, size or pool))
    return [int(order[i % len(order)]) for i in range(recipe.probe.groups)]


def play_probe(
    policy: Policy,
    env: Environment[Any],
    recipe: Recipe,
    *,
    played: Sequence[Played] = (),
    on_played: Callable[[list[Played]], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Played]:
    """Play until the verdict is clear.

    Args:
        policy: the base model.
        env: whose train tasks are played.
        recipe: its group size, token limit, seed and ``probe`` section decide.
        played: what an interrupted probe has played already; it goes on from there.
        on_played: told what each round played, to keep it.
        on_progress: told (samples so far, samples at most) after each round.

    Returns:
        Everything that was played, in order.

    Raises:
        EnvironmentFault: the environment's code failed.
    """
    done = list(played)
    while (turn := next_round(env, recipe, done)) is not None:
        tasks = [env.task("train", i) for i in turn.tasks]
        start = time.perf_counter()
        groups = play(
            policy,
            env,
            tasks,
            turn.samples,
            max_tokens=recipe.sampling.max_tokens,
            seed=PROBE_SEED + (recipe.seed * 1_000_003 + len(done) - turn.kept) * env.max_turns,
        )
        seconds = (time.perf_counter() - start) / len(groups)
        new = [Played.of(g, turn.stage, seconds) for g in groups[turn.kept :]]
        done += new
        if on_played:
            on_played(new)
        if on_progress:
            on_progress(sum(p.sampled for p in done), most_samples(recipe))
    return done


def most_samples(recipe: Recipe) -> int:
    """How many samples a probe takes at most."""
    escalated = recipe.probe.escalate_tasks * max(recipe.probe.screen, recipe.probe.escalate)
    return recipe.probe.groups * recipe.train.group_size + escalated


def next_round(env: Environment[Any], recipe: Recipe, done: Sequence[Played]) -> Round | None:
    """What to play after ``done``; None where the probe has ended."""
    screened = [p for p in done if p.stage == "screen"]
    n, k = len(screened), sum(p.signal for p in screened)
    kept = n % BATCH
    zone = None if kept else design_of(recipe).zone(k, n)
    if zone is None:
        tasks = probe_tasks(env, recipe)[n - kept :][:BATCH]
        return Round("screen", tuple(tasks), recipe.train.group_size, kept)
    return None if zone == "high" else next(_escalation(recipe, done), None)


def _escalation(recipe: Recipe, done: Sequence[Played]) -> Iterator[Round]:
    """More samples of a few tasks that nothing has solved yet, in two strides."""
    solved, sampled = counts_by_task(done)
    unsolved = [i for i in sampled if i in escalated(done) or not solved[i]]
    for goal in (recipe.probe.screen, recipe.probe.escalate):
        for index in unsolved[: recipe.probe.escalate_tasks]:
            if not solved[index] and sampled[index] < goal:
                yield Round("escalate", (index,), goal - sampled[index])


def escalated(done: Sequence[Played]) -> set[int]:
    """The tasks that were sampled on."""
    return {p.index for p in done if p.stage == "escalate"}


def counts_by_task(done: Sequence[Played]) -> tuple[dict[int, int], dict[int, int]]:
    """How often each task was solved and sampled, in the order of their first group."""
    solved: dict[int, int] = {}
    sampled: dict[int, int] = {}
    for p in done:
        solved[p.index] = solved.get(p.index, 0) + sum(p.solved)
        sampled[p.index] = sampled.get(p.index, 0) + p.sampled
    return solved, sampled
