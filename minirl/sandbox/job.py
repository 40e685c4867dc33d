"""What is asked of the sandbox and what comes back."""

from __future__ import annotations

import keyword
from dataclasses import dataclass, field
from typing import Any

from minirl.errors import EnvironmentFault

MAX_SOURCE = 256 * 1024  # characters


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use, over all its calls. Files, processes and sockets: none at all."""

    cpu_s: float = 2.0
    wall_s: float = 4.0
    """Seconds of waiting for the program; the caller's own time between calls does not count."""
    memory_mb: int = 256
    output_bytes: int = 65536
    """How long one answer may be, as JSON. What a program prints is thrown away."""
    call_s: float | None = None
    """Seconds of waiting for any one call, where that is less than what is left of ``wall_s``."""

    def __post_init__(self) -> None:
        figures = [self.cpu_s, self.wall_s, self.memory_mb, self.output_bytes, self.call_s or 1]
        if not all(0 < figure < float("inf") for figure in figures):
            raise EnvironmentFault("A sandbox limit is not a positive number", got=repr(self))


@dataclass(frozen=True, slots=True)
class Job:
    """One program, the function to call in it, and the arguments of each call in turn."""

    source: str
    function: str
    inputs: tuple[tuple[Any, ...], ...]
    """Plain data: None, bool, int, float, str, list, tuple, dict. Never the expected answers."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_name(self.function)


def check_name(function: str) -> None:
    """Raise EnvironmentFault unless ``function`` can be a function's name."""
    if not (function.isascii() and function.isidentifier()) or keyword.iskeyword(function):
        raise EnvironmentFault(
            "A sandbox job needs the name of a function", expected="an identifier", got=function
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call gave: a value, or why there is none."""

    value: Any = None
    error: str | None = None
    """None, or one of :data:`ERRORS`."""
    detail: str = ""
    """The error in words, partly the program's own. For a reader, never to be parsed."""


ERRORS = {
    "syntax": "the source is no Python, or too long",
    "no function": "the source defines no such function",
    "exception": "the program raised",
    "forbidden": "the program tried what the sandbox refuses, and raised",
    "bad value": "the answer is no plain data, or nested too deep",
    "output": "the answer is too long",
    "time": "the time was over",
    "memory": "the memory did not suffice",
    "crash": "the process ended without an answer",
    "forged": "the answer was written before the call, or by something else than the call",
    "unsupported": "this machine has no engine that can run the program",
}
