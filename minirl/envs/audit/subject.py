"""The environment under audit: its code is only called through here.

Whatever it raises is a finding and not the audit's end; a call that does not return is cut off by
an alarm, and where the alarm is not heard (a loop in C), by :mod:`minirl.envs.audit.watchdog`.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar

from minirl.envs.audit.report import Example
from minirl.envs.audit.settings import AuditSettings
from minirl.envs.audit.slots import Slot, find_slot
from minirl.envs.audit.tally import Tally
from minirl.envs.base import Environment, Turns, as_turns
from minirl.envs.recited import recite
from minirl.errors import ConfigError, UnknownGold
from minirl.types import SPLITS, Score, Split, Task

T = TypeVar("T")
Make = Callable[[], Environment[Any]]
# What is called, of which task, with which text.
Beat = Callable[[str, Task | None, Turns], None]

_QUOTED = 20_000  # characters of a completion that an example keeps; hostile ones have a million


class OutOfTime(BaseException):
    """The alarm; no ``except Exception`` of an environment stops it."""


class Subject:
    """An environment, with the tasks that the checks share.

    Attributes:
        env: the instance under audit.
        make: builds another one, as a new process would.
        settings: how much to try.
        raises, hangs, consistent: tallies that every call adds to.
        task_seconds, score_seconds: how long calls took.
    """

    def __init__(
        self, env: Environment[Any], make: Make, settings: AuditSettings, beat: Beat | None = None
    ) -> None:
        self.env, self.make, self.settings = env, make, settings
        self.raises = Tally("raises", "the environment's code never raises")
        self.hangs = Tally("hangs", "every call of the environment's code returns in time")
        self.consistent = Tally(
            "consistent", "solved means a value of 1, and not solved a value of 0"
        )
        self.task_seconds: list[float] = []
        self.score_seconds: list[float] = []
        self.calls = 0
        self.unknown_golds = 0
        self._beat = beat or (lambda what, task, written: None)
        self._tasks: dict[Split, list[Task]] = {split: [] for split in SPLITS}
        self._ended: set[Split] = set()
        self._golds: dict[str, Turns | None] = {}

    @property
    def label(self) -> str:
        return self.env.label

    @property
    def single(self) -> bool:
        """Whether an episode is one completion."""
        return self.env.max_turns == 1

    @cached_property
    def sibling(self) -> Environment[Any]:
        """Another instance of the same class, with the same options."""
        try:
            return type(self.env)(self.env.config, level=self.env.level)
        except TypeError:  # an adapter's environment is built its own way
            return self.make()

    @cached_property
    def another(self) -> Environment[Any]:
        """An environment made anew, as in a new process, that no check has spoilt."""
        return self.make()

    # What the checks ask for -------------------------------------------------------------------

    def tasks(self, split: Split, n: int) -> list[Task]:
        """The first ``n`` tasks of a split, or as many as it has."""
        kept = self._tasks[split]
        size = self.call("size", lambda: self.env.size(split), default=None)
        while len(kept) < n and split not in self._ended:
            began = time.perf_counter()
            task = None
            if size is None or len(kept) < size:
                task = self.call("task", lambda: self.env.task(split, len(kept)))
            if task is None:
                self._ended.add(split)
            else:
                self.task_seconds.append(time.perf_counter() - began)
                kept.append(task)
        return kept[:n]

    def mixed(self, n: int) -> list[Task]:
        """About ``n`` tasks of both splits, by turns."""
        pairs = zip(self.tasks("train", n // 2 + 1), self.tasks("test", n // 2 + 1), strict=False)
        found = [task for pair in pairs for task in pair]
        return (found or self.tasks("train", n) or self.tasks("test", n))[: max(n, 1)]

    def gold(self, task: Task) -> Turns | None:
        """The reference solution; None where none is known or the environment failed."""
        if task.id not in self._golds:
            try:
                gold = self.call("gold", lambda: self.env.gold(task), task)
            except UnknownGold:
                self.unknown_golds += 1
                gold = None
            self._golds[task.id] = gold
        return self._golds[task.id]

    def slot(self, task: Task) -> tuple[tuple[str, ...], Slot] | None:
        """The turns before the last one of the gold, and where the answer stands in that."""
        gold = self.gold(task)
        turns = () if gold is None else as_turns(gold)
        slot = find_slot(turns[-1]) if turns else None
        return None if slot is None else (turns[:-1], slot)

    def declared(self, task: Task) -> set[tuple[str, ...]]:
        """What the author says is right."""
        gold, others = self.gold(task), self.alternatives(task)
        return {as_turns(written) for written in (*([] if gold is None else [gold]), *others)}

    def alternatives(self, task: Task) -> Sequence[Turns]:
        return self.call("alternatives", lambda: self.env.alternatives(task), task, default=())

    def score(
        self, task: Task, written: Turns, env: Environment[Any] | None = None
    ) -> Score | None:
        """The score of an episode in which the policy writes ``written``; None where it failed."""
        began = time.perf_counter()
        played = env or self.env
        score = self.call("score", lambda: recite(played, task, written), task, written)
        if score is None:
            return None
        self.score_seconds.append(time.perf_counter() - began)
        self.consistent.count(self._inconsistent(task, written, score))
        return score if isinstance(score, Score) else None

    def pays(self, task: Task, written: Turns, why: str) -> Example | None:
        """An example if ``written``, which is wrong, passes."""
        score = self.score(task, written)
        paid = score is not None and (score.solved or score.value >= 1.0)
        return self.example(task, written, score, why) if paid else None

    # How it is called --------------------------------------------------------------------------

    def call(
        self,
        what: str,
        function: Callable[[], T],
        task: Task | None = None,
        written: Turns = "",
        default: Any = None,
    ) -> T | Any:
        """The result of the environment's code, or ``default`` where it failed.

        Raises:
            UnknownGold: as the environment raised it.
        """
        self.calls += 1
        self._beat(what, task, written)
        try:
            with _alarm(self.settings.call_limit_s):
                result = function()
        except UnknownGold:
            raise
        except OutOfTime:
            limit = f"{what}() had not returned after {self.settings.call_limit_s:g} s"
            self.hangs.count(self.example(task, written, None, limit))
            return default
        except (Exception, SystemExit) as error:
            self.raises.count(self.example(task, written, None, told(what, error)))
            return default
        self.raises.count(None)
        self.hangs.count(None)
        return result

    def example(self, task: Task | None, written: Turns, score: Score | None, why: str) -> Example:
        shown = () if task is None else task.prompt
        return Example(
            task.id if task else self.label,
            "\n".join(f"[{m.role}] {m.content}" for m in shown),
            "\n---\n".join(as_turns(written))[:_QUOTED],
            score.value if isinstance(score, Score) else None,
            score.solved if isinstance(score, Score) else None,
            why + (f" ({score.reason})" if isinstance(score, Score) and score.reason else ""),
        )

    def _inconsistent(self, task: Task, written: Turns, score: object) -> Example | None:
        if not isinstance(score, Score):
            return self.example(task, written, None, f"score() returned {type(score).__name__}")
        why = ""
        if score.solved is not True and score.solved is not False:
            why = f"solved is {score.solved!r} and neither True nor False"
        elif score.solved != (score.value >= 1.0):
            why = "solved and value contradict each other"
        elif 0.0 < score.value < 1.0 and not self.env.partial_credit:
            why = f"it pays a crumb of {score.value:g}, and partial_credit is not declared"
        elif not all(isinstance(v, int | float) and math.isfinite(v) for v in score.parts.values()):
            why = "a part of the score is no finite number"
        return self.example(task, written, score, why) if why else None


def told(what: str, error: BaseException) -> str:
    """An exception of the environment's code, with the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    line = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{what}() raised {type(error).__name__}: {str(error)[:300]}{line}"


def past_the_end(subject: Subject, split: Split, index: int) -> Task | ConfigError | None:
    """Task ``index``, or the ConfigError that says that there is none."""

    def ask() -> Task | ConfigError:
        try:
            return subject.env.task(split, index)
        except ConfigError as refused:
            return refused

    found: Task | ConfigError | None = subject.call("task", ask)
    return found


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the main thread after ``seconds``; elsewhere nothing is cut off."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


@contextlib.contextmanager
def alarms() -> Iterator[None]:
    """Let alarms raise OutOfTime while an audit runs in this thread."""

    def ring(signum: int, frame: object) -> None:
        raise OutOfTime

    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
