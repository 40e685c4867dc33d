"""The near side of the process in which reasoning-gym lives: one for all environments.

Their generators use global random state, their scorers raise, hang and, in nine cases, evaluate
the text as Python. None of that happens in our process. The other one has a time limit a request,
a memory limit, and nothing of our environment variables. It is no sandbox: what must not be
evaluated is kept from it by :mod:`minirl.envs.adapters.reasoning_gym.screen`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from minirl.errors import ConfigError, EnvironmentFault, MissingExtraError

START_S = 120.0  # importing reasoning-gym takes 1.5 s of CPU; a busy machine needs longer
DRAW_S = 60.0
SCORE_S = 5.0
KEPT = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR")
OURS = {
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",  # the order of a set is the same each time
    "PYTHONUTF8": "1",
}


class Failed(Exception):
    """Their code raised, hung or died over a request."""


class Helper:
    """A process that generates and scores. Safe among threads; a forked child starts its own.

    Attributes:
        generation: how often a process began to serve; a new one holds no entry yet.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._server = 0
        self._read = b""
        self._asked = 0
        self.generation = 0

    def ask(self, do: str, seconds: float = DRAW_S, **request: Any) -> Any:
        """The reply to one request.

        Raises:
            Failed: it raised, took more than ``seconds``, or the process died over it.
            ConfigError: reasoning-gym refuses the options; its words are in the message.
            EnvironmentFault: the process does not start.
        """
        with self._lock:
            self._ensure()
            reply = self._exchange({"do": do, **request}, seconds)
            if "ready" in reply:  # it died: over this, or before it heard it
                reply = self._exchange({"do": do, **request}, seconds)
        if "ready" in reply:
            raise Failed("the process died over it")
        if "late" in reply:
            raise Failed(f"no answer within {seconds:g} s")
        if "refused" in reply:
            raise ConfigError(f"reasoning-gym refuses these options: {reply['refused']}")
        if "raised" in reply:
            raise Failed(reply["raised"])
        return reply["value"]

    def close(self) -> None:
        """End the process; the next request starts another."""
        if self._process is not None and self._owner == os.getpid():
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            try:
                self._process.wait(2.0)
            except subprocess.TimeoutExpired:
                self._end_server()
                self._process.kill()
                self._process.wait()
        self._process = None

    def _ensure(self) -> None:
        """A process that serves, and nothing of an earlier request left unread."""
        if self._process is not None and self._owner == os.getpid():
            if self._process.poll() is None:
                return
            self.close()
        if importlib.util.find_spec("reasoning_gym") is None:
            raise MissingExtraError(
                "environments reasoning-gym:NAME need reasoning-gym, which is not installed",
                fix="pip install 'reasoning-gym>=0.1.25,<0.2'",
            )
        self._owner, self._read = os.getpid(), b""
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))],
            env=environment | OURS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        reply = self._next(START_S)
        while reply is not None and "id" in reply:  # an answer that came too late
            reply = self._next(START_S)
        if reply is None or "ready" not in reply:
            told = "nothing" if reply is None else str(reply.get("fatal", reply))[-600:]
            self.close()
            raise EnvironmentFault("the process for reasoning-gym does not start", got=told)
        self._now_serves(reply["ready"])

    def _exchange(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to ``request``; ``late`` where it took too long, ``ready`` where it died."""
        self._asked += 1
        self._send(request | {"id": self._asked})
        until = time.monotonic() + seconds
        while (reply := self._next(until - time.monotonic())) is not None:
            if "ready" in reply:
                self._now_serves(reply["ready"])
                return reply
            if "fatal" in reply:
                self.close()
                raise EnvironmentFault("the process for reasoning-gym ended")
            if reply["id"] == self._asked:
                return reply
        self._end_server()
        self._wait_until_ready()
        return {"late": True}

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        data = json.dumps(request).encode() + b"\n"  # ASCII: a lone surrogate travels as an escape
        while data:
            data = data[self._process.stdin.write(data) or 0 :]

    def _now_serves(self, pid: int) -> None:
        self._server = pid
        self.generation += 1

    def _end_server(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._server, signal.SIGKILL)

    def _next(self, seconds: float) -> dict[str, Any] | None:
        """The next line of the process; None where none comes in time."""
        assert self._process is not None
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        until = time.monotonic() + seconds
        while b"\n" not in self._read:
            if not select.select([file], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            data = os.read(file, 1 << 16)
            if not data:
                return {"fatal": "it ended"}
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply


@functools.cache  # importing the library takes a second or two: all environments share one process
def shared() -> Helper:
    return Helper()
