"""The parent's end of a benchmark of two sides: each a process of its own, told when to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.worker import Step
from minirl.config import Recipe

TAIL = 12  # lines of a child's stderr in an error


class SideFailed(RuntimeError):
    """One side ended before it was told to; the message holds its last lines."""


class Side:
    """A running child.

    Attributes:
        name: ``stock`` or ``minirl``.
        facts: what it found when it loaded: device, dtype, bytes held.
        pid: its process.
    """

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self.facts: dict[str, Any] = self._read()["ready"]

    @property
    def pid(self) -> int:
        return self._process.pid

    def step(self) -> Step:
        """Let it take one step, and wait for it.

        Raises:
            SideFailed: it has ended instead.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("step\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        told = self._read()["step"]
        return Step(**{**told, "tasks": tuple(told["tasks"])})

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        message: dict[str, Any] = json.loads(line)
        return message

    def _failure(self) -> SideFailed:
        code = self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = "\n".join(f"  {line}" for line in lines[-TAIL:])
        return SideFailed(f"the {self.name} side ended with code {code}:\n{said}")


@contextmanager
def running(
    name: str, module: str, order: Mapping[str, Any], threads: int | None, folder: Path
) -> Iterator[Side]:
    """Start ``python -m MODULE ORDER`` and end it, and all that it started, with the block.

    It writes into ``folder``, which is the caller's to remove, since a killed child cannot.
    A side at rest waits for its pipe, and its threads have gone to sleep; they wait for work as
    they do for a user (with OMP_WAIT_POLICY=passive, short products take twice as long).
    """
    log = folder / f"{name}.log"
    environment = dict(os.environ)
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps({**order, "folder": str(folder / name)})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
            env=environment,
            start_new_session=True,  # Ctrl-C in a terminal is for the parent, which ends both
        )
    try:
        yield Side(name, process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def both(stock: Recipe, minirl: Recipe, threads: int | None = None) -> Iterator[tuple[Side, Side]]:
    """Stock and minirl, loaded and waiting: (stock, minirl).

    minirl loads first, and chooses device and number format; the stock side takes the same.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minirl-benchmark-")))
        order = {"recipe": minirl.model_dump_json()}
        ours = stack.enter_context(
            running("minirl", "benchmarks.minirl_grpo", order, threads, folder)
        )
        same = {key: ours.facts[key] for key in ("device", "dtype")}
        order = {"recipe": stock.model_dump_json(), **same}
        theirs = stack.enter_context(
            running("stock", "benchmarks.stock_grpo", order, threads, folder)
        )
        yield theirs, ours


def in_turn(stock: Side, minirl: Side, pairs: int) -> Iterator[tuple[Step, Step]]:
    """``pairs`` steps of each, alternating: (stock's, minirl's). Who goes first alternates, too."""
    for pair in range(pairs):
        order: Sequence[Side] = (stock, minirl) if pair % 2 == 0 else (minirl, stock)
        taken = {side.name: side.step() for side in order}
        yield taken["stock"], taken["minirl"]
