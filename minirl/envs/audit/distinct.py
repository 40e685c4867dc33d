"""Tasks are distinct, splits disjoint, sizes honest."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from minirl.envs.audit.canonical import canonical
from minirl.envs.audit.subject import Subject, past_the_end
from minirl.envs.audit.tally import Tally
from minirl.errors import ConfigError
from minirl.types import SPLITS, Task

BLOCK = 1000  # within so many indices no task may come twice


def identities(task: Task, single: bool) -> Iterable[Hashable]:
    """What makes a task the one it is: its key, and for a single turn what it shows.

    A game may show the same words for every task: its secret is in the data alone.
    """
    if "key" in task.data:
        yield "key", canonical(task.data["key"])
    if single:
        yield "prompt", canonical(task.prompt)
    elif "key" not in task.data:
        yield "data", canonical(task.data)


def distinct(subject: Subject, tally: Tally) -> None:
    for split in SPLITS:
        seen: dict[Hashable, Task] = {}
        for task in subject.tasks(split, min(subject.settings.tasks, BLOCK)):
            twin = None
            for identity in identities(task, subject.single):
                first = seen.setdefault(identity, task)
                if first is not task and twin is None:
                    twin = first
            why = "" if twin is None else f"it is the same task as {twin.id}"
            tally.count(subject.example(task, "", None, why) if twin else None)


def disjoint(subject: Subject, tally: Tally) -> None:
    train, test = (
        {
            i: t
            for t in subject.tasks(s, subject.settings.tasks)
            for i in identities(t, subject.single)
        }
        for s in SPLITS
    )
    for identity, task in test.items():
        why = "" if identity not in train else f"it stands in train, too, as {train[identity].id}"
        tally.count(subject.example(task, "", None, why) if why else None)


def size(subject: Subject, tally: Tally) -> None:
    """The size is what can be asked for: then train starts again, and test is refused."""
    for split in SPLITS:
        told = subject.call("size", lambda: subject.env.size(split))  # noqa: B023
        if told is None:
            continue
        if isinstance(told, bool) or not isinstance(told, int) or told < 1:
            why = f"size({split!r}) is {told!r}: no number of tasks"
            tally.count(subject.example(None, "", None, why))
            continue
        first, last, beyond = (past_the_end(subject, split, i) for i in (0, told - 1, told))
        why = ""
        if not isinstance(last, Task):
            why = f"size({split!r}) is {told}, and task {told - 1} cannot be had: {last}"
        elif split == "train" and not isinstance(beyond, Task):
            why = f"train has {told} tasks, and does not start again after them: {beyond}"
        elif split == "train" and isinstance(first, Task) and isinstance(beyond, Task):
            same = canonical([first.prompt, first.data]) == canonical([beyond.prompt, beyond.data])
            why = "" if same else f"task {told} is not task 0, though train has {told} tasks"
        elif split == "test" and not isinstance(beyond, ConfigError):
            why = f"test has {told} tasks, and task {told} raises no ConfigError"
        tally.count(subject.example(None, "", None, why) if why else None)
    if not tally.tries:
        tally.detail = "the tasks do not run out"
