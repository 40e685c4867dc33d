"""A programming problem: a chain of steps with its statement, its program and its mistakes.

Two chains that compute the same function are the same problem: the key is a digest of what a
problem answers to a fixed list of probes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from random import Random
from textwrap import indent
from typing import Any

from minirl.envs.base import task_rng
from minirl.envs.code.algorithms import ALGORITHM
from minirl.envs.code.dynamic import DYNAMIC
from minirl.envs.code.inputs import ARGUMENTS, EDGES, Arguments, draw
from minirl.envs.code.numbers import LIST, NUMBER
from minirl.envs.code.step import Kind, Op, Param, as_loop, source_of
from minirl.envs.code.text import TEXT, WORDS

OPS: Mapping[str, Op] = {**NUMBER, **LIST, **TEXT, **WORDS, **ALGORITHM, **DYNAMIC}
FUNCTION = "f"
PROBES = 12  # random ones, beside the edges
NAME_RANK = 4  # a bare name binds more tightly than any operator


@dataclass(frozen=True, slots=True)
class Step:
    """One op with its parameters."""

    op: str
    params: tuple[Param, ...] = ()

    @property
    def phrase(self) -> str:
        return OPS[self.op].phrase.format(*self.params)


@dataclass(frozen=True, slots=True)
class Problem:
    """A chain of at least one step."""

    steps: tuple[Step, ...]

    @property
    def takes(self) -> Kind:
        return OPS[self.steps[0].op].takes

    @property
    def parameters(self) -> str:
        return ARGUMENTS[self.takes][0]

    def solve(self, arguments: Arguments) -> Any:
        """The right result; the arguments are left as they are."""
        value: Any = arguments if len(arguments) > 1 else arguments[0]
        for step in self.steps:
            value = OPS[step.op].apply(value, *step.params)
        return value

    def source(self) -> str:
        """The reference as a program."""
        lines = []
        expression = variable = self.parameters
        rank = NAME_RANK
        for number, step in enumerate(self.steps):
            op = OPS[step.op]
            if expression != variable and not (op.rank and rank):
                variable = ARGUMENTS[OPS[self.steps[number - 1].op].gives][0]
                lines.append(f"{variable} = {expression}")
                expression, rank = variable, NAME_RANK
            if op.rank:
                expression = folded(op.expr, step.params, expression, rank, op.rank)
            else:
                expression = op.expr.format(*step.params, v=variable)
            rank = op.rank
        return self._program([*lines, f"return {expression}"])

    def loops(self) -> str:
        """The same program written out: a line a step, loops instead of comprehensions."""
        lines = []
        variable = self.parameters
        for number, step in enumerate(self.steps, start=1):
            op = OPS[step.op]
            into = f"value_{number}"
            if op.loops:
                lines.append(as_loop(op, step.params, into, variable))
            else:
                lines.append(f"{into} = {op.expr.format(*step.params, v=variable)}")
            variable = into
        return self._program([*lines, f"return {variable}"])

    def _program(self, lines: Sequence[str]) -> str:
        helpers = dict.fromkeys(OPS[step.op].helper for step in self.steps)
        body = indent("\n".join(lines), "    ")
        parts = [source_of(helper) for helper in helpers if helper is not None]
        return "\n\n\n".join([*parts, f"def {FUNCTION}({self.parameters}):\n{body}"])

    def record(self) -> list[list[Any]]:
        """Plain data, from which :func:`from_record` makes the problem again."""
        return [[step.op, *step.params] for step in self.steps]


def from_record(record: Iterable[Sequence[Any]]) -> Problem:
    """The problem that :meth:`Problem.record` wrote down."""
    return Problem(tuple(Step(op, tuple(params)) for op, *params in record))


def folded(template: str, params: Sequence[Param], operand: str, rank: int, needed: int) -> str:
    """``template`` over an operand, in parentheses where the operand binds less tightly."""
    return template.format(*params, v=operand if rank >= needed else f"({operand})")


@cache
def probes(kind: Kind) -> tuple[Arguments, ...]:
    """The fixed arguments that tell problems of one kind apart."""
    rng = task_rng("code probes", kind)
    return (*EDGES[kind], *(draw(kind, rng) for _ in range(PROBES)))


@lru_cache(maxsize=256)
def answers(problem: Problem) -> tuple[str, ...]:
    """What ``problem`` answers to the probes of its kind."""
    return tuple(_answer(problem, arguments) for arguments in probes(problem.takes))


def difference(problem: Problem, other: Problem) -> Arguments | None:
    """The first probe that ``other`` answers otherwise than ``problem``; None where none does."""
    for arguments, answer in zip(probes(problem.takes), answers(problem), strict=True):
        if _answer(other, arguments) != answer:
            return arguments
    return None


def _answer(problem: Problem, arguments: Arguments) -> str:
    """The right result as text; the order of a dictionary's keys does not count."""
    value = problem.solve(arguments)
    return repr(dict(sorted(value.items())) if isinstance(value, dict) else value)


def key_of(problem: Problem) -> str:
    """The canonical name of the function that ``problem`` asks for."""
    digest = hashlib.sha256("\n".join(answers(problem)).encode()).hexdigest()
    return f"{problem.takes}: {digest[:24]}"


def is_sound(problem: Problem) -> bool:
    """Whether answers vary, and no step can be left out unnoticed."""
    right = answers(problem)
    if len(set(right)) < 3 or max(map(right.count, right)) * 2 > len(right):
        return False
    return all(difference(problem, shorter) is not None for shorter in _without_one(problem))


@lru_cache(maxsize=4096)
def mutants(problem: Problem) -> tuple[tuple[Problem, Arguments], ...]:
    """Mistaken versions of ``problem``, each with probe arguments that give it away.

    A parameter off by one, a neighbouring operation, a step left out, two steps exchanged.
    Versions that agree on every probe count as the same function and are no mistakes.
    """
    told = {mutant: difference(problem, mutant) for mutant in _mutated(problem)}
    return tuple((mutant, witness) for mutant, witness in told.items() if witness is not None)


def _mutated(problem: Problem) -> Iterator[Problem]:
    steps = problem.steps
    for i, step in enumerate(steps):
        for other in _neighbours(step, last=i == len(steps) - 1):
            yield Problem((*steps[:i], other, *steps[i + 1 :]))
    yield from _without_one(problem)
    for i in range(len(steps) - 1):
        one, two = OPS[steps[i].op], OPS[steps[i + 1].op]
        if one.takes == one.gives == two.takes == two.gives:
            yield Problem((*steps[:i], steps[i + 1], steps[i], *steps[i + 2 :]))


def _neighbours(step: Step, *, last: bool) -> Iterator[Step]:
    op = OPS[step.op]
    for i, param in enumerate(step.params):
        values = list(op.params[i])
        at = values.index(param)
        for other in (at - 1, at + 1):
            if 0 <= other < len(values):
                yield Step(step.op, (*step.params[:i], values[other], *step.params[i + 1 :]))
    for name in op.near:
        if last or OPS[name].gives == op.gives:
            yield Step(name, step.params)


def _without_one(problem: Problem) -> Iterator[Problem]:
    steps = problem.steps
    for i in range(len(steps) if len(steps) > 1 else 0):
        op = OPS[steps[i].op]
        if op.takes == op.gives or i == len(steps) - 1:
            yield Problem((*steps[:i], *steps[i + 1 :]))


def hidden_inputs(problem: Problem, rng: Random, count: int) -> tuple[Arguments, ...]:
    """``count`` or more argument tuples: edges, random ones, and what each mutant fails on.

    Every one of :func:`mutants` differs from the reference on at least one of them, and so does
    every constant.
    """
    edges = EDGES[problem.takes]
    chosen = rng.sample(edges, min(len(edges), count // 3))
    chosen += [draw(problem.takes, rng) for _ in range(count - len(chosen))]
    right = [_answer(problem, arguments) for arguments in chosen]
    for mutant, witness in mutants(problem):
        if all(
            _answer(mutant, arguments) == answer
            for arguments, answer in zip(chosen, right, strict=True)
        ):
            chosen.append(witness)
            right.append(_answer(problem, witness))
    for arguments, answer in zip(probes(problem.takes), answers(problem), strict=True):
        if len(set(right)) >= 3:  # no constant may pass
            break
        if answer not in right:
            chosen.append(arguments)
            right.append(answer)
    return tuple(chosen)
