"""Every check of one environment, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from minirl.envs.audit import blind, distinct, episodes, manners, pure, right, tricks, wrong
from minirl.envs.audit.report import CheckResult
from minirl.envs.audit.settings import AuditSettings
from minirl.envs.audit.subject import Make, Subject, alarms
from minirl.envs.audit.tally import Tally


class Check(NamedTuple):
    """A check: what holds where it passes, and whether a failure is only noted."""

    name: str
    title: str
    run: Callable[[Subject, Tally], None]
    note: bool = False


CHECKS = (
    Check("documented", "class and options have docstrings", manners.documented),
    Check("contract", "task() returns whole tasks of the split asked for", manners.contract),
    Check("gold", "the gold answer scores 1", right.gold),
    Check("alternatives", "declared alternatives score 1", right.alternatives),
    Check("framing", "blank space around the gold is no mistake", right.framing),
    Check("shifted", "the answer follows the question", right.shifted),
    Check("decoys", "there are decoys, and they score 0", wrong.decoys),
    Check("blank", "an empty completion scores 0", wrong.blank),
    Check("echo", "copying from the prompt scores 0", wrong.echo),
    Check("stuffed", "several answers in one completion score 0", wrong.stuffed),
    Check("neighbours", "the answer with something attached scores 0", wrong.neighbours),
    Check("sentence", "the answer outside of its place scores 0", wrong.sentence),
    Check("look_alikes", "what only looks like the answer scores 0", tricks.look_alikes),
    Check("other_case", "capitals make a difference", tricks.other_case, note=True),
    Check("numbers", "NaN, infinity and huge numbers score 0", tricks.numbers),
    Check("code", "an answer is read and not run", tricks.code),
    Check("hostile", "hostile text scores 0", tricks.hostile),
    Check("constants", "a constant answer stays at the floor", blind.constants),
    Check("others", "other tasks' answers stay at the floor", blind.others),
    Check("words", "copying one place of the prompt stays at the floor", blind.words),
    Check("leak", "the answer does not stand in what is shown", blind.leak),
    Check("replies", "replies to nonsense do not tell the answer", blind.replies),
    Check("turns", "the gold fits into max_turns", episodes.turns),
    Check("early", "an unfinished episode is not solved", episodes.early),
    Check("independent", "episodes do not touch each other", episodes.independent),
    Check("tools", "the tools are valid JSON schemas", episodes.tools),
    Check("distinct", "no task comes twice", distinct.distinct),
    Check("disjoint", "no task stands in both splits", distinct.disjoint),
    Check("size", "the sizes are honest", distinct.size),
    Check("pure_task", "task(split, index) is always the same", pure.pure_task),
    Check("mutable", "changing a task changes no other", pure.mutable),
    Check("untouched", "gold, decoys and score leave the task alone", pure.untouched),
    Check("pure_score", "the same answer always gets the same score", pure.pure_score),
    Check("global_random", "the global random state is left alone", pure.global_random),
    Check("pickles", "tasks can be pickled", pure.pickles),
    Check("pickles_env", "a fresh environment can be pickled", pure.pickles_env, note=True),
    Check("json_data", "the tasks' data is JSON", manners.json_data, note=True),
    Check("threads", "eight threads get what one gets", pure.threads),
    Check("pace", "tasks and scores are quick enough to train on", manners.pace),
)  # fmt: skip
CROSS = ("consistent", "raises", "hangs")
NAMES = tuple(check.name for check in CHECKS)


def run_checks(
    subject: Subject,
    names: Sequence[str] = NAMES,
    begun: Callable[[str], None] = lambda name: None,
) -> Iterator[CheckResult]:
    """Run the checks in this process; what every call adds to comes last (see :data:`CROSS`)."""
    with alarms():
        for check in CHECKS:
            if check.name in names:
                begun(check.name)
                budget = subject.settings.check_budget_s
                tally = Tally(check.name, check.title, note=check.note, budget_s=budget)
                check.run(subject, tally)
                yield tally.result()
    yield from cross(subject)


def cross(subject: Subject) -> tuple[CheckResult, ...]:
    """What was seen in every call so far."""
    return tuple(tally.result() for tally in (subject.consistent, subject.raises, subject.hangs))


def audit_here(make: Make, settings: AuditSettings) -> tuple[CheckResult, ...]:
    """All checks in this process: quick, but a call that hangs in C hangs the audit."""
    env: Any = make()
    return tuple(run_checks(Subject(env, make, settings)))
