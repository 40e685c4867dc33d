"""The run's held-out tasks, played by an export and by the model that was trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minirl.config import Recipe
from minirl.envs.base import Environment
from minirl.measure.evaluate import SAMPLING_SEED
from minirl.rollout import Policy, play
from minirl.stats import Difference, Rate, clustered_rate, paired_difference
from minirl.types import Group, Task

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Played:
    """One policy on the tasks, an attempt each, always taking the likeliest token.

    Attributes:
        solved: solved rate.
        called: share of the episodes with at least one tool call that could be read; None where
            the environment has no tools.
        tokens_per_second: written tokens by the wall clock.
    """

    groups: tuple[Group, ...]
    solved: Rate
    called: float | None
    tokens_per_second: float


def play_greedily(
    policy: Policy,
    env: Environment[Any],
    tasks: Sequence[Task],
    recipe: Recipe,
    *,
    batch: int,
    on_progress: Progress | None = None,
) -> Played:
    """Play each task once, ``batch`` at a time; the policy's temperature is the caller's choice."""
    began = time.monotonic()
    groups: list[Group] = []
    for start in range(0, len(tasks), batch):
        part = tasks[start : start + batch]
        limit = recipe.sampling.max_tokens
        groups += play(policy, env, part, 1, max_tokens=limit, seed=SAMPLING_SEED + start)
        if on_progress:
            on_progress(len(groups), len(tasks))
    rollouts = [r for g in groups for r in g.rollouts]
    has_tools = bool(env.episode(tasks[0]).tools)
    called = [any(m.tool_calls for m in r.messages) for r in rollouts]
    return Played(
        groups=tuple(groups),
        solved=clustered_rate([(g.solved, 1) for g in groups]),
        called=sum(called) / len(called) if has_tools else None,
        tokens_per_second=sum(r.tokens_written for r in rollouts)
        / max(time.monotonic() - began, 1e-9),
    )


def difference(trained: Played, exported: Played, *, seed: int) -> Difference:
    """Exported minus trained, paired by task."""
    return paired_difference(
        [(g.solved, 1) for g in trained.groups],
        [(g.solved, 1) for g in exported.groups],
        seed=seed,
    )
