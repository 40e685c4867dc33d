"""The process engine, on our side of the wall: CPython in a confined child of its own per program.

The program gets one call at a time and answers on a socket. Each call carries a nonce that its
answer must repeat, so that no answer can be written before its question was asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minirl.errors import EnvironmentFault, SandboxError
from minirl.sandbox.job import ERRORS, MAX_SOURCE, Limits, Outcome
from minirl.sandbox.wire import BadValue, TooLong, decode, encode
from minirl.sandbox.zygote import UNFILTERED

MAX_INPUT = 16 * 2**20  # bytes of one call's arguments
HEADER = struct.Struct("!I16s")
START_S, END_S = 30.0, 10.0
WEAK = "MINIRL_WEAK_SANDBOX"
# The package is not imported over there: its modules are found, its __init__ is not run.
BOOT = """
import sys, types
folder, fd, filtered = sys.argv[1:]
for name in ("minirl", "minirl.sandbox"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from minirl.sandbox.zygote import main
main(int(fd), filtered == "1")
"""
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}  # the order of a set is the same each time


class Broken(Exception):
    """The zygote does not answer: no fault of the program; another one can try again."""


class NoProcessEngine(SandboxError):
    """The machine lacks what the process engine stands on."""


class Zygote:
    """One process that waits to fork a confined child for a program, one at a time.

    Args:
        filtered: False leaves out the operating system's filter and keeps the limits.
    """

    def __init__(self, *, filtered: bool = True) -> None:
        self._control, theirs = socket.socketpair()
        self._child: int | None = None
        arguments = [str(Path(__file__).parent), str(theirs.fileno()), "1" if filtered else "0"]
        # -s -P -S and an environment of ours are what -I -S is, but for the fixed hash seed.
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-S", "-c", BOOT, *arguments],
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        try:
            told = self._receive(START_S)
        except Broken:
            told = b""
        if told == b"ready" or (told and not filtered):
            return
        self.close()
        raise NoProcessEngine(
            "This machine cannot confine a program in a process of its own",
            expected="seccomp (Linux on x86-64 or ARM64) or a sandbox profile (macOS)",
            got=told.decode("ascii", "replace") or f"exit code {self._process.returncode}",
            fix=f"use engine='monty'; or, in a container or a virtual machine that holds nothing "
            f"of value, set {WEAK}=1 to run with resource limits alone",
        )

    @contextlib.contextmanager
    def program(self, source: str, function: str, limits: Limits) -> Iterator[Program]:
        """Start a program; when the block ends, its process is gone. Raises Broken."""
        ours, theirs = socket.socketpair()
        with ours:
            order = {"cpu_s": limits.cpu_s, "memory_bytes": limits.memory_mb * 2**20}
            with theirs:
                try:
                    data = [json.dumps(order).encode()]
                    socket.send_fds(self._control, data, [theirs.fileno()])
                except OSError as error:
                    raise Broken(str(error)) from error
            self._child = _integer(self._receive(END_S))
            program = Program(ours, limits, self._end)
            try:
                program.load(source, function)
                yield program
            finally:
                self._end()

    def _end(self) -> dict[str, Any]:
        """Kill the child if it lives and say how it ended: exit code (or -signal), CPU seconds."""
        if self._child is None:
            return {}
        try:
            self._control.sendall(b"end")
            ended: dict[str, Any] = json.loads(self._receive(END_S))
        except (OSError, ValueError) as error:
            raise Broken(str(error)) from error
        self._child = None
        return ended

    def _receive(self, seconds: float) -> bytes:
        self._control.settimeout(seconds)
        try:
            data = self._control.recv(4096)
        except OSError as error:
            raise Broken(str(error)) from error
        finally:
            self._control.settimeout(None)
        return data

    def close(self) -> None:
        """End it, and the child that it may have."""
        self._control.close()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            if self._child is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(self._child, signal.SIGKILL)


class Program:
    """A running program. Once it has ended, every further call gives the same outcome."""

    def __init__(self, channel: socket.socket, limits: Limits, end: Any) -> None:
        self._channel = channel
        self._limits = limits
        self._end = end
        self._left_s = limits.wall_s
        self._over: Outcome | None = None

    def load(self, source: str, function: str) -> None:
        """Hand over the source and run it. A failure is the outcome of every call."""
        try:
            too_long = len(source.encode("utf-8")) > MAX_SOURCE
        except UnicodeEncodeError:
            self._over = Outcome(error="syntax", detail="a lone surrogate")
            return
        if too_long:
            self._over = Outcome(error="syntax", detail=f"more than {MAX_SOURCE} bytes")
            return
        output_bytes = self._limits.output_bytes
        order = {"source": source, "function": function, "output_bytes": output_bytes}
        kind, body = self._exchange(json.dumps(order), self._left_s)
        if kind != "value" and self._over is None:
            self._over = Outcome(error=kind, detail=body)

    def call(self, args: tuple[Any, ...]) -> Outcome:
        """The function's answer to ``args``. Raises EnvironmentFault unless they are plain data."""
        text = arguments_as_text(args)
        if self._over is not None:
            return self._over
        call_s = min(self._left_s, self._limits.call_s or self._left_s)
        kind, body = self._exchange(json.dumps(text), call_s)
        if self._over is not None:
            return self._over
        if kind != "value":
            return Outcome(error=kind, detail=body)
        try:
            return Outcome(decode(body))
        except BadValue as error:
            return Outcome(error="bad value", detail=str(error)[:500])

    def _exchange(self, text: str, seconds: float) -> tuple[str, str]:
        """Send ``text`` and read the answer to it; sets the final outcome where there is none."""
        started = time.monotonic()
        nonce = secrets.token_bytes(16)
        try:
            self._deadline = started + seconds
            data = text.encode()
            self._send(HEADER.pack(len(data), nonce) + data)
            size, echo = HEADER.unpack(self._read(HEADER.size))
            if echo != nonce:
                return self._finish("forged", "")
            if size > self._limits.output_bytes + 1024:
                return self._finish("output", f"{size} bytes")
            kind, _, body = self._read(size).decode("utf-8", "replace").partition("\n")
        except TimeoutError:
            return self._finish("time", f"no answer within {seconds:.3g} s")
        except (OSError, EOFError):
            return self._finish(*self._post_mortem())
        finally:
            self._left_s -= time.monotonic() - started
        return (
            (kind, body) if kind == "value" or kind in ERRORS else self._finish("forged", kind[:80])
        )

    def _finish(self, error: str, detail: str) -> tuple[str, str]:
        self._end()
        self._over = Outcome(error=error, detail=detail)
        return error, detail

    def _post_mortem(self) -> tuple[str, str]:
        ended = self._end()
        code, cpu_s = int(ended.get("code", 0)), float(ended.get("cpu_s", 0.0))
        if code in (-signal.SIGPROF, -signal.SIGXCPU) or cpu_s >= self._limits.cpu_s:
            return "time", f"{cpu_s:.3g} s of CPU time"
        if code == UNFILTERED:
            raise Broken("the filter of system calls could not be set")
        return "crash", f"the process ended with {code}"

    def _send(self, data: bytes) -> None:
        self._channel.settimeout(self._remaining())
        self._channel.sendall(data)

    def _read(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            self._channel.settimeout(self._remaining())
            part = self._channel.recv(min(size - len(got), 1 << 20))
            if not part:
                raise EOFError
            got += part
        return bytes(got)

    def _remaining(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def arguments_as_text(args: tuple[Any, ...]) -> str:
    """The arguments as the wire's text. Raises EnvironmentFault: they come from our own side."""
    try:
        return encode(list(args), MAX_INPUT)
    except (BadValue, TooLong) as error:
        raise EnvironmentFault(
            "The arguments of a sandboxed call cannot be sent",
            expected="None, bool, int, float, str, and lists, tuples and dicts of them",
            got=str(error),
        ) from error


def _integer(data: bytes) -> int:
    try:
        return int(data)
    except ValueError as error:
        raise Broken("no process id") from error
