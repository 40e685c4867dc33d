"""Which task next: in order, or a curriculum over each task's Beta posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minirl.config import StreamConfig
from minirl.envs.base import Environment
from minirl.types import Group, Task

PRIOR = 0.5  # Jeffreys' Beta(1/2, 1/2)
DISCOUNT = 0.5  # how much of the old evidence a new visit keeps: the policy has moved on since
PROBE_WEIGHT = 2.0  # samples that a probe's fit across tasks counts for in each of them
_STRETCH = 1_000_000  # tasks between the starts of two seeds' walks


class TaskStream:
    """Draws training tasks and learns from their groups.

    ``uniform`` walks through the train split in an order that the seed decides. ``curriculum``
    draws p ~ Beta(a, b) for every task of a pool and takes those nearest 1/2, where a group's
    chance of carrying signal is largest (MoPPS, arXiv 2507.04632; success variance bounds
    improvement, 2504.03380).

    A draw depends on (seed, step, round) and the state alone, so a resumed run draws what an
    unbroken one would.
    """

    def __init__(self, env: Environment[Any], config: StreamConfig, *, seed: int) -> None:
        self._env = env
        self._config = config
        self._seed = seed
        self._next = 0
        self._size = env.size("train")
        self._pool = config.pool if self._size is None else min(config.pool, self._size)
        self._prior = (PRIOR, PRIOR)
        self._lap = -1
        self._order = np.empty(0, dtype=np.int64)
        self._a = np.full(self._pool, PRIOR)
        self._b = np.full(self._pool, PRIOR)

    def begin_from(self, probe: Mapping[str, Any]) -> None:
        """Take a probe's findings (probe.json) as priors of the curriculum.

        Every task begins at the probe's fit across tasks, tempered to the weight of
        :data:`PROBE_WEIGHT` samples, since a single task may well differ from the rest; those that
        were sampled take their counts on top, tempered to one group, since the policy moves on.
        """
        fit, group = probe["fit"], probe["group_size"]
        weight = min(1.0, PROBE_WEIGHT / (fit["alpha"] + fit["beta"]))
        self._prior = (weight * fit["alpha"], weight * fit["beta"])
        self._a[:], self._b[:] = self._prior
        for task in probe["tasks"]:
            if task["index"] < self._pool:
                share = min(1.0, group / task["sampled"])
                self._a[task["index"]] += share * task["solved"]
                self._b[task["index"]] += share * (task["sampled"] - task["solved"])

    def draw(
        self, n: int, *, step: int, round_: int = 0, exclude: Sequence[int] = ()
    ) -> list[Task]:
        """``n`` train tasks. ``exclude`` holds indices that this step has drawn already."""
        if self._config.strategy == "uniform":
            indices = [self._at(position) for position in range(self._next, self._next + n)]
            self._next += n
        else:
            rng = np.random.default_rng([self._seed, step, round_])
            distance = np.abs(rng.beta(self._a, self._b) - 0.5)
            # Where nothing is ever solved all draws are 0, and the first tasks would always win.
            order = [int(i) for i in np.lexsort((rng.random(self._pool), distance))]
            fresh = [i for i in order if i not in set(exclude)]
            indices = (fresh or order)[:n]
            indices += [indices[k % len(indices)] for k in range(n - len(indices))]
        return [self._env.task("train", i) for i in indices]

    def _at(self, position: int) -> int:
        """The task at a position of the seed's walk: every task once before any comes again."""
        if self._size is None:  # no end of tasks: each seed has a stretch of its own
            return self._seed * _STRETCH + position
        lap, place = divmod(position, self._size)
        if lap != self._lap:
            rng = np.random.default_rng([self._seed, lap])
            self._lap, self._order = lap, rng.permutation(self._size)
        return int(self._order[place])

    def update(self, groups: Sequence[Group]) -> None:
        """Take in what was solved, older evidence discounted."""
        for group in groups:
            i = group.task.index
            if i < self._pool:
                a, b = self._prior
                failed = len(group.rollouts) - group.solved
                self._a[i] = a + DISCOUNT * (self._a[i] - a) + group.solved
                self._b[i] = b + DISCOUNT * (self._b[i] - b) + failed

    def state(self) -> dict[str, Any]:
        """JSON-ready; exact, since Python writes floats so that they read back the same."""
        a, b = self._a.tolist(), self._b.tolist()
        return {"next": self._next, "prior": list(self._prior), "a": a, "b": b}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`, whatever :meth:`begin_from` has read since."""
        self._next = int(state["next"])
        a, b = state.get("prior", (PRIOR, PRIOR))  # without a probe it was Jeffreys', once unsaid
        self._prior = (float(a), float(b))
        self._a = np.asarray(state["a"], dtype=float)
        self._b = np.asarray(state["b"], dtype=float)
