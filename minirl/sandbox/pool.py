"""Which engine runs a program, and the processes that wait for the next one."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from minirl.errors import SandboxError
from minirl.sandbox import interpreter
from minirl.sandbox.job import Job, Limits, Outcome, check_name
from minirl.sandbox.lazy import may_be_lazy
from minirl.sandbox.process import WEAK, Broken, NoProcessEngine, Zygote
from minirl.sandbox.values import same_value

if TYPE_CHECKING:
    from pydantic_monty import Monty

Engine = Literal["auto", "monty", "process"]
# What monty says of a program that CPython may run all the same. Time and memory are not among
# them: they would be spent twice.
DOUBTFUL = frozenset({"exception", "bad value", "forbidden", "crash"})


class Program(Protocol):
    """A program that has been started, in either engine."""

    def call(self, args: tuple[Any, ...]) -> Outcome: ...


class Pool:
    """The waiting processes of both engines; started when first needed, safe to use from threads.

    Args:
        workers: how many jobs run at once; one a core unless told. Sessions come on top.
        filtered: False leaves out the system call filter (for the tests of the limits alone).
    """

    def __init__(self, workers: int | None = None, *, filtered: bool = True) -> None:
        self.workers = workers or max(2, len(_cores()))
        self._filtered = filtered and os.environ.get(WEAK) != "1"
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(self.workers)
        self._idle: list[Zygote] = []
        self._monty: Monty | None = None
        self._closed = False

    def run(self, jobs: Sequence[Job], engine: Engine = "auto") -> list[tuple[Outcome, ...]]:
        """The outcomes of each job's inputs, in their order."""
        check_engine(engine)
        if len(jobs) < 2:
            return [self._run_one(job, engine) for job in jobs]
        with ThreadPoolExecutor(min(self.workers, len(jobs)), "sandbox") as threads:
            return list(threads.map(lambda job: self._run_one(job, engine), jobs))

    def _run_one(self, job: Job, engine: Engine) -> tuple[Outcome, ...]:
        with self._places:
            return self._run_now(job, engine)

    def _run_now(self, job: Job, engine: Engine) -> tuple[Outcome, ...]:
        what = (job.source, job.function, job.limits)
        outcomes: tuple[Outcome, ...] | None = None
        if self.monty_first(engine, job.source):
            with self.in_monty(*what) as program:
                outcomes = tuple(program.call(args) for args in job.inputs)
            if engine == "monty" or not any(o.error in DOUBTFUL for o in outcomes):
                return outcomes
        lost: list[Broken] = []
        while len(lost) < 2:
            try:
                with self.in_process(*what) as program:
                    return tuple(program.call(args) for args in job.inputs)
            except Broken as error:
                lost.append(error)
            except NoProcessEngine as error:
                if engine == "process":
                    raise
                return outcomes or tuple(unsupported(error) for _ in job.inputs)
        raise _broken(lost[-1])

    def monty_first(self, engine: Engine, source: str) -> bool:
        """Whether monty is to run ``source``, or to try it first."""
        if engine == "auto":
            return interpreter.usable() and not may_be_lazy(source)
        return engine == "monty"

    @contextlib.contextmanager
    def in_monty(self, source: str, function: str, limits: Limits) -> Iterator[Program]:
        """A program in monty, for as long as the block lasts."""
        with self._lock:
            self._check_open()
            if self._monty is None:
                self._monty = interpreter.start(self.workers)
            monty = self._monty
        with interpreter.program(monty, source, function, limits) as program:
            yield program

    @contextlib.contextmanager
    def in_process(self, source: str, function: str, limits: Limits) -> Iterator[Program]:
        """A program in a confined process, for as long as the block lasts. Raises Broken."""
        if sys.platform == "win32":
            raise NoProcessEngine(
                "The process engine of the sandbox does not run on Windows",
                expected="Linux or macOS",
                fix="use engine='monty', or minirl under WSL",
            )
        with self._lock:
            self._check_open()
            zygote = self._idle.pop() if self._idle else None
        zygote = zygote or Zygote(filtered=self._filtered)
        whole = False
        try:
            with zygote.program(source, function, limits) as program:
                yield program
            whole = True
        finally:
            self._give_back(zygote, whole=whole)

    def _give_back(self, zygote: Zygote, *, whole: bool) -> None:
        with self._lock:
            keep = whole and not self._closed and len(self._idle) < self.workers
            if keep:
                self._idle.append(zygote)
        if not keep:
            zygote.close()

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxError("The sandbox's pool is closed")

    def close(self) -> None:
        """End every process. A fork of the process that started them leaves them alone."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            monty, self._monty = self._monty, None
        for zygote in idle:
            zygote.close()
        if monty is not None:
            monty.__exit__(None, None, None)


@dataclass(frozen=True, slots=True)
class _Unsupported:
    """Stands for a program that no engine here can run."""

    outcome: Outcome

    def call(self, _args: tuple[Any, ...]) -> Outcome:
        return self.outcome


def unsupported(error: SandboxError) -> Outcome:
    """The outcome of a program that only the missing engine could have run."""
    return Outcome(error="unsupported", detail=error.message)


class Session:
    """A program that answers call after call, for a game that is played in our process."""

    def __init__(self, pool: Pool, source: str, function: str, limits: Limits, engine: Engine):
        self._pool = pool
        self._what = (source, function, limits)
        self._held = contextlib.ExitStack()
        self._history: list[tuple[tuple[Any, ...], Outcome]] = []
        in_monty = pool.monty_first(engine, source)
        self._doubt = in_monty and engine == "auto"
        try:
            self._program = self._open(pool.in_monty if in_monty else pool.in_process)
        except NoProcessEngine as error:
            if engine == "process":
                raise
            self._program = _Unsupported(unsupported(error))

    def _open(self, engine: Any) -> Program:
        program: Program = self._held.enter_context(engine(*self._what))
        return program

    def call(self, args: tuple[Any, ...]) -> Outcome:
        """What the function gives for ``args``; never raises for what the program does."""
        try:
            outcome = self._program.call(args)
            if self._doubt and outcome.error in DOUBTFUL:
                outcome = self._in_cpython(args, outcome)
        except Broken as error:
            raise _broken(error) from error
        if self._doubt:
            self._history.append((args, outcome))
        return outcome

    def _in_cpython(self, args: tuple[Any, ...], outcome: Outcome) -> Outcome:
        """Play all calls again where all of Python is known; what was answered must come again."""
        self._doubt = False
        try:
            program = self._open(self._pool.in_process)
        except NoProcessEngine:
            return outcome
        self._program = program
        for earlier, answer in self._history:
            again = program.call(earlier)
            if again.error != answer.error or not same_value(again.value, answer.value):
                return outcome
        return program.call(args)

    def close(self) -> None:
        """End the program."""
        with contextlib.suppress(Broken):  # its process has been ended then
            self._held.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Shared:
    """The process's own pool. A fork gets a new one: it must not speak on its parent's sockets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[int, Pool] = {}  # the parent's stays referenced, so that nothing ends it

    def pool(self) -> Pool:
        with self._lock:
            pid = os.getpid()
            if pid not in self._pools:
                self._pools[pid] = Pool()
                atexit.register(self._pools[pid].close)
            return self._pools[pid]

    def after_fork(self) -> None:
        self._lock = threading.Lock()  # another thread may have held it


_shared = _Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.after_fork)


def run_jobs(jobs: Sequence[Job], *, engine: Engine = "auto") -> list[tuple[Outcome, ...]]:
    """Run each job's program on its inputs: one outcome an input, in the order given.

    Raises EnvironmentFault for arguments that are no plain data and SandboxError where the machine
    cannot run the engine; never anything for what a program does.
    """
    return _shared.pool().run(jobs, engine)


def open_session(
    source: str, function: str, limits: Limits | None = None, *, engine: Engine = "auto"
) -> Session:
    """Start a program to play against: ``with open_session(...) as f: f.call((board,))``.

    It keeps its state between calls. Raises as :func:`run_jobs` does.
    """
    check_name(function)
    check_engine(engine)
    try:
        return Session(_shared.pool(), source, function, limits or Limits(), engine)
    except Broken as error:
        raise _broken(error) from error


def check_engine(engine: str) -> None:
    """Raise SandboxError for a name that no engine has."""
    if engine not in ("auto", "monty", "process"):
        raise SandboxError(
            "No such sandbox engine", expected="auto, monty or process", got=repr(engine)
        )


def _broken(error: Broken) -> SandboxError:
    return SandboxError("The sandbox's process was lost twice", got=str(error), fix="try again")


def _cores() -> Sequence[int] | set[int]:
    affinity = getattr(os, "sched_getaffinity", None)
    return affinity(0) if affinity else range(os.cpu_count() or 1)
