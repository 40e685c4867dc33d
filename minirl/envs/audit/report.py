"""What an audit found, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["passed", "FAILED", "noted", "not tried"]


@dataclass(frozen=True, slots=True)
class Example:
    """One failure in full.

    Attributes:
        completion: what the policy wrote; the turns of an episode are apart by a line ``---``.
        value, solved: the score it got; None where none came.
        why: what is wrong with it.
    """

    task: str
    prompt: str
    completion: str
    value: float | None
    solved: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check saw.

    Attributes:
        check: its name.
        title: what holds where it passes.
        tries, failures: counts; a rate-checking check counts the guesses that were paid.
        failed: whether the environment fails the audit by it.
        detail: figures, or why it was not tried.
        example: the first failure.
    """

    check: str
    title: str
    tries: int
    failures: int
    failed: bool
    detail: str = ""
    example: Example | None = None

    @property
    def outcome(self) -> Outcome:
        if self.failed:
            return "FAILED"
        if self.tries == 0:
            return "not tried"
        return "noted" if self.failures and self.example else "passed"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Every check of one environment at one level; a check that passed was tried.

    Attributes:
        env: the spec that was audited.
        tasks: how many tasks of each split were asked for.
        calls: how often the environment's code was called.
        seconds: how long it took.
    """

    env: str
    tasks: int
    calls: int
    seconds: float
    results: tuple[CheckResult, ...]

    @property
    def findings(self) -> tuple[CheckResult, ...]:
        return tuple(result for result in self.results if result.failed)

    @property
    def passed(self) -> bool:
        return not self.findings

    def as_record(self) -> dict[str, Any]:
        """A JSON-ready form, which :mod:`minirl.report.audit_table` renders."""
        results = [{**asdict(r), "outcome": r.outcome} for r in self.results]
        return {
            "env": self.env,
            "passed": self.passed,
            "tasks": self.tasks,
            "calls": self.calls,
            "seconds": round(self.seconds, 2),
            "checks": results,
        }


def result_from(record: Mapping[str, Any]) -> CheckResult:
    """A result that crossed a process boundary as ``dataclasses.asdict`` wrote it."""
    example = record["example"]
    return CheckResult(**{**record, "example": None if example is None else Example(**example)})
