"""An environment and a policy of known success probability, at the real engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from minirl.envs.base import EnvConfig, Environment, Turns, task_rng
from minirl.errors import UnknownGold
from minirl.rollout import ScriptedPolicy
from minirl.types import Message, Request, Sample, Score, Split, StopReason, Task


class CoinPolicy(ScriptedPolicy):
    """Solves a task with the probability that ``chance`` gives it, else answers nonsense.

    Args:
        chance: of a task's index.
        nonsense: what it writes where it does not solve.
    """

    def __init__(
        self, env: Environment[Any], chance: Callable[[int], float], nonsense: str = "no idea"
    ) -> None:
        super().__init__(env, "gold")
        self._chance = chance
        self._nonsense = (*nonsense.encode(), 256)

    def _sample(self, request: Request, rng: Random, k: int) -> Sample:
        if rng.random() < self._chance(request.task.index):
            return super()._sample(request, rng, k)
        ids = self._nonsense[: request.max_tokens]
        cut = len(self._nonsense) > request.max_tokens
        return Sample(ids, (0.0,) * len(ids), StopReason.LENGTH if cut else StopReason.EOS)


class Coin(Environment[EnvConfig]):
    """Tasks without content: "yes" solves them. It has no levels."""

    name = "coin"

    def __init__(self, tasks: int | None = None) -> None:
        super().__init__(EnvConfig())
        self._tasks = tasks

    def size(self, split: Split) -> int | None:
        return self._tasks

    def task(self, split: Split, index: int) -> Task:
        return Task("coin", split, index, (Message("user", "?"),), {})

    def gold(self, task: Task) -> str | Sequence[str]:
        return "yes"

    def score(self, task: Task, text: str) -> Score:
        return Score(float(text == "yes"), text == "yes")


class Unsaid(Coin):
    """The same, and the environment does not know its answers."""

    def gold(self, task: Task) -> Turns:
        raise UnknownGold("nobody wrote it down")


class Dense(Coin):
    """Pays for length too, so that groups of unsolved rollouts can differ."""

    def score(self, task: Task, text: str) -> Score:
        return Score(1.0, True) if text == "yes" else Score(min(len(text), 9) / 10, False)


class Wordy(CoinPolicy):
    """Never solves a task, in as many words as chance has it."""

    def __init__(self, env: Environment[Any]) -> None:
        super().__init__(env, same(0.0))

    def _sample(self, request: Request, rng: Random, k: int) -> Sample:
        self._nonsense = (*b"no" * rng.randrange(1, 5), 256)
        return super()._sample(request, rng, k)


def same(p: float) -> Callable[[int], float]:
    """Every task alike."""
    return lambda _: p


def half(p: float, q: float, *, seed: int = 0) -> Callable[[int], float]:
    """Half of the tasks one way, half the other, at random."""
    return mixed(0.5, p, q, seed=seed)


def mixed(share: float, p: float, q: float, *, seed: int = 0) -> Callable[[int], float]:
    """That share of tasks one way, the others another, at random."""
    return lambda index: p if task_rng("mixed", seed, index).random() < share else q


def beta(a: float, b: float, *, seed: int = 0) -> Callable[[int], float]:
    """Each task's probability drawn from Beta(a, b)."""
    return lambda index: task_rng("beta", seed, index).betavariate(a, b)
