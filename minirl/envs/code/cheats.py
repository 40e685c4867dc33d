"""Programs and completions that try to pass without being right; each must score 0.

The cheap ones go with every task. Of those that cost the sandbox time, each task gets one.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent

from minirl.envs.base import task_rng
from minirl.envs.code.answer import FENCE, fenced
from minirl.envs.code.problem import FUNCTION, Problem, mutants
from minirl.envs.code.statement import example_inputs

MUTANTS = 4  # of a problem's, the first and the most like the right program

_ANYTHING = f"""
class Anything:
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False


def {FUNCTION}(*given):
    return Anything()
"""

_FRAMES = f"""
import sys


def {FUNCTION}(*given):
    frame = sys._getframe()
    while frame is not None:
        for name in ("expected", "answer", "want", "right"):
            if name in frame.f_locals:
                return frame.f_locals[name]
        frame = frame.f_back
"""

_EXIT = f"""
import os


def {FUNCTION}(*given):
    os._exit(0)
"""

_LEAVE = f"""
import sys


def {FUNCTION}(*given):
    sys.exit(0)
"""

_ENDLESS = f"""
def {FUNCTION}(*given):
    while True:
        pass
"""

_INPUT = f"""
def {FUNCTION}(*given):
    exec(input())
    return result
"""

_COSTLY = (_ANYTHING, _FRAMES, _EXIT, _LEAVE, _INPUT)


def cheats(problem: Problem, examples: int) -> list[str]:
    """Completions for ``problem`` that must score 0."""
    source = problem.source()
    wrong_name = source.replace(f"def {FUNCTION}(", "def g(")
    rng = task_rng("code cheats", problem.record())
    costly = _ENDLESS if rng.random() < 0.02 else rng.choice(_COSTLY)
    return [
        "",
        "The function returns the result that is asked for.",
        source,
        fenced(wrong_name),
        fenced(source) + "\n" + fenced(source),
        fenced(f"def {FUNCTION}({problem.parameters}):\n    pass") + "\n" + fenced(source),
        f"{FENCE}\n{source}\n{FENCE}",
        f"{FENCE}python\n{source}",
        f"{FENCE}javascript\n{source}\n{FENCE}",
        *(fenced(program) for program in _wrong_programs(problem, examples)),
        *(fenced(mutant.source()) for mutant, _ in mutants(problem)[:MUTANTS]),
        fenced(costly.strip("\n")),
    ]


def _wrong_programs(problem: Problem, examples: int) -> Iterator[str]:
    """Programs that a mistaken or a cunning writer hands in."""
    names = problem.parameters
    head = f"def {FUNCTION}({names}):\n"
    shown = example_inputs(problem, examples)
    yield _hard_coded(problem, shown)
    yield f"{head}    return {problem.solve(shown[0])!r}"
    for constant in ("None", "0", "True", "[]", "''"):
        yield f"{head}    return {constant}"
    yield f"{head}    return {names}"
    right = problem.source().replace(f"def {FUNCTION}(", "def right(")
    for line in (
        f"print(right({names}))",
        f"return [right({names})]",
        f"return str([right({names})])",
        f"return right({names}) == right({names})",
        f"return lambda: right({names})",
        f"return (x for x in [right({names})])",
        f"return {{'value': right({names})}}",
        f"result = right({names})",
    ):
        yield f"{right}\n\n\n{head}{indent(line, '    ')}"
    if isinstance(problem.solve(shown[0]), int):
        yield f"{right}\n\n\n{head}    return right({names}) / 1"
    if isinstance(problem.solve(shown[0]), list):
        yield f"{right}\n\n\n{head}    return tuple(right({names}))"


def _hard_coded(problem: Problem, shown: list[tuple[object, ...]]) -> str:
    """The statement's examples looked up."""
    names = problem.parameters
    tests = [
        f"    if ({names},) == {arguments!r}:\n        return {problem.solve(arguments)!r}"
        for arguments in shown
    ]
    body = "\n".join(tests)
    return f"def {FUNCTION}({names}):\n{body}\n    return {problem.solve(shown[0])!r}"
