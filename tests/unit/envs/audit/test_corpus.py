"""Every planted fault is found by the check that names it, and sound environments by none."""

from __future__ import annotations

from pathlib import Path

import faulty_envs
import pytest

from minirl.envs import Environment
from minirl.envs.audit import AuditSettings, CheckResult, audit, audit_here
from minirl.envs.audit.checks import NAMES
from minirl.envs.audit.elsewhere import elsewhere
from minirl.envs.audit.levels import across_levels
from minirl.envs.audit.watchdog import audit_level

FILE = Path(faulty_envs.__file__)
CLASSES = {
    name: cls
    for name, cls in vars(faulty_envs).items()
    if isinstance(cls, type) and issubclass(cls, Environment) and cls.__module__ == "faulty_envs"
}
# What shows only in another process, across levels, or where the process must be killed.
PROCESSES = {"process", "clock"}
APART = {*PROCESSES, "levels", "opens"}
KILLED = {"HangsInC", "HugeInteger", "Dies"}
HERE = [n for n, cls in CLASSES.items() if not cls.findings & APART and n not in KILLED]


def settings(name: str, tasks: int = 60) -> AuditSettings:
    slow = name.startswith("Slow")
    return AuditSettings(
        tasks=tasks,
        call_limit_s=0.5 if name in {"Hangs", *KILLED} else 5.0,
        check_budget_s=1.0 if slow else 20.0,
        slow_task_s=0.01 if slow else 1.0,
        slow_score_s=0.01 if slow else 1.0,
    )


def judged(name: str, results: tuple[CheckResult, ...]) -> None:
    cls = CLASSES[name]
    failed = {r.check: r for r in results if r.failed}
    told = {check: (r.detail, r.example) for check, r in failed.items()}
    assert set(cls.findings) <= set(failed), told
    assert set(failed) <= cls.findings | cls.maybe, told
    for result in failed.values():
        assert 1 <= result.failures <= result.tries
        assert result.example is not None
        assert result.example.why


def test_the_corpus_is_large_and_names_most_checks() -> None:
    assert len(CLASSES) >= 60
    named = set().union(*(cls.findings for cls in CLASSES.values()))
    assert len(named) >= 30


@pytest.mark.parametrize("name", HERE)
def test_the_planted_fault_is_found(name: str) -> None:
    cls = CLASSES[name]
    judged(name, audit_here(lambda: cls(cls.Config()), settings(name, tasks=50)))


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("HangsInC", ("hostile", "gold")),
        ("HugeInteger", ("hostile", "gold")),
        ("Dies", ("code", "hostile")),
        ("CannotBeMade", ("gold",)),
    ],
)
def test_a_process_that_hangs_or_dies_is_a_finding(name: str, checks: tuple[str, ...]) -> None:
    names = [check for check in NAMES if check in checks]
    report = audit_level(f"{FILE}:{name}", {}, settings(name, tasks=6), checks=names)
    judged(name, report.results)
    if name != "CannotBeMade":  # the audit went on where it could
        assert {r.check for r in report.results} == {*checks, "consistent", "raises", "hangs"}
    if name == "HugeInteger":
        (hung,) = report.findings
        assert hung.example is not None
        assert hung.example.completion == "Answer: 9**9**9**9"
        assert "was killed" in hung.example.why


def test_other_processes_tell_what_depends_on_them() -> None:
    names = ["Sum", "Vault", *(n for n, cls in CLASSES.items() if cls.findings & PROCESSES)]
    found = elsewhere([f"{FILE}:{name}" for name in names], {}, tasks=6)
    for name in names:
        results = found[f"{FILE}:{name}"]
        failed, cls = {r.check for r in results if r.failed}, CLASSES[name]
        assert cls.findings <= failed <= cls.findings | cls.maybe, (name, results)
        assert all(r.tries > 0 for r in results)
    assert len(names) >= 6


def test_levels_that_train_on_each_others_tests() -> None:
    def across(cls: type[Environment]) -> CheckResult:
        envs = [cls(cls.Config(largest=n), level=str(n)) for n in (40, 41)]
        return across_levels(envs, 400)

    assert not across(faulty_envs.Sum).failed
    result = across(faulty_envs.LevelsOverlap)
    judged("LevelsOverlap", (result,))
    assert result.example is not None
    assert "in train of another level" in result.example.why


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Sum", "Vault"])
def test_a_sound_environment_is_given_no_false_alarm(name: str) -> None:
    (report,) = audit(f"{FILE}:{name}", settings=settings(name))
    assert report.passed, [(r.check, r.example) for r in report.findings]
    tried = {r.check for r in report.results if r.tries}
    assert {"gold", "decoys", "hostile", "threads", "process", "clock", "pace"} <= tried
