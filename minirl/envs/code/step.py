"""One step of a programming problem: what it says, what it does, how it is written.

A problem is a chain of steps, each a function from one plain value to another. A step is named by
its :class:`Op` and its parameters, which is all that a task has to store.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from textwrap import indent
from typing import Any, Literal, TypeAlias

Kind = Literal[
    "int",  # any integer
    "natural",  # an integer from 1 to 60
    "ints",  # a list of integers
    "str",  # lower-case words with single spaces between them
    "strs",  # a list of lower-case words
    "brackets",  # a string of ( ) [ ] { }
    "pairs",  # a list of [low, high], low <= high
    "grid",  # a list of equally long rows of digits; at least one cell
    "two strs",  # two arguments
    "other",  # what no further step takes
]
Param: TypeAlias = int | str


@dataclass(frozen=True, slots=True)
class Op:
    """A family of steps.

    Attributes:
        takes, gives: the kinds of value before and after it.
        phrase: the instruction, with ``{0}``, ``{1}`` for its parameters.
        apply: the reference, called with the value and the parameters.
        expr: the same as a Python expression over ``{v}`` and the parameters.
        params: the values that each parameter may take.
        each, keep: for a step that treats the members ``x`` of a list one by one: the expression
            or the condition, from which a loop is written.
        helper: the function that ``expr`` calls, if any; its source becomes part of the program.
        near: other ops with the same parameters that a wrong program may compute instead.
        words, rank: for plain arithmetic: how to say it in one line, and how tightly it binds (1
            for sums, 2 for products, 3 for powers; 0 for everything else).
    """

    takes: Kind
    gives: Kind
    phrase: str
    apply: Callable[..., Any]
    expr: str
    params: tuple[Sequence[Param], ...] = ()
    each: str = "x"
    keep: str = ""
    helper: Callable[..., Any] | None = None
    near: tuple[str, ...] = ()
    words: str = ""
    rank: int = 0

    @property
    def loops(self) -> bool:
        return self.each != "x" or self.keep != ""


def each(
    kind: Kind, gives: Kind, phrase: str, change: Callable[..., Any], code: str, *params: Any
) -> Op:
    """A step that changes every member ``x`` of a list."""
    return Op(
        kind,
        gives,
        phrase,
        lambda v, *p: [change(x, *p) for x in v],
        f"[{code} for x in {{v}}]",
        params,
        each=code,
    )


def keep(
    kind: Kind,
    phrase: str,
    test: Callable[..., bool],
    code: str,
    *params: Any,
    near: tuple[str, ...] = (),
) -> Op:
    """A step that keeps the members ``x`` of a list which pass a test."""
    return Op(
        kind,
        kind,
        phrase,
        lambda v, *p: [x for x in v if test(x, *p)],
        f"[x for x in {{v}} if {code}]",
        params,
        keep=code,
        near=near,
    )


def call(
    takes: Kind,
    gives: Kind,
    phrase: str,
    function: Callable[..., Any],
    *params: Any,
    near: tuple[str, ...] = (),
) -> Op:
    """A step that is a whole function of ours, with the value and the parameters as arguments."""
    places = "".join(f", {{{i}!r}}" for i in range(len(params)))

    def apply(value: Any, *given: Param) -> Any:
        values = value if takes == "two strs" else (value,)
        return function(*values, *given)

    expr = f"{function.__name__}({{v}}{places})"
    return Op(takes, gives, phrase, apply, expr, params, helper=function, near=near)


def as_loop(op: Op, params: Sequence[Param], into: str, source: str) -> str:
    """A list step written as a loop over ``source`` that fills ``into``."""
    member = op.each.format(*params)
    if not op.keep:
        return f"{into} = []\nfor x in {source}:\n    {into}.append({member})"
    test = op.keep.format(*params)
    body = f"if {test}:\n    {into}.append({member})"
    return f"{into} = []\nfor x in {source}:\n{indent(body, '    ')}"


@cache
def source_of(function: Callable[..., Any]) -> str:
    """The source of one of our references, which is written to run anywhere as it stands."""
    return inspect.getsource(function).rstrip()
