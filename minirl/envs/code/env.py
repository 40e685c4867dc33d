"""Code with hidden tests: a function is asked for, and run on inputs drawn after it was written.

The program runs in :mod:`minirl.sandbox` and never in this process. It sees arguments and nothing
else: what is right is computed here, by the reference, and compared here, by exact types. The
inputs come from a seed that mixes the problem with the program's own digest, so that no program
can have been written for them, while the score stays a pure function of task and text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import ClassVar

from pydantic import Field

from minirl.envs.base import EnvConfig, Environment, opening, task_rng
from minirl.envs.code.answer import Submission, fenced, read_submission
from minirl.envs.code.cheats import cheats
from minirl.envs.code.draws import Style, draw_problem
from minirl.envs.code.inputs import Arguments
from minirl.envs.code.problem import (
    FUNCTION,
    Problem,
    Step,
    from_record,
    hidden_inputs,
    is_sound,
    key_of,
)
from minirl.envs.code.statement import SYSTEM, statement
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Universe
from minirl.sandbox import Job, Limits, Outcome, run_jobs, same_value
from minirl.types import Score, Split, Task

LIMITS = Limits(cpu_s=1.0, wall_s=3.0)

# One solved problem a style; none of them is ever a task.
EXAMPLES: dict[Style, Problem] = {
    "arithmetic": Problem((Step("times", (6,)), Step("plus", (25,)))),
    "chain": Problem((Step("keep_above", (4,)), Step("sum"))),
    "algorithm": Problem((Step("run_lengths"), Step("backwards"))),
    "dynamic": Problem((Step("stretch"), Step("times", (2,)))),
}


class CodeConfig(EnvConfig):
    style: Style = "chain"
    """What is asked for: plain `arithmetic`, a `chain` of simple operations on lists and strings,
    or a chain with one step that needs an `algorithm` or `dynamic` programming."""
    steps: int = Field(2, ge=2, le=5)
    """How many steps a problem has; in `arithmetic` at most that many."""
    tests: int = Field(12, ge=6, le=60)
    """On how many hidden inputs a program is run, at least; all must come out right."""
    examples: int = Field(2, ge=1, le=5)
    """How many example calls the statement shows."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""


@register
class Code(Environment[CodeConfig]):
    """Write a Python function; hidden tests decide."""

    name = "code"
    Config = CodeConfig
    levels: ClassVar = {
        "1": {"style": "arithmetic", "steps": 2},
        "2": {"style": "chain", "steps": 2},
        "3": {"style": "chain", "steps": 3},
        "4": {"style": "chain", "steps": 4},
        "5": {"style": "algorithm", "steps": 3},
        "6": {"style": "dynamic", "steps": 3},
    }

    def task(self, split: Split, index: int) -> Task:
        problem = self._universe.pick(split, index)
        example = None
        if self.config.worked_example:
            shown = EXAMPLES[self.config.style]
            example = (statement(shown, self.config.examples), fenced(shown.source()))
        prompt = opening(SYSTEM, statement(problem, self.config.examples), example)
        data = {"steps": problem.record(), "key": key_of(problem)}
        return Task(self.label, split, index, prompt, data)

    def gold(self, task: Task) -> str:
        return fenced(_problem(task).source())

    def alternatives(self, task: Task) -> Sequence[str]:
        problem = _problem(task)
        right = problem.source().replace(f"def {FUNCTION}(", "def helper(")
        again = f"def {FUNCTION}({problem.parameters}):\n    return helper({problem.parameters})"
        noted = fenced(f"# adds nothing\n{problem.source()}")
        return (
            fenced(problem.loops()),
            fenced(f"{right}\n\n\n{again}"),
            fenced(f"{right}\n\n\n{FUNCTION} = helper"),
            f"This should do it:\n\n{noted}\n\nDone.\n",
        )

    def decoys(self, task: Task) -> Sequence[str]:
        echoed = "\n".join(message.content for message in task.prompt)
        return (*cheats(_problem(task), self.config.examples), echoed)

    def score(self, task: Task, text: str) -> Score:
        return self.score_many([(task, text)])[0]

    def score_many(self, pairs: Sequence[tuple[Task, str]]) -> list[Score]:
        """Judge many completions in one batch of the sandbox, which is what makes it fast."""
        runs = [self._prepared(task, text) for task, text in pairs]
        jobs = [
            Job(run.submission.source, run.submission.function, run.inputs, LIMITS)
            for run in runs
            if run is not None
        ]
        outcomes = iter(run_jobs(jobs))
        return [NO_PROGRAM if run is None else run.judged(next(outcomes)) for run in runs]

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def _prepared(self, task: Task, text: str) -> _Run | None:
        submission = read_submission(text, FUNCTION)
        if submission is None:
            return None
        problem = _problem(task)
        digest = hashlib.sha256(submission.source.encode("utf-8", "surrogatepass")).hexdigest()
        rng = task_rng("code hidden", task.data["key"], digest)
        return _Run(problem, submission, hidden_inputs(problem, rng, self.config.tests))

    @cached_property
    def _universe(self) -> Universe[Problem]:
        style, steps = self.config.style, self.config.steps
        banned = key_of(EXAMPLES[style])

        def draw(rng: Random) -> Problem | None:
            problem = draw_problem(style, steps, rng)
            return None if problem is None or key_of(problem) == banned else problem

        # There are some 100 operations, so two of them already make far more than a block.
        endless = style != "arithmetic"
        return Drawn(f"{self.name} {style} {steps}", draw, key_of, is_sound, endless=endless)


@dataclass(frozen=True, slots=True)
class _Run:
    """A submission with the inputs drawn for it."""

    problem: Problem
    submission: Submission
    inputs: tuple[Arguments, ...]

    def judged(self, outcomes: Sequence[Outcome]) -> Score:
        failed = [
            (arguments, outcome)
            for arguments, outcome in zip(self.inputs, outcomes, strict=True)
            if outcome.error is not None
            or not same_value(outcome.value, self.problem.solve(arguments))
        ]
        right = not failed
        solved = right and self.submission.strict
        parts = {
            "strict": float(solved),
            "format": float(self.submission.strict),
            "lenient": float(right),
            "passed": 1 - len(failed) / len(self.inputs) if self.submission.strict else 0.0,
        }
        if right:
            reason = "correct" if solved else "right, but not as the one python block"
        else:
            reason = f"{len(failed)} of {len(self.inputs)} hidden tests fail; {_told(*failed[0])}"
        return Score(float(solved), solved, parts, reason)


NO_PROGRAM = Score(
    0.0, False, dict.fromkeys(("strict", "format", "lenient", "passed"), 0.0), "no program"
)


def _problem(task: Task) -> Problem:
    return from_record(task.data["steps"])


def _told(arguments: Arguments, outcome: Outcome) -> str:
    """One failed call for a reader; what the program gave is shown as ASCII and cut."""
    call = f"{FUNCTION}({', '.join(map(repr, arguments))})"
    gave = outcome.error or ascii(outcome.value)
    return f"{call} gives {gave if len(gave) <= 60 else gave[:57] + '...'}"
