"""Integer arithmetic, from one-digit sums to chained expressions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from random import Random
from typing import ClassVar

from pydantic import Field, field_validator

from minirl.envs.base import EnvConfig, Environment, opening
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Listed, Universe
from minirl.rewards.answer import LABEL, parse_integer, score_answer, slot_decoys
from minirl.rewards.expression import Op, Tree, canonical, evaluate, random_tree, render, worked
from minirl.types import Score, Split, Task

SYSTEM = "Solve the problem. Give the result on the last line as 'Answer: number'."
LISTED_UP_TO = 50_000


class ArithmeticConfig(EnvConfig):
    left: tuple[int, int] = (10, 99)
    """Range of the first number, both ends included."""
    right: tuple[int, int] = (1, 9)
    """Range of every other number, both ends included."""
    operators: str = Field("+", pattern=r"^[-+*]+$")
    """What to choose among: any of `+`, `-` and `*`, written together."""
    terms: int = Field(2, ge=2, le=6)
    """How many numbers one problem has; from 3 on their order and the parentheses are random."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""

    @field_validator("left", "right")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        low, high = value
        if not 0 <= low <= high < 10**5:  # six factors then fit parse_integer's 30 digits
            raise ValueError(f"left and right need 0 <= low <= high < 10^5, got [{low}, {high}]")
        return value


@register
class Arithmetic(Environment[ArithmeticConfig]):
    """Integer arithmetic: sums, differences, products, chains."""

    name = "arithmetic"
    Config = ArithmeticConfig
    levels: ClassVar = {
        "1": {"left": (0, 9), "right": (0, 9)},
        "2": {"left": (10, 99), "right": (1, 9)},
        "3": {"left": (10, 99), "right": (10, 99), "operators": "+-"},
        "4": {"left": (10, 99), "right": (2, 9), "operators": "*"},
        "5": {"left": (1, 20), "right": (1, 20), "operators": "+-*", "terms": 4},
    }

    def task(self, split: Split, index: int) -> Task:
        tree = self._universe.pick(split, index)
        example = _dialogue(self._example) if self.config.worked_example else None
        question = _dialogue(tree)[0]
        data = {
            "problem": render(tree),
            "worked": worked(tree),
            "answer": int(evaluate(tree)),
            "key": canonical(tree),
        }
        return Task(self.label, split, index, opening(SYSTEM, question, example), data)

    def gold(self, task: Task) -> str:
        return f"{task.data['worked']}\n{LABEL} {task.data['answer']}"

    def decoys(self, task: Task) -> Sequence[str]:
        problem, answer = task.data["problem"], task.data["answer"]
        fullwidth = str(answer).translate({ord("0") + d: 0xFF10 + d for d in range(10)})
        return (
            *slot_decoys(str(answer), str(answer + 1)),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            _dialogue(self._example)[1],  # the example, copied
            f"{problem} = {answer + 1}\n{LABEL} {answer + 1}",
            f"{problem} = {answer}",
            f"{LABEL} {problem}",
            f"{LABEL} {problem} = {answer}",
            f"{LABEL} {answer}.0",
            f"{LABEL} +{answer}",
            f"{LABEL} 0{answer}",
            f"{LABEL} {fullwidth}",
            f"{LABEL} " + " ".join(str(answer + d) for d in range(-5, 6)),
            f"{LABEL} number",
            f"{LABEL} nan",
            f"{LABEL} 1e999",
        )

    def score(self, task: Task, text: str) -> Score:
        return score_answer(text, lambda slot: parse_integer(slot) == task.data["answer"])

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    @cached_property
    def _example(self) -> Tree:
        if self.config.terms > 2:
            return Op("+", Op("*", Op("-", 7, 2), 3), 4)
        return Op(self.config.operators[0], 31, 4)

    @cached_property
    def _universe(self) -> Universe[Tree]:
        left, right = (range(low, high + 1) for low, high in (self.config.left, self.config.right))
        operators = "".join(sorted(set(self.config.operators)))
        banned = evaluate(self._example)  # else copying the example would sometimes be right

        def draw(rng: Random) -> Tree | None:
            numbers = [rng.choice(left), *(rng.choice(right) for _ in range(self.config.terms - 1))]
            if self.config.terms == 2:
                tree: Tree = Op(rng.choice(operators), *numbers)
            else:
                tree = random_tree(rng, numbers, operators)
            return None if evaluate(tree) == banned else tree

        if self.config.terms > 2 or len(left) * len(right) * len(operators) > LISTED_UP_TO:
            return Drawn(self.name, draw, canonical)
        every = (Op(o, a, b) for o in operators for a in left for b in right)
        return Listed(self.name, (t for t in every if evaluate(t) != banned), canonical)


def _dialogue(tree: Tree) -> tuple[str, str]:
    """The question as the prompt asks it, and the completion the model should write."""
    return f"What is {render(tree)}?", f"{worked(tree)}\n{LABEL} {evaluate(tree)}"
