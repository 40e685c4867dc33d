"""The control arm: coin flips in place of the verifier's scores.

Some of what training gains it gains with any reward: form, or luck with a model's habits (Shao et
al. 2025, "Spurious Rewards", arXiv 2506.10947). Rewards that say nothing show how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from minirl.envs.base import task_rng
from minirl.types import Group


def flipped(groups: Sequence[Group], *, seed: int, step: int, round_: int) -> list[Group]:
    """The groups with rewards of 0 or 1 at even odds; what was solved stays as it was judged."""
    return [
        replace(
            group,
            rollouts=tuple(
                replace(r, score=replace(r.score, value=float(rng.random() < 0.5)))
                for r in group.rollouts
            ),
        )
        for group in groups
        for rng in [task_rng("coin", seed, step, round_, group.task.id)]
    ]
