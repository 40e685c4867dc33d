"""What an environment tells of itself, and how long it takes."""

from __future__ import annotations

import inspect
import json

from minirl.envs.audit.subject import Subject
from minirl.envs.audit.tally import Tally
from minirl.envs.base import Environment
from minirl.types import SPLITS, Task


def documented(subject: Subject, tally: Tally) -> None:
    """A docstring, and one for each option: they are the help."""
    cls = type(subject.env)
    doc = inspect.getdoc(cls) or ""
    why = "the class has no docstring" if doc in ("", inspect.getdoc(Environment)) else ""
    tally.count(subject.example(None, "", None, why) if why else None)
    for name, field in cls.Config.model_fields.items():
        why = "" if field.description else f"the option {name!r} has no docstring"
        tally.count(subject.example(None, "", None, why) if why else None)


def contract(subject: Subject, tally: Tally) -> None:
    """What task() returns is a task of the split and index asked for, with a prompt of text."""
    for split in SPLITS:
        for index, task in enumerate(subject.tasks(split, subject.settings.tasks)):
            why = _fault(task) if isinstance(task, Task) else "task() returned no Task"
            if not why and (task.split, task.index) != (split, index):
                why = f"asked for {split} {index}, task() returned {task.split} {task.index}"
            if not why and task.env != subject.label:
                why = f"its env is {task.env!r}; expected the label {subject.label!r}"
            tally.count(
                subject.example(None, "", None, f"{why} ({split} {index})") if why else None
            )


def _fault(task: Task) -> str:
    if not task.prompt:
        return "the prompt is empty"
    if task.prompt[-1].role not in ("user", "tool"):
        return f"the prompt ends with a message of the role {task.prompt[-1].role!r}"
    if not any(m.content.strip() for m in task.prompt):
        return "the prompt says nothing"
    try:
        "".join(m.content for m in task.prompt).encode()
    except UnicodeEncodeError as error:
        return f"the prompt is no UTF-8: {error}"
    return ""


def json_data(subject: Subject, tally: Tally) -> None:
    """The data can be written down with a rollout."""
    for task in subject.mixed(min(subject.settings.tasks, 50)):
        try:
            json.dumps(dict(task.data), allow_nan=False)
            why = ""
        except (TypeError, ValueError) as error:
            why = f"the task's data is no JSON: {error}"
        tally.count(subject.example(task, "", None, why) if why else None)


def pace(subject: Subject, tally: Tally) -> None:
    """The median call is quick enough to train on. It is judged on what the other checks called."""
    limits = subject.settings.slow_task_s, subject.settings.slow_score_s
    told = []
    kinds = (("task", subject.task_seconds), ("score", subject.score_seconds))
    for (what, seconds), limit in zip(kinds, limits, strict=True):
        if not seconds:
            continue
        ranked = sorted(seconds)
        median, late = (
            ranked[len(ranked) // 2],
            ranked[min(int(len(ranked) * 0.99), len(ranked) - 1)],
        )
        told.append(f"{what} {1e6 * median:,.0f} µs (p99 {1e6 * late:,.0f} µs)")
        why = "" if median <= limit else f"the median {what}() takes {median:.3f} s of {limit:g} s"
        tally.count(subject.example(None, "", None, why) if why else None)
    tally.detail = "; ".join(told)
