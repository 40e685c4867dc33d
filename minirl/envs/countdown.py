"""Countdown: reach a target with the given numbers; any correct expression is accepted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import ClassVar

from pydantic import Field, model_validator

from minirl.envs.base import EnvConfig, Environment, opening
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Listed, Universe
from minirl.rewards.answer import LABEL, score_answer, slot_decoys
from minirl.rewards.draws import below
from minirl.rewards.expression import (
    BadExpression,
    Tree,
    evaluate,
    parse_expression,
    render,
    whole_ops,
    whole_tree,
    worked,
)
from minirl.types import Score, Split, Task

OPERATORS = "+-*/"
EXAMPLE_NUMBERS, EXAMPLE_TARGET, EXAMPLE_SOLUTION = (25, 5, 4), 80, "(25 - 5) * 4"
LISTED_UP_TO = 100  # with two numbers from 1..100 there are some 15,000 problems

_RUN = re.compile(r"[0-9(][0-9()+*/\u00d7\u00f7\u2212 \t-]*")


class CountdownConfig(EnvConfig):
    count: int = Field(3, ge=2, le=8)
    """How many numbers are given."""
    low: int = Field(1, ge=1, le=1000)
    """Smallest number."""
    high: int = Field(50, ge=1, le=1000)
    """Largest number."""
    max_target: int = Field(999, ge=1, le=100_000)
    """Largest target."""
    use_all: bool = False
    """Whether each number must be used exactly once, instead of at most once."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""

    @model_validator(mode="after")
    def _ordered(self) -> CountdownConfig:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got low={self.low}, high={self.high}")
        return self


@dataclass(frozen=True, slots=True)
class Problem:
    """Numbers in the order shown, a solution that uses them all, and what that comes to."""

    numbers: tuple[int, ...]
    solution: Tree
    target: int

    @property
    def key(self) -> str:
        return f"{','.join(map(str, sorted(self.numbers)))}->{self.target}"


@register
class Countdown(Environment[CountdownConfig]):
    """Reach a target number with the given numbers and + - * /."""

    name = "countdown"
    Config = CountdownConfig
    levels: ClassVar = {
        "2": {"count": 2, "low": 1, "high": 20, "max_target": 400},
        "3": {"count": 3, "low": 1, "high": 50},
        "4": {"count": 4, "low": 1, "high": 100},
        "5": {"count": 5, "low": 1, "high": 100},
    }

    def task(self, split: Split, index: int) -> Task:
        problem = self._universe.pick(split, index)
        example = None
        if self.config.worked_example:
            shown = f"{EXAMPLE_SOLUTION} = 20 * 4 = 80\n{LABEL} {EXAMPLE_SOLUTION}"
            example = (_question(EXAMPLE_NUMBERS, EXAMPLE_TARGET), shown)
        prompt = opening(self._system, _question(problem.numbers, problem.target), example)
        data = {
            "numbers": list(problem.numbers),
            "target": problem.target,
            "solution": render(problem.solution),
            "worked": worked(problem.solution),
            "key": problem.key,
        }
        return Task(self.label, split, index, prompt, data)

    def gold(self, task: Task) -> str:
        return f"{task.data['worked']}\n{LABEL} {task.data['solution']}"

    def decoys(self, task: Task) -> Sequence[str]:
        target, numbers, right = (task.data[k] for k in ("target", "numbers", "solution"))
        stranger = max(numbers) + 1  # a number that is not given
        fullwidth = right.translate({ord("0") + d: 0xFF10 + d for d in range(10)})
        return (
            *slot_decoys(right, str(numbers[0])),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            f"{LABEL} {EXAMPLE_SOLUTION}",  # the example, copied
            f"{task.data['worked']}",
            f"{LABEL} {target}",
            f"{LABEL} {right} = {target}",
            f"{LABEL} {right} + {numbers[0]} - {numbers[0]}",  # reuses a number
            f"{LABEL} ({right}) * {numbers[0]} / {numbers[0]}",
            f"{LABEL} {target + stranger} - {stranger}",  # uses numbers that are not given
            f"{LABEL} {right} + 0",
            f"{LABEL} ({right}) ** 1",
            f"{LABEL} -(-({right}))",
            f"{LABEL} {numbers[0]} / 0",
            f"{LABEL} {fullwidth}",
            f"{LABEL} ({right})\u00b9",
            f"{LABEL} {right} # {target}",
            f"{LABEL} int({right})",
        )

    def score(self, task: Task, text: str) -> Score:
        def solves(slot: str) -> bool:
            return self._solves(slot, task.data["numbers"], task.data["target"])

        def lenient(whole: str) -> bool:
            return any(solves(run) for run in _RUN.findall(whole)[-8:])

        return score_answer(text, solves, lenient=lenient)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def _solves(self, text: str, numbers: Sequence[int], target: int) -> bool:
        expression = parse_expression(text)
        if isinstance(expression, BadExpression) or expression.value != target:
            return False
        used, given = Counter(expression.numbers), Counter(numbers)
        return used == given if self.config.use_all else used <= given

    @property
    def _system(self) -> str:
        times = "exactly once" if self.config.use_all else "at most once"
        return (
            f"Reach the target with + - * / and parentheses, using each number {times}. "
            f"Give the expression on the last line as '{LABEL} expression'."
        )

    def _fair(self, problem: Problem) -> bool:
        """In range, the target not itself given, and not solved by the example's answer."""
        target = problem.target
        return (
            target <= self.config.max_target
            and target not in problem.numbers
            and not (
                target == EXAMPLE_TARGET and self._solves(EXAMPLE_SOLUTION, problem.numbers, target)
            )
        )

    @cached_property
    def _universe(self) -> Universe[Problem]:
        if self.config.count == 2 and self.config.high - self.config.low < LISTED_UP_TO:
            return Listed(self.name, filter(self._fair, self._pairs()), lambda p: p.key)
        name = f"{self.name} of {self.config.count} numbers"
        return Drawn(name, self._draw, lambda p: p.key, one_stream=True)

    def _draw(self, rng: Random) -> Problem | None:
        low, high = self.config.low, self.config.high
        span = high - low + 1
        numbers = tuple([low + below(rng, span) for _ in range(self.config.count)])
        drawn = whole_tree(rng, numbers, OPERATORS, self.config.max_target)
        if drawn is None:  # most draws of many numbers end here
            return None
        problem = Problem(numbers, *drawn)
        return problem if self._fair(problem) else None

    def _pairs(self) -> Iterator[Problem]:
        span = range(self.config.low, self.config.high + 1)
        for a in span:
            for b in span:
                for tree in whole_ops(a, b, OPERATORS):
                    target = int(evaluate(tree))
                    yield Problem((a, b), tree, target)
                    yield Problem((b, a), tree, target)


def _question(numbers: Sequence[int], target: int) -> str:
    return f"Numbers: {', '.join(map(str, numbers))}. Target: {target}."
