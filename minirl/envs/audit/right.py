"""What is right passes: gold, alternatives, the metamorphic relation."""

from __future__ import annotations

from minirl.envs.audit.report import Example
from minirl.envs.audit.subject import Subject
from minirl.envs.audit.tally import Tally
from minirl.envs.base import Turns, as_turns, task_rng
from minirl.types import SPLITS, Task


def gold(subject: Subject, tally: Tally) -> None:
    for split in SPLITS:
        for task in tally.within(subject.tasks(split, subject.settings.tasks)):
            written = subject.gold(task)
            if written is not None:
                tally.count(_refused(subject, task, written, "the gold answer is refused"))
    if subject.unknown_golds and not tally.tries:
        tally.detail = "no gold answer is known"


def alternatives(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(subject.settings.tasks)):
        for written in subject.alternatives(task):
            why = "a declared alternative is refused"
            tally.count(_refused(subject, task, written, why))
    if not tally.tries:
        tally.detail = "none is declared"


def framing(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(subject.settings.tasks // 4)):
        written = subject.gold(task)
        if written is None or _refused(subject, task, written, ""):
            continue
        *before, last = as_turns(written)
        for text in (f"{last}\n", f"\n{last}", f"{last}  \n\n"):
            why = "the gold answer is refused for the blank space around it"
            tally.count(_refused(subject, task, (*before, text), why))


def shifted(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(subject.settings.tasks // 2)):
        rng = task_rng(subject.settings.seed, task.id)
        found = subject.call("shifted", lambda: subject.env.shifted(task, rng), task)  # noqa: B023
        if found is None:
            continue
        changed, written = found
        why = "the shifted answer is refused on the shifted task"
        tally.count(_refused(subject, changed, written, why))
        old = subject.gold(task)
        if old is not None:
            why = "the old answer still passes on the shifted task"
            tally.count(subject.pays(changed, old, why))
    if not tally.tries:
        tally.detail = "no relation is declared"


def _refused(subject: Subject, task: Task, written: Turns, why: str) -> Example | None:
    score = subject.score(task, written)
    if score is None or (score.solved and score.value >= 1.0):
        return None
    return subject.example(task, written, score, why)
