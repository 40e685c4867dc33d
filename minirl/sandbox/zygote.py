"""The far side of the wall: a process that forks a confined child for each program.

Started once with an empty environment and the standard library alone. It never reads what a
program wrote: the program talks to our process over a socket of its own, and this one is told by
our process when to end it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import signal
import socket
import struct
import sys
import types
from typing import Any, NoReturn

from minirl.sandbox.confine import confine
from minirl.sandbox.wire import BadValue, TooLong, decode, encode

# A program can open no file, so what it may import is here before it starts.
MODULES = (
    "_strptime", "abc", "array", "ast", "asyncio", "base64", "binascii", "bisect",
    "calendar", "cmath", "collections", "collections.abc", "contextlib", "copy",
    "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools",
    "graphlib", "hashlib", "heapq", "hmac", "inspect", "io", "itertools", "json", "keyword",
    "locale", "math", "numbers", "operator", "os", "pprint", "queue", "random", "re",
    "secrets", "statistics", "string", "struct", "sys", "textwrap", "threading", "time",
    "timeit", "token", "tokenize", "traceback", "types", "typing", "unicodedata", "uuid",
    "warnings", "weakref", "zlib",
)  # fmt: skip
PARENT_CHECK_S = 1.0
NAME = "program"
UNFILTERED = 77  # the exit code of a child that found no filter and must not run the program


def main(control_fd: int, filtered: bool) -> None:
    control = socket.socket(fileno=control_fd)
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the children share these pages
    parent = os.getppid()
    control.sendall(b"ready" if _filter_works() else b"no filter")
    while order := _receive(control, parent):
        data, fds = order
        pid = os.fork()
        if pid == 0:
            control.close()
            _child(fds[0], json.loads(data), filtered)
        os.close(fds[0])
        control.sendall(str(pid).encode())
        told = _receive(control, parent)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        if not told:
            return
        ended = {
            "code": os.waitstatus_to_exitcode(status),
            "cpu_s": usage.ru_utime + usage.ru_stime,
        }
        control.sendall(json.dumps(ended).encode())


def _filter_works() -> bool:
    """Whether a child can be confined by the operating system's own filter: one is tried."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if confine({"cpu_s": 1, "memory_bytes": 2**28}) else UNFILTERED)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _receive(control: socket.socket, parent: int) -> tuple[bytes, list[int]] | None:
    """The next order; None once our process is gone, also when a fork of it holds the socket."""
    control.settimeout(PARENT_CHECK_S)
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(control, 4096, 1)
        except TimeoutError:
            if os.getppid() != parent:
                return None
            continue
        except ConnectionError:
            return None
        control.settimeout(None)
        return (data, fds) if data else None


def _child(fd: int, limits: dict[str, Any], filtered: bool) -> NoReturn:
    try:
        os.setsid()
        fd = _only_descriptor(fd)
        os.environ.clear()
        sys.path[:] = []
        sys.path_importer_cache.clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "minirl"]:
            del sys.modules[name]
        random.seed(0)
        if confine(limits, filtered=filtered) or not filtered:
            _serve(fd)
        os._exit(UNFILTERED)
    finally:
        os._exit(1)  # never back into the loop above, whatever was raised


def _only_descriptor(fd: int) -> int:
    """Close all but the standard three (the null device) and the program's socket, now 3."""
    if fd != 3:
        os.dup2(fd, 3)
    os.closerange(4, 1 << 16)
    return 3


def _serve(fd: int) -> None:
    """Load the program, then answer call after call; the far side ends this."""
    nonce, order = _read(fd)
    module = types.ModuleType(NAME)
    sys.modules[NAME] = module
    limit = int(order["output_bytes"])
    error, detail = _load(order["source"], order["function"], module)
    _write(fd, nonce, error or "value", detail)
    while error is None:
        nonce, args = _read(fd)
        kind, body = _call(module, order["function"], decode(args), limit)
        _write(fd, nonce, kind, body)


def _load(source: str, function: str, module: types.ModuleType) -> tuple[str | None, str]:
    try:
        code = compile(source, f"<{NAME}>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return "syntax", describe(error)
    try:
        exec(code, module.__dict__)
    except MemoryError:
        return "memory", ""
    except BaseException as error:
        return _word(error), describe(error)
    if not callable(module.__dict__.get(function)):
        return "no function", ""
    return None, ""


def _call(module: types.ModuleType, function: str, args: Any, limit: int) -> tuple[str, str]:
    try:
        return "value", encode(module.__dict__[function](*args), limit)
    except MemoryError:
        return "memory", ""
    except BadValue as error:
        return "bad value", describe(error)
    except TooLong as error:
        return "output", describe(error)
    except BaseException as error:
        return _word(error), describe(error)


def _word(error: BaseException) -> str:
    return "forbidden" if isinstance(error, PermissionError) else "exception"


def describe(error: BaseException) -> str:
    """The error in words; its own text may be anything, or raise."""
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except BaseException:
        return "an exception that cannot be shown"


def _read(fd: int) -> tuple[bytes, Any]:
    size, nonce = struct.unpack("!I16s", _exactly(fd, 20))
    return nonce, json.loads(_exactly(fd, size))


def _exactly(fd: int, size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = os.read(fd, min(size - len(got), 1 << 20))
        if not part:
            os._exit(0)
        got += part
    return got


def _write(fd: int, nonce: bytes, kind: str, body: str) -> None:
    data = f"{kind}\n{body}".encode("utf-8", "replace")
    data = struct.pack("!I16s", len(data), nonce) + data
    while data:
        data = data[os.write(fd, data) :]
