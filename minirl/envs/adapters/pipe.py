"""Another library's environment in a process of its own, asked over a pipe.

Its dependencies, signal handlers and event loop stay there, and it may be another Python: one whose
virtual environment holds what does not fit beside minirl. This is no sandbox: the library's code
runs with the user's rights.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from minirl.errors import ConfigError, EnvironmentFault, MissingExtraError

# The folder is on the path for one import only: the modules beside it have names of libraries.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import foreign_side.main as m; "
    "sys.path.pop(0); m.main()"
)
_LARGEST = 256 * 2**20  # bytes of one answer


class Pipe:
    """A worker process, started when it is first asked, and again in a child after a fork.

    Args:
        label: what to call the environment in errors.
        kind: which library (``verifiers`` or ``openenv``).
        options: what its side is told first.
        python: the interpreter; this one without it.
        timeout_s: how long one answer may take.
    """

    def __init__(
        self,
        label: str,
        kind: str,
        options: Mapping[str, Any],
        *,
        python: str | None,
        timeout_s: float,
    ) -> None:
        self._label, self._kind, self._options = label, kind, dict(options)
        self._python, self._timeout_s = python or sys.executable, timeout_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._facts: dict[str, Any] = {}
        self._abandoned: deque[int] = deque()

    def __getstate__(self) -> dict[str, Any]:
        kept = {k: v for k, v in self.__dict__.items() if k not in ("_stderr", "_end")}
        return {**kept, "_lock": None, "_process": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def facts(self) -> dict[str, Any]:
        """What the environment says of itself."""
        with self._lock:
            self._running()
            return self._facts

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            MissingExtraError, ConfigError: it cannot be loaded, or not be adapted.
            EnvironmentFault: its code failed, died, or did not answer in time.
        """
        with self._lock:
            process = self._running()
            while self._abandoned:
                gone = self._abandoned.popleft()
                self._exchange(process, {"op": "close", "session": gone})
            return self._exchange(process, {"op": op, **fields})

    def forget(self, session: int) -> None:
        """Let the session be closed before the next request. For finalizers, which may run in the
        middle of one.
        """
        self._abandoned.append(session)

    def close(self) -> None:
        """End the process; a later request starts another."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._process and self._owner == os.getpid():
            self._end()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner == os.getpid():
            if self._process.poll() is None:
                return self._process
            self._process = None
        return self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._abandoned.clear()
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (it lives with the process)
        command = [self._python, "-c", _BOOT, str(Path(__file__).parent), self._kind]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(
                f"{self._label}: no Python can be started at {self._python}: {error.strerror}",
                fix="set the option python to an interpreter, as in ~/venvs/other/bin/python",
            ) from None
        self._process, self._owner = process, os.getpid()
        self._end = weakref.finalize(self, _end_process, process, os.getpid())
        self._facts = self._exchange(process, {"op": "hello", "options": self._options})
        return process

    def _exchange(self, process: subprocess.Popen[bytes], request: Any) -> dict[str, Any]:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = self._read_line(process)
        except (BrokenPipeError, EOFError):
            self._stop()
            raise EnvironmentFault(
                f"{self._label}: its process ended", got=self._last_words()
            ) from None
        answer = json.loads(line)
        if "ok" in answer:
            found: dict[str, Any] = answer["ok"]
            return found
        if "failed" in answer:
            raise EnvironmentFault(
                f"{self._label}: its code failed: {answer['failed']}", got=self._last_words()
            )
        raise self._refusal(**answer["refused"])

    def _read_line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        deadline = time.monotonic() + self._timeout_s
        data = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not data.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self._stop()
                    raise EnvironmentFault(
                        f"{self._label}: no answer within {self._timeout_s:g} s",
                        fix="raise the option timeout_s, or mend that environment",
                    )
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk or len(data) > _LARGEST:
                    raise EOFError
                data += chunk
        return data

    def _refusal(self, kind: str, message: str) -> Exception:
        if kind == "missing":
            return MissingExtraError(
                f"{self._label} needs the package {message!r}, which {self._python} does not have",
                fix=f"{self._python} -m pip install {message}, or set the option python to the "
                "interpreter of another virtual environment",
            )
        if kind == "config":
            return ConfigError(f"{self._label}: {message}")
        return ConfigError(f"{self._label} cannot be used here: {message}")

    def _last_words(self) -> str:
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 2000))
        return self._stderr.read().decode(errors="replace").strip() or "no message"


def _end_process(process: subprocess.Popen[bytes], owner: int) -> None:
    """End the process; only its parent may, for a forked child shares the handle."""
    if owner != os.getpid():
        return
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
