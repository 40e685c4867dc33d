"""Which problems a level has: random chains of steps, of four styles."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from random import Random
from typing import Literal

from minirl.envs.code.algorithms import ALGORITHM
from minirl.envs.code.dynamic import DYNAMIC
from minirl.envs.code.numbers import LIST, NUMBER, PLAIN
from minirl.envs.code.problem import Problem, Step
from minirl.envs.code.step import Kind, Op
from minirl.envs.code.text import TEXT, WORDS

Style = Literal["arithmetic", "chain", "algorithm", "dynamic"]

_CHAIN: Mapping[str, Op] = {**NUMBER, **LIST, **TEXT, **WORDS}
_CORES: Mapping[Style, Mapping[str, Op]] = {"algorithm": ALGORITHM, "dynamic": DYNAMIC}
_STARTS: tuple[Kind, ...] = ("ints", "str", "strs")


def draw_problem(style: Style, steps: int, rng: Random) -> Problem | None:
    """A random problem of ``style`` with ``steps`` steps; None where the draw led nowhere.

    ``arithmetic`` has one to ``steps`` steps of plain arithmetic on a number; ``chain`` strings
    simple operations together; ``algorithm`` and ``dynamic`` have one step that needs an algorithm,
    or dynamic programming, among simple ones.
    """
    if style == "arithmetic":
        return _finished(_walk("int", PLAIN, rng.randint(1, steps), rng))
    if style == "chain":
        return _finished(_walk(rng.choice(_STARTS), _CHAIN, steps, rng))
    core = _step(rng.choice(list(_CORES[style].items())), rng)
    takes, gives = _CORES[style][core.op].takes, _CORES[style][core.op].gives
    same = {name: op for name, op in _CHAIN.items() if op.takes == op.gives == takes}
    before = rng.randint(0, 1) if same and steps > 1 else 0
    pre = _walk(takes, same, before, rng)
    post = _walk(gives, {**_CHAIN, **ALGORITHM}, steps - 1 - before, rng)
    return None if pre is None or post is None else _finished([*pre, core, *post])


def _walk(kind: Kind, ops: Mapping[str, Op], steps: int, rng: Random) -> list[Step] | None:
    """``steps`` steps from ``kind`` on, none like the one before."""
    chain: list[Step] = []
    for _ in range(steps):
        last = chain[-1].op if chain else None
        fitting = [(n, op) for n, op in ops.items() if op.takes == kind and n != last]
        if not fitting:
            return None
        # An op with parameters stands for many problems, one without for a single one.
        name, op = rng.choices(fitting, [3 if op.params else 1 for _, op in fitting])[0]
        chain.append(_step((name, op), rng))
        kind = op.gives
    return chain


def _step(named: tuple[str, Op], rng: Random) -> Step:
    name, op = named
    return Step(name, tuple(rng.choice(values) for values in op.params))


def _finished(chain: list[Step] | None) -> Problem | None:
    if not chain:
        return None
    pairs = {frozenset((a.op, b.op)) for a, b in itertools.pairwise(chain)}
    if frozenset(("plus", "minus")) in pairs:  # a single step in disguise
        return None
    return Problem(tuple(chain))
