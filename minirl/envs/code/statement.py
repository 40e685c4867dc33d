"""What a problem says to the model."""

from __future__ import annotations

from typing import Any

from minirl.envs.base import task_rng
from minirl.envs.code.inputs import ARGUMENTS, Arguments, draw
from minirl.envs.code.problem import FUNCTION, NAME_RANK, OPS, Problem, folded

SYSTEM = (
    "Write the Python function that is asked for. Answer with one ```python block that defines it."
)


def statement(problem: Problem, examples: int) -> str:
    """The whole question, with ``examples`` example calls."""
    names, what = ARGUMENTS[problem.takes]
    head = f"Write a Python function {FUNCTION}({names})"
    if all(OPS[step.op].words for step in problem.steps):
        lines = [f"{head} that returns {_in_words(problem)}."]
    else:
        verb = "are" if "," in names else "is"
        lines = [f"{head}, where {names} {verb} {what}. It must:"]
        lines += [f"{n}. {step.phrase}" for n, step in enumerate(problem.steps, start=1)]
        lines.append("Each step works on the result of the one before. Return the last result.")
    return "\n".join([*lines, *(called(problem, a) for a in example_inputs(problem, examples))])


def example_inputs(problem: Problem, count: int) -> list[Arguments]:
    """``count`` random arguments whose results are not all the same."""
    rng = task_rng("code examples", problem.record())
    found: dict[str, Arguments] = {}
    for _ in range(12 * count):
        arguments = draw(problem.takes, rng)
        found.setdefault(repr(problem.solve(arguments)), arguments)
        if len(found) == count:
            break
    return list(found.values())


def called(problem: Problem, arguments: Arguments) -> str:
    """One example call with its result."""
    inside = ", ".join(map(repr, arguments))
    result: Any = problem.solve(arguments)
    return f"{FUNCTION}({inside}) == {result!r}"


def _in_words(problem: Problem) -> str:
    said, rank = problem.parameters, NAME_RANK
    for step in problem.steps:
        op = OPS[step.op]
        said = folded(op.words, step.params, said, rank, op.rank)
        rank = op.rank
    return said
