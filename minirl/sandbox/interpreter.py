"""The monty engine: pydantic-monty, an interpreter of a subset of Python that knows no system.

Its programs have no files, processes, sockets, modules or frames to reach for, and it starts one
in a third of a millisecond. What it does not know it refuses; ``pool`` then asks CPython.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib.util
import os
import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minirl.errors import SandboxError
from minirl.sandbox.job import MAX_SOURCE, Limits, Outcome
from minirl.sandbox.process import arguments_as_text
from minirl.sandbox.wire import MAX_DEPTH, BadValue, TooLong, encode

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession

# Monty hands the host a string where it has no better: the text of a range, of an iterator, of a
# function. So the types are checked inside, with names that the program cannot rebind.
GUARD = """
def {guard}(value, depth={depth}, left=None, kind=type, size=len):
    left = [{parts}] if left is None else left
    left[0] = left[0] - 1
    if depth < 0 or left[0] < 0:
        return False
    of = kind(value)
    if of is list or of is tuple:
        for item in value:
            if not {guard}(item, depth - 1, left):
                return False
        return True
    if of is dict:
        for key, item in value.items():
            if not ({guard}(key, depth - 1, left) and {guard}(item, depth - 1, left)):
                return False
        return True
    return value is None or of is bool or of is int or of is float or of is str
"""
FROZEN_CLOCK = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
POLICY: dict[str, Any] = {"sleep": "zero", "random_start": {"seed": 0}, "datetime": FROZEN_CLOCK}
SESSIONS = 64  # that may be open at once beside the jobs; one more would wait for one to close
REPLACED = "\\ufffd"  # monty's stand-in for a lone surrogate, as the wire writes it


@functools.cache
def installed() -> bool:
    """Whether pydantic-monty can be imported here."""
    return importlib.util.find_spec("pydantic_monty") is not None


class _Runtime:
    """Which process started monty's threads. A fork has none of them, and would wait for ever."""

    pid: int | None = None


_runtime = _Runtime()


def usable() -> bool:
    """Whether monty is installed, and not lost to this process by a fork."""
    return installed() and _runtime.pid in (None, os.getpid())


def start(workers: int) -> Monty:
    """A pool of monty's worker processes; raises SandboxError where it cannot be had."""
    if _runtime.pid not in (None, os.getpid()):
        raise SandboxError(
            "monty was started before this process was forked, and does not survive a fork",
            fix="use engine='auto' or 'process', or start the process with 'spawn'",
        )
    try:
        from pydantic_monty import Monty

        _runtime.pid = os.getpid()
        return Monty(min_processes=1, max_processes=4 * workers + SESSIONS).__enter__()
    except (ImportError, OSError, RuntimeError) as error:
        raise SandboxError(
            "pydantic-monty does not start",
            got=f"{type(error).__name__}: {error}",
            fix="pip install pydantic-monty, or engine='process'",
        ) from error


@contextlib.contextmanager
def program(monty: Monty, source: str, function: str, limits: Limits) -> Iterator[Program]:
    """Start a program on one of the workers; the session is thrown away when the block ends."""
    bounds: Any = {
        "max_feed_duration_secs": min(limits.cpu_s, limits.wall_s, limits.call_s or limits.wall_s),
        "max_memory": limits.memory_mb * 2**20,
        "max_suspensions": 10_000_000,  # a print or a sleep each; time bounds them
    }
    policy: Any = POLICY
    with monty.checkout(limits=bounds, os_policy=policy) as session:
        running = Program(session, limits, function)
        running.load(source)
        yield running


class Program:
    """A running program. Once it has ended, every further call gives the same outcome."""

    def __init__(self, session: MontySession, limits: Limits, function: str) -> None:
        self._session = session
        self._limits = limits
        self._left_s = min(limits.cpu_s, limits.wall_s)
        self._over: Outcome | None = None
        mark = secrets.token_hex(8)
        guard, args, value = (f"_{word}_{mark}" for word in ("guard", "args", "value"))
        self._function, self._guard, self._args = function, guard, args
        self._call = f"{value} = {function}(*{args})\n({guard}({value}), {value})"

    def load(self, source: str) -> None:
        """Run the source. A failure is the outcome of every call."""
        if len(source) > MAX_SOURCE:
            self._over = Outcome(error="syntax", detail=f"more than {MAX_SOURCE} characters")
            return
        guard = GUARD.format(guard=self._guard, depth=MAX_DEPTH, parts=self._limits.output_bytes)
        for text in (guard, source):
            failed = self._feed(text)[1]
            if failed is not None:
                self._over = failed
                return
        if self._feed(self._function)[1] is not None:
            self._over = Outcome(error="no function")

    def call(self, args: tuple[Any, ...]) -> Outcome:
        """The function's answer to ``args``. Raises EnvironmentFault unless they are plain data."""
        arguments_as_text(args)
        if self._over is not None:
            return self._over
        returned, failed = self._feed(self._call, {self._args: list(args)})
        if failed is not None:
            return failed
        if type(returned) is not tuple or len(returned) != 2 or returned[0] is not True:
            return Outcome(error="bad value", detail="no plain data")
        try:
            text = encode(returned[1], self._limits.output_bytes)
        except BadValue as error:
            return Outcome(error="bad value", detail=str(error)[:500])
        except TooLong as error:
            return Outcome(error="output", detail=str(error)[:500])
        if REPLACED in text:
            return Outcome(error="bad value", detail="perhaps a lone surrogate")
        return Outcome(returned[1])

    def _feed(self, text: str, inputs: dict[str, Any] | None = None) -> tuple[Any, Outcome | None]:
        from pydantic_monty import MontyCrashedError, MontyError, MontySyntaxError

        if self._left_s <= 0:
            self._over = Outcome(error="time", detail="no time left")
            return None, self._over
        started = time.monotonic()
        try:
            return self._session.feed_run(text, inputs=inputs, print_callback=_drop), None
        except MontyCrashedError as error:
            timed_out = bool(getattr(error, "timed_out", False))
            self._over = Outcome(error="time" if timed_out else "crash", detail=str(error)[:500])
            return None, self._over
        except MontySyntaxError as error:
            return None, Outcome(error="syntax", detail=str(error)[:500])
        except MontyError as error:
            return None, self._failed(error)
        except (ValueError, TypeError, RecursionError, UnicodeError) as error:
            # The value could not cross to our side: an integer of many digits, a text that is none.
            return None, Outcome(error="bad value", detail=str(error)[:500])
        finally:
            self._left_s -= time.monotonic() - started

    def _failed(self, error: Any) -> Outcome:
        raised = error.exception()
        detail = f"{type(raised).__name__}: {error}"[:500]
        if isinstance(raised, TimeoutError | MemoryError):
            word = "time" if isinstance(raised, TimeoutError) else "memory"
            self._over = Outcome(error=word, detail=detail)  # its state is not to be trusted now
            return self._over
        word = "forbidden" if isinstance(raised, PermissionError) else "exception"
        return Outcome(error=word, detail=detail)


def _drop(_stream: str, _text: str) -> None:
    """What a program prints goes nowhere."""
