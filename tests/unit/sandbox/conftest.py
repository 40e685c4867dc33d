"""A place where hostile programs find all they could wish for, if they get there."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from minirl.sandbox import Job, Limits, Pool, process
from tests.support.hostile_programs import MARK, Hostile

INPUTS = (12345, 67890)
LIMITS = Limits(cpu_s=0.3, wall_s=1.0, memory_mb=128)
HONEST = "def solve(n):\n    return n * 48271 % 2147483647 + 7"


def right(n: int) -> int:
    """The answer that no hostile program works out."""
    return n * 48271 % 2147483647 + 7


@dataclass(frozen=True)
class Scene:
    """A pool, what there is to steal around it, and the marks that its processes carry."""

    pool: Pool
    words: dict[str, str]
    mark: str

    def job(self, hostile: Hostile, limits: Limits = LIMITS) -> Job:
        return Job(self.source(hostile), "solve", tuple((n,) for n in INPUTS), limits)

    def source(self, hostile: Hostile) -> str:
        source = hostile.source
        for word, value in self.words.items():
            source = source.replace(f"@{word}@", value)
        return source

    def strays(self) -> list[int]:
        """The processes that our zygotes left, whoever they belong to and descend from."""
        known = {zygote._process.pid for zygote in self.pool._idle}
        return [pid for pid in _marked(self.mark) if pid not in known]

    def litter(self) -> list[str]:
        """The files that a program made."""
        places = {"/tmp", "/var/tmp", "/dev/shm", "/", self.words["HOME"], self.words["CWD"]}
        return [name for place in places for name in _names(place) if name.startswith(MARK)]


def _names(place: str) -> list[str]:
    return os.listdir(place) if os.path.isdir(place) else []


def _marked(mark: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        # A process may end, or belong to someone else, while it is looked at.
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                yield int(entry.name)


def _tell(server: socket.socket, text: bytes) -> None:
    while True:
        try:
            caller, _ = server.accept()
        except OSError:
            return
        with caller:
            caller.sendall(text)


@pytest.fixture(scope="module")
def make_scene() -> Iterator[Callable[..., Scene]]:
    with contextlib.ExitStack() as held:

        def make(**options: bool) -> Scene:
            patch = held.enter_context(pytest.MonkeyPatch.context())
            folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
            folder.chmod(0o755)
            mark = secrets.token_hex(8)
            answers = json.dumps({str(n): right(n) for n in INPUTS})
            secret = folder / "answers.json"
            secret.write_text(answers)
            secret.chmod(0o644)
            patch.setenv("MINIRL_ANSWERS", answers)
            patch.setitem(process.ENVIRONMENT, "MINIRL_MARK", mark)
            tcp = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            abstract = held.enter_context(socket.socket(socket.AF_UNIX))
            abstract.bind(f"\0{mark}")
            abstract.listen()
            for server in (tcp, abstract):
                threading.Thread(target=_tell, args=(server, answers.encode()), daemon=True).start()
            leaked = os.open(secret, os.O_RDONLY)
            held.callback(os.close, leaked)
            os.set_inheritable(leaked, True)
            words = {
                "PARENT": str(os.getpid()),
                "SECRET": str(secret),
                "PORT": str(tcp.getsockname()[1]),
                "ABSTRACT": mark,
                "FD": str(leaked),
                "CWD": str(Path.cwd()),
                "HOME": str(Path.home()),
            }
            pool = Pool(2, **options)
            held.callback(pool.close)
            return Scene(pool, words, mark)

        yield make


@pytest.fixture(scope="module")
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


def patient(seconds: float = 20.0) -> Limits:
    """Limits for honest programs on a machine that is busy."""
    return replace(LIMITS, cpu_s=seconds, wall_s=seconds)
