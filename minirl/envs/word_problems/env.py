"""Word problems in the manner of GSM8K, without end and without a download."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from random import Random
from typing import ClassVar

from pydantic import Field, field_validator

from minirl.envs.base import EnvConfig, Environment, opening
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Universe
from minirl.envs.word_problems import home, world
from minirl.envs.word_problems.story import Problem, tell
from minirl.rewards.answer import LABEL, score_answer, slot_decoys
from minirl.rewards.draws import below
from minirl.rewards.quantity import QUANTITY, parse_quantity
from minirl.types import Score, Split, Task

SYSTEM = f"Solve the problem step by step. Give the result on the last line as '{LABEL} number'."
EXAMPLE_ANSWER = 65
EXAMPLE = (
    "A box holds 6 red pencils and 4 blue pencils. Ruth buys 8 boxes and gives away 15 pencils. "
    "How many pencils does she keep?",
    "6 + 4 = 10 pencils in a box.\n10 * 8 = 80 pencils.\n80 - 15 = 65 pencils.\n"
    f"{LABEL} {EXAMPLE_ANSWER}",
)
FAMILIES = {
    family.name: family
    for family in (
        home.SHOPPING,
        home.SAVINGS,
        home.SHARING,
        home.AGES,
        home.BAKING,
        world.TRAVEL,
        world.FARM,
        world.FACTORY,
        world.READING,
        world.SCHOOL,
        world.TANK,
        world.GAME,
    )
}


class WordProblemsConfig(EnvConfig):
    steps: tuple[int, int] = (2, 3)
    """How many calculations a problem takes, both ends included; 1 to 8."""
    largest: int = Field(50, ge=10, le=1000)
    """Largest number in a problem's text, but for round sums and goals that follow from others."""
    distractors: int = Field(0, ge=0, le=3)
    """Sentences with a number that has nothing to do with the question."""
    families: tuple[str, ...] = tuple(FAMILIES)
    """What the problems are about: any of shopping, savings, sharing, ages, baking, travel, farm,
    factory, reading, school, tank, game.
    """
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""

    @field_validator("steps")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        low, high = value
        if not 1 <= low <= high <= 8:
            raise ValueError(f"steps need 1 <= low <= high <= 8, got [{low}, {high}]")
        return value

    @field_validator("families")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in FAMILIES]
        if unknown or not value:
            raise ValueError(f"families must be some of {', '.join(FAMILIES)}; got {list(value)}")
        return value


@register
class WordProblems(Environment[WordProblemsConfig]):
    """Arithmetic word problems of 1 to 8 steps, in the manner of GSM8K.

    The answer is a whole number above zero. The slot takes every unambiguous spelling of it:
    ``1234``, ``1,234``, ``$1,234`` or ``1234.00``, and refuses units (see
    :func:`minirl.rewards.quantity.parse_quantity`).
    """

    name = "word_problems"
    Config = WordProblemsConfig
    levels: ClassVar = {
        "1": {"steps": (1, 2), "largest": 20},
        "2": {"steps": (2, 3), "largest": 50},
        "3": {"steps": (3, 4), "largest": 100},
        "4": {"steps": (4, 6), "largest": 100, "distractors": 1},
        "5": {"steps": (6, 8), "largest": 200, "distractors": 2},
    }

    def task(self, split: Split, index: int) -> Task:
        problem = self._universe.pick(split, index)
        example = EXAMPLE if self.config.worked_example else None
        data = {
            "answer": problem.answer,
            "steps": list(problem.steps),
            "family": problem.family,
            "key": problem.key,
        }
        return Task(self.label, split, index, opening(SYSTEM, problem.question, example), data)

    def gold(self, task: Task) -> str:
        return "\n".join([*task.data["steps"], f"{LABEL} {task.data['answer']}"])

    def decoys(self, task: Task) -> Sequence[str]:
        return quantity_decoys(task, EXAMPLE[1])

    def score(self, task: Task, text: str) -> Score:
        return score_quantity(task, text)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    @cached_property
    def _universe(self) -> Universe[Problem]:
        config = self.config
        families = [FAMILIES[name] for name in config.families]
        low, high = config.steps

        def draw(rng: Random) -> Problem | None:
            problem = tell(
                rng,
                families,
                steps=low + below(rng, high - low + 1),
                asides=config.distractors,
                largest=config.largest,
            )
            # else copying the example would sometimes be right
            return None if problem is None or problem.answer == EXAMPLE_ANSWER else problem

        name = f"{self.name} of {low} to {high} steps, numbers up to {config.largest}"
        name += f", {config.distractors} distractors" if config.distractors else ""
        name += "" if len(families) == len(FAMILIES) else f", {'/'.join(config.families)}"
        return Drawn(name, draw, lambda problem: problem.key, one_stream=True)


def score_quantity(task: Task, text: str) -> Score:
    """Whether the slot holds ``task.data["answer"]``, a whole number, in any unambiguous form."""
    answer = task.data["answer"]
    return score_answer(text, lambda slot: parse_quantity(slot) == answer, lenient=QUANTITY)


def quantity_decoys(task: Task, example: str) -> tuple[str, ...]:
    """Completions that must score 0 where the answer is the whole number
    ``task.data["answer"]``.

    Args:
        example: the worked example's completion; its answer must not be the task's.
    """
    answer = task.data["answer"]
    fullwidth = str(answer).translate({ord("0") + d: 0xFF10 + d for d in range(10)})
    return (
        *slot_decoys(str(answer), str(answer + 1)),
        "\n".join(m.content for m in task.prompt),  # the prompt, echoed
        example,  # the example, copied
        f"The answer is {answer}.",
        f"{LABEL} {answer} apples",
        f"{LABEL} {answer}%",
        f"{LABEL} {answer}.5",
        f"{LABEL} {answer}.000",
        f"{LABEL} {answer},0",
        f"{LABEL} 0{answer}",
        f"{LABEL} +{answer}",
        f"{LABEL} {answer - 1} + 1",
        f"{LABEL} {fullwidth}",
        f"{LABEL} " + " ".join(str(answer + d) for d in range(-5, 6)),
        f"{LABEL} number",
        f"{LABEL} nan",
        f"{LABEL} 1e999",
    )
