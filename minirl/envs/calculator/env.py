"""The environment: problems beyond mental reach, a calculator, and a strict answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from operator import attrgetter
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from minirl.envs.base import Environment, Turns
from minirl.envs.calculator.functions import TOOLSETS, number_text, rounded
from minirl.envs.calculator.problems import PLACES, Problem, Quantity, fair, products, steps
from minirl.envs.registry import register
from minirl.envs.tool_calls import tool_call_text
from minirl.envs.tools import ToolConfig, ToolEpisode, tool_preface
from minirl.envs.universe import Drawn
from minirl.rewards.answer import LABEL, parse_integer, score_answer, slot_decoys
from minirl.rewards.expression import Op, Tree, random_tree, render
from minirl.types import Message, Score, Split, Task

SYSTEM = f"Use the tools. Give the result on the last line as '{LABEL} number'."
# Of the worked examples, which come in this order.
_FACTORS = ((218, 453), (640, 175), (512, 308), (731, 264))
_SMALL_FACTORS = ((21, 45), (37, 89), (64, 75), (51, 30))
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,2})?")


class CalculatorConfig(ToolConfig):
    tool: Literal["expression", "binary"] = "expression"
    """The calculator: one that takes a whole expression, or five tools that take two numbers."""
    form: Literal["chain", "share", "compare"] = "chain"
    """What is asked: the value of an expression, a percentage of one, the larger of two values."""
    terms: int = Field(2, ge=2, le=6)
    """How many numbers an expression has; two are always a product."""
    largest: int = Field(999, ge=30, le=9999)
    """Largest number in an expression; the smallest is a tenth of it."""
    max_turns: int = Field(3, ge=1, le=64)
    """How often the model may speak, the final answer included."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""
    more_examples: int = Field(0, ge=0, le=3)
    """How many further solved problems follow the first: each makes a well-formed call likelier."""


@register
class Calculator(Environment[CalculatorConfig]):
    """Arithmetic beyond mental reach, with a calculator as a tool.

    Only the answer counts; whether a tool was used is a logged part (``calls``).
    """

    name = "calculator"
    Config = CalculatorConfig
    max_turns = 3
    levels: ClassVar = {
        "0": {"largest": 99, "more_examples": 1, "max_turns": 2},
        "1": {},
        "2": {"terms": 4, "max_turns": 4},
        "3": {"tool": "binary", "terms": 3, "max_turns": 6},
        "4": {"tool": "binary", "form": "share", "terms": 3, "max_turns": 9},
        "5": {"tool": "binary", "form": "compare", "terms": 3, "max_turns": 14},
    }

    def __init__(self, config: CalculatorConfig, *, level: str | None = None) -> None:
        super().__init__(config, level=level)
        self.max_turns = config.max_turns
        self._toolset = TOOLSETS[config.tool]
        self._native = config.tool_format == "template"

    def task(self, split: Split, index: int) -> Task:
        problem = self._universe.pick(split, index)
        prompt = (*self._preface, Message("user", problem.question))
        data = {
            "answer": problem.answer,
            "whole": problem.is_whole,
            "turns": self._turns(problem),
            "key": problem.key,
        }
        return Task(self.label, split, index, prompt, data)

    def episode(self, task: Task) -> ToolEpisode[None]:
        def judge(_: None, text: str) -> Score:
            return score_answer(text, lambda slot: _is_right(slot, task))

        return ToolEpisode(task, self._toolset, None, judge, native=self._native)

    def gold(self, task: Task) -> Turns:
        return tuple(task.data["turns"])

    def alternatives(self, task: Task) -> Sequence[Turns]:
        *calls, last = task.data["turns"]
        return (
            last,  # without a tool: only the answer counts
            (f"Let me calculate.\n{calls[0]}", f"So that is it.\n{last}"),
            (calls[0] * 2, last),
            ("<tool_call>", last),  # a failed call is no failure of the answer
            *([] if task.data["whole"] else [f"{LABEL} {_padded(task.data['answer'])}"]),
        )

    def decoys(self, task: Task) -> Sequence[Turns]:
        *calls, last = task.data["turns"]
        answer = task.data["answer"]
        near = number_text(Fraction(answer) + 1)
        return (
            *slot_decoys(answer, near),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            *(turns for _, _, turns in self._shown),  # an example, copied
            *(turns[-1] for _, _, turns in self._shown),
            tuple(calls),  # the right calls, and no answer
            (f"{calls[0]}\n{last}",),  # an answer beside a call is not final
            (*calls, f"{LABEL} {near}"),
            (*calls, answer),
            (*calls, f"{last}\n{last}"),
            f"{LABEL} {task.prompt[-1].content}",
            f"{LABEL} +{answer}",
            f"{LABEL} 0{answer}",
            f"{LABEL} {answer}e0",
            f"{LABEL} {tool_call_text('calculate', expression=answer)}",
            f"{LABEL} -{answer.removeprefix('-')}" if answer[0] != "-" else f"{LABEL} {answer[1:]}",
            f"{LABEL} nan",
            f"{LABEL} 1e999",
        )

    def shifted(self, task: Task, rng: Random) -> tuple[Task, Turns] | None:
        """So many more: the answer grows by as many."""
        if not task.data["whole"]:
            return None
        more = rng.randint(1, 99)
        answer = str(int(task.data["answer"]) + more)
        *before, question = task.prompt
        asked = question.content.replace("What is ", f"What is {more} + ")
        prompt = (*before, Message("user", asked))
        data = {**task.data, "answer": answer, "key": f"{more} + {task.data['key']}"}
        return Task(task.env, task.split, task.index, prompt, data), f"{LABEL} {answer}"

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def _turns(self, problem: Problem) -> list[str]:
        """The calls that solve ``problem``, one a turn, and the answer."""
        if self.config.tool == "expression" and problem.is_whole:
            calls = [
                tool_call_text("calculate", expression=render(q.tree)) for q in problem.quantities
            ]
        else:
            calls = steps(problem)
        return [*calls, f"{LABEL} {problem.answer}"]

    @cached_property
    def _preface(self) -> tuple[Message, ...]:
        examples = self._shown if self.config.worked_example else []
        return tool_preface(SYSTEM, self._toolset, native=self._native, examples=examples)

    @cached_property
    def _shown(self) -> list[tuple[str, None, list[str]]]:
        """The worked examples: the question of each, and the turns that solve it."""
        shown = self._examples[: 1 + self.config.more_examples]
        return [(problem.question, None, self._turns(problem)) for problem in shown]

    @cached_property
    def _examples(self) -> list[Problem]:
        factors = _SMALL_FACTORS if self.config.largest < 100 else _FACTORS
        return [self._example(*pair) for pair in factors]

    def _example(self, left: int, right: int) -> Problem:
        tree: Tree = Op("*", left, right)
        more = (("+", 170), ("-", 96), ("+", 235), ("-", 412))
        for operator, number in more[: self.config.terms - 2]:
            tree = Op(operator, tree, number)
        quantity = Quantity(tree, tenths=None if self.config.form == "chain" else 224)
        if self.config.form == "compare":
            return Problem((quantity, Quantity(Op("*", 187, 305), divisor=7)))
        return Problem((quantity,))

    @cached_property
    def _universe(self) -> Drawn[Problem]:
        name = f"{self.name} {self.config.form}"
        return Drawn(name, self._draw, attrgetter("key"), self._is_fair)

    def _is_fair(self, problem: Problem) -> bool:
        """Copying an example must not be right, besides."""
        return fair(problem) and rounded(problem.value, PLACES) not in self._copied

    @cached_property
    def _copied(self) -> frozenset[Fraction]:
        """What copying an example would answer."""
        return frozenset(rounded(example.value, PLACES) for example in self._examples)

    def _draw(self, rng: Random) -> Problem | None:
        share = None if self.config.form == "chain" else rng.randint(11, 989)
        quantities = [Quantity(self._tree(rng), tenths=share)]
        if self.config.form == "compare":
            divisor = rng.choice((3, 6, 7, 9, 11, 13))
            quantities.append(Quantity(self._tree(rng), divisor=divisor))
            rng.shuffle(quantities)
        beyond_mental = all(1 <= products(q.tree) <= 2 for q in quantities)
        return Problem(tuple(quantities)) if beyond_mental else None

    def _tree(self, rng: Random) -> Tree:
        high = self.config.largest
        numbers = [rng.randint(high // 10 + 1, high) for _ in range(self.config.terms)]
        if self.config.terms == 2:
            return Op("*", *numbers)
        return random_tree(rng, numbers, "+-*")


def _is_right(slot: str, task: Task) -> bool:
    if task.data["whole"]:
        return parse_integer(slot) == int(task.data["answer"])
    return bool(_DECIMAL.fullmatch(slot)) and Fraction(slot) == Fraction(task.data["answer"])


def _padded(answer: str) -> str:
    """``answer`` with all its decimals: 12.5 as 12.50."""
    whole, _, decimals = answer.partition(".")
    return f"{whole}.{decimals:0<{PLACES}}"
