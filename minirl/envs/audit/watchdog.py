"""An audit in a process of its own, which is killed where the environment's code hangs.

No alarm reaches a loop in C (a catastrophic regular expression, a power of huge integers); killing
the process does. The check that hung is reported with the call, and the others go on in a new one.
What the environment's code does to files, or to the network, is not held back: it is the author's.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from minirl.envs.audit.checks import CHECKS, CROSS, NAMES
from minirl.envs.audit.report import AuditReport, CheckResult, Example, result_from
from minirl.envs.audit.settings import AuditSettings
from minirl.errors import ConfigError

MOST_DEATHS = 6  # processes that may hang or die before the rest stays untried
_GRACE_S = 3.0  # after the alarm's time
_TITLES = {check.name: check.title for check in CHECKS}
_OPENS = "the environment can be made"

Progress = Callable[[str, int, int], None]  # the check that begins, its number, how many there are


def audit_level(
    spec: str,
    options: Mapping[str, Any],
    settings: AuditSettings,
    progress: Progress = lambda name, number, of: None,
    checks: Sequence[str] = NAMES,
) -> AuditReport:
    """Audit one environment at one level with the checks of :data:`~minirl.envs.audit.CHECKS`.

    Args:
        progress: hears of each check that begins.
        checks: the names of those to run, in their order.

    Raises:
        ConfigError: the spec or an option cannot be used (an environment that is broken is a
            finding, and raises nothing).
    """
    began = time.monotonic()
    seen = _Seen()
    left = list(checks)
    for _ in range(MOST_DEATHS):
        if not left:
            break
        stopped_in = _run(spec, options, settings, left, seen, progress)
        if stopped_in is None:
            left = []
        else:
            left = left[left.index(stopped_in) + 1 :]
    for name in left:
        seen.untried(name, f"not tried: {MOST_DEATHS} processes hung or died before")
    return AuditReport(
        spec, settings.tasks, seen.calls, time.monotonic() - began, tuple(seen.in_order())
    )


@dataclass(slots=True)
class _Seen:
    """What all processes of one audit told."""

    results: dict[str, CheckResult] = field(default_factory=dict)
    calls: int = 0

    def add_cross(self, results: list[CheckResult]) -> None:
        for new in results:
            old = self.results.get(new.check)
            self.results[new.check] = new if old is None else merged(old, new)

    def untried(self, name: str, why: str) -> None:
        self.results.setdefault(name, CheckResult(name, _TITLES[name], 0, 0, False, why))

    def in_order(self) -> list[CheckResult]:
        order = ("opens", *NAMES, *CROSS)
        return [self.results[name] for name in order if name in self.results]


def merged(old: CheckResult, new: CheckResult) -> CheckResult:
    """Two results of one check, added up."""
    return replace(
        old,
        tries=old.tries + new.tries,
        failures=old.failures + new.failures,
        failed=old.failed or new.failed,
        detail="" if old.tries + new.tries else old.detail,
        example=old.example or new.example,
    )


def _run(
    spec: str,
    options: Mapping[str, Any],
    settings: AuditSettings,
    names: list[str],
    seen: _Seen,
    progress: Progress,
) -> str | None:
    """Run some checks in a new process; the check in which it was stopped, None where in none."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder, "stderr"), "w+b") as printed:
        where = Path(folder, "where")
        job = {
            "spec": spec,
            "options": dict(options),
            "settings": asdict(settings),
            "checks": names,
            "where": str(where),
        }
        child = start("minirl.envs.audit.child", job, stderr=printed)
        cross: list[CheckResult] = []
        current, calls, ended = names[0], 0, False
        for line in _lines(child, where, settings.call_limit_s + _GRACE_S):
            if line is None:  # nothing has moved for too long
                call = _whereabouts(where)
                limit = settings.call_limit_s + _GRACE_S
                why = f"{call['what']}() had not returned after {limit:g} s and was killed"
                cross = [
                    *cross,
                    _stop(
                        "hangs", "every call of the environment's code returns in time", call, why
                    ),
                ]
                break
            if "error" in line:
                raise ConfigError(line["error"])
            if "fault" in line:
                example = Example(spec, "", "", None, None, line["fault"])
                seen.results["opens"] = CheckResult("opens", _OPENS, 1, 1, True, "", example)
                return None
            if "begin" in line:
                current = line["begin"]
                progress(current, NAMES.index(current) + 1, len(NAMES))
            elif "result" in line:
                seen.results[line["result"]["check"]] = result_from(line["result"])
                cross, calls = [result_from(r) for r in line["cross"]], line["calls"]
            ended = ended or "done" in line
        end(child)
        if not ended and not any(r.check == "hangs" and r.detail == "killed" for r in cross):
            printed.seek(0)
            last = printed.read()[-500:].decode(errors="replace").strip()
            call = _whereabouts(where)
            why = f"the process ended with code {child.returncode} in {call['what']}(): {last}"
            cross = [*cross, _stop("raises", "the environment's code never raises", call, why)]
        for result in cross:
            seen.add_cross([replace(result, detail="")])
        seen.calls += calls
        if ended:
            return None
        seen.untried(current, "not tried to the end: see hangs and raises")
        return current


def _stop(check: str, title: str, call: Mapping[str, str], why: str) -> CheckResult:
    example = Example(call["task"], call["prompt"], call["text"], None, None, why)
    return CheckResult(check, title, 1, 1, True, "killed", example)


def start(module: str, job: Mapping[str, Any], **popen: Any) -> subprocess.Popen[bytes]:
    """A Python process of ours that reads ``job`` from stdin, in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    environment.update(popen.pop("env", {}))
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=environment,
        **popen,
    )
    if child.stdin is None:  # for the type checker: PIPE was asked for
        raise RuntimeError("the process has no stdin")
    child.stdin.write(json.dumps(job).encode())
    child.stdin.close()
    child.stdin = None  # else communicate() would flush it
    return child


def end(child: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=0.5)
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):  # it is gone
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _lines(
    child: subprocess.Popen[bytes], where: Path, patience_s: float
) -> Iterator[dict[str, Any] | None]:
    """What the process writes, a record at a time; None where nothing moves for ``patience_s``."""
    told: queue.Queue[bytes | None] = queue.Queue()

    def pump(pipe: IO[bytes]) -> None:
        for line in pipe:
            told.put(line)
        told.put(None)

    if child.stdout is None:  # as above
        raise RuntimeError("the process has no stdout")
    threading.Thread(target=pump, args=(child.stdout,), daemon=True).start()
    last, moved = b"", time.monotonic() + 30.0  # the first imports may take their time
    while True:
        try:
            line = told.get(timeout=0.25)
        except queue.Empty:
            now = where.read_bytes() if where.exists() else b""
            if now != last:
                last, moved = now, time.monotonic()
            elif time.monotonic() - moved > patience_s:
                yield None
                return
            continue
        if line is None:
            return
        moved = max(moved, time.monotonic())
        yield json.loads(line)


def _whereabouts(where: Path) -> dict[str, str]:
    raw = where.read_bytes().decode(errors="replace") if where.exists() else ""
    fields = raw.partition("\x1e")[0].split("\x1f")
    names = ("calls", "what", "task", "prompt", "text")
    return {name: fields[i] if i < len(fields) else "?" for i, name in enumerate(names)}
