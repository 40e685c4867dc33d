"""The prompts of `benchmarks.grpo` and `benchmarks.rollout`: sums of two numbers, in three ways."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import Field

from minirl.envs import EnvConfig, Environment, make_env, opening, task_rng
from minirl.types import Message, Score, Split, Task

Kind = Literal["short", "long", "fewshot"]

SYSTEM = "Solve the problem."  # none at all, and SmolLM2's template writes a longer one of its own
WHO = ("The miller", "A sailor", "My aunt", "The teacher", "An old farmer", "The baker", "A guard")
DOES = ("walked to", "painted", "asked about", "looked for", "wrote about", "left", "came back to")
WHAT = (
    "the harbour",
    "a red barn",
    "the market",
    "the northern road",
    "a quiet garden",
    "the mill",
)
WHEN = ("before sunrise", "in the rain", "with two friends", "late in May", "after the long winter")


class SumsConfig(EnvConfig):
    examples: int = Field(1, ge=0)
    """Worked examples before the question, the same ones in every prompt."""
    sentences: int = Field(0, ge=0)
    """Sentences of a passage before the question, drawn anew for every task."""


# Of about 60, 400 and 400 tokens of SmolLM2's. A worked example stands in each of them: without one
# the small model solves nothing, every advantage is zero, and a step has nothing to compute.
SIZES: dict[Kind, dict[str, int]] = {
    "short": {},
    "long": {"sentences": 32},
    "fewshot": {"examples": 10},
}


def env_section(kind: Kind, size: int | None = None) -> dict[str, Any]:
    """A recipe's ``env`` for one kind of prompt; ``size`` counts its sentences or its examples."""
    options = SIZES[kind] if size is None else dict.fromkeys(SIZES[kind], size)
    return {"name": f"{Path(__file__).resolve()}:Sums", "options": options}


class Sums(Environment[SumsConfig]):
    """The sums of `arithmetic:2`, scored by it, in prompts of the length that is asked for."""

    name = "benchmark_sums"
    Config = SumsConfig

    @cached_property
    def _sums(self) -> Environment[Any]:
        return make_env("arithmetic:2", {"worked_example": False})

    def task(self, split: Split, index: int) -> Task:
        sums = self._sums.task(split, index)
        question = sums.prompt[-1].content
        passage = self._passage(task_rng(self.name, split, index))
        asked = Message("user", f"{passage}\n{question}" if passage else question)
        prompt = (*opening(SYSTEM, question)[:1], *self._worked, asked)
        return Task(self.label, split, index, prompt, sums.data)

    def gold(self, task: Task) -> str:
        return str(self._sums.gold(task))

    def decoys(self, task: Task) -> Sequence[str]:
        return [str(decoy) for decoy in self._sums.decoys(task)]

    def score(self, task: Task, text: str) -> Score:
        return self._sums.score(task, text)

    def size(self, split: Split) -> int | None:
        return self._sums.size(split)

    @cached_property
    def _worked(self) -> tuple[Message, ...]:
        """Held-out tasks with their solutions, so that none of them is ever asked."""
        turns: list[Message] = []
        for index in range(self.config.examples):
            task = self._sums.task("test", index)
            turns += [task.prompt[-1], Message("assistant", str(self._sums.gold(task)))]
        return tuple(turns)

    def _passage(self, rng: Random) -> str:
        return " ".join(
            f"{rng.choice(WHO)} {rng.choice(DOES)} {rng.choice(WHAT)} {rng.choice(WHEN)}."
            for _ in range(self.config.sentences)
        )
