"""The process in which an audit runs; :mod:`minirl.envs.audit.watchdog` starts and watches it.

It reads a job from stdin and writes a line of JSON for each check that begins and ends. Whatever
the environment prints goes to stderr, which the parent keeps for the case that the process dies.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from minirl.envs.audit.checks import cross, run_checks
from minirl.envs.audit.settings import AuditSettings
from minirl.envs.audit.subject import Subject, told
from minirl.envs.base import Turns, as_turns
from minirl.envs.registry import make_env
from minirl.errors import EnvironmentFault, MinirlError
from minirl.types import Task

_KEPT = 2000  # characters of prompt and completion that tell where a process hung


class Whereabouts:
    """A small file that says which call is in progress: rewritten before each call."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        self._calls = 0

    def __call__(self, what: str, task: Task | None, written: Turns) -> None:
        self._calls += 1
        prompt = task.prompt[-1].content[:_KEPT] if task and task.prompt else ""
        turns = as_turns(written)
        fields = (str(self._calls), what, task.id if task else "", prompt)
        text = "\x1f".join((*fields, (turns[-1] if turns else "")[:_KEPT], "\x1e"))
        os.pwrite(self._file, text.encode("utf-8", "backslashreplace"), 0)


def main() -> None:
    job = json.load(sys.stdin)
    lines = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    settings = AuditSettings(**job["settings"])

    def make() -> Any:
        return make_env(job["spec"], job["options"])

    try:
        env = make()
    except MinirlError as error:
        kind = "fault" if isinstance(error, EnvironmentFault) else "error"
        _write(lines, {kind: str(error)})
        return
    except Exception as error:  # the environment's own __init__
        _write(lines, {"fault": told("__init__", error)})
        return
    subject = Subject(env, make, settings, Whereabouts(Path(job["where"])))
    begun = set()

    def begin(name: str) -> None:
        begun.add(name)
        _write(lines, {"begin": name})

    for result in run_checks(subject, job["checks"], begin):
        if result.check in begun:
            seen = [asdict(r) for r in cross(subject)]
            _write(lines, {"result": asdict(result), "cross": seen, "calls": subject.calls})
    _write(lines, {"done": subject.label})


def _write(lines: TextIO, record: dict[str, Any]) -> None:
    lines.write(json.dumps(record) + "\n")
    lines.flush()


if __name__ == "__main__":
    main()
