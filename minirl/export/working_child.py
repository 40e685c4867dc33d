"""A child process that does one piece of work, says how far it is, and may die."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minirl.models import store
from minirl.rundir import disk_errors

TAIL = 6  # lines of the child's log in an error
_LOG_READ = 65_536  # bytes of its end
_SECONDS_BETWEEN_REPORTS = 2.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended.

    Attributes:
        code: its exit status; negative for a signal.
        told: the last thing that it told.
        log: the last lines of its standard error, blank ones left out.
    """

    code: int
    told: Mapping[str, Any]
    log: Sequence[str]

    @property
    def last_words(self) -> str | None:
        """The end of the log, as it stands in an error."""
        return "\n            ".join(self.log[-TAIL:]) or None

    def raise_if_disk_full(self, out: Path, *, full: str, elsewhere: str) -> None:
        """Raises DiskFullError where the child had no space left to write ``out``."""
        words = "No space left on device"
        if self.told.get("problem") == "disk" or any(words in line for line in self.log):
            with disk_errors(out, full=full, elsewhere=elsewhere):
                raise OSError(28, words)


def run_child(
    arguments: Sequence[str],
    doing: str,
    *,
    progress: store.Progress = store.silent,
    environment: Mapping[str, str] | None = None,
) -> Ending:
    """Run Python with ``arguments`` to its end. It dies with Ctrl-C, and with an error of ours.

    Args:
        doing: what it does, for the progress.
        environment: what to set beside the variables of this process.
    """
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-P", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            errors="replace",
            env={**os.environ, **_where_minirl_is(), **(environment or {})},
        )
        try:
            assert child.stdout is not None
            last = deque(_reported(child.stdout, doing, progress), maxlen=1)
            code = child.wait()
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_READ))
        lines = log.read().decode(errors="replace").splitlines()
    told = last[0] if last else {}
    return Ending(code, told, [line.rstrip() for line in lines if line.strip()])


def _where_minirl_is() -> dict[str, str]:
    top = str(Path(__file__).resolve().parents[2])
    known = [top, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(known)}


def _reported(
    lines: Iterable[str], doing: str, progress: store.Progress
) -> Iterator[Mapping[str, Any]]:
    """What the child tells, passed on to ``progress`` now and then."""
    start = last = time.monotonic()
    for line in lines:
        told: Mapping[str, Any] = {}
        with contextlib.suppress(ValueError):  # a line that was cut short by its death
            told = json.loads(line)
        now = time.monotonic()
        if told.get("total") and now - last > _SECONDS_BETWEEN_REPORTS:
            done, total = told["done"] / 1e6, told["total"] / 1e6
            progress(f"{doing}: {done:.0f} of {total:.0f} MB ({done / (now - start):.0f} MB/s)")
            last = now
        yield told
