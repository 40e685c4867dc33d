"""The child that llama.cpp runs in, from the parent's side: it starts, may die, and never stays."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from minirl.errors import ModelError
from minirl.export.llama.backends import Backend

TAIL = 6  # lines of stderr in an error
LINE = 240  # characters of each
_COMPLAINT = re.compile(r"^E |error|failed", re.IGNORECASE)
_STAMP = re.compile(r"^[\d.]+ (?=[A-Z] )")


@dataclass(frozen=True, slots=True)
class Order:
    """What the child shall serve.

    Attributes:
        context: tokens of the longest conversation.
        parallel: how many conversations at a time.
        exact: whether to compute as precisely as llama.cpp can, rather than as it does by default.
        key: what a request must show; without it, other users of this machine could ask as well.
    """

    backend: Backend
    model: str
    lora: str | None
    context: int
    parallel: int
    exact: bool
    threads: int | None
    key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)


class Child:
    """A running child; ``address`` is where it answers."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, order: Order) -> None:
        self.order = order
        self.address = ""
        self._process = process
        self._log = log

    def wait_until_ready(self) -> None:
        """Raises ModelError where the model cannot be loaded."""
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().decode().strip()
        if not self.address:
            raise self.died("cannot load")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def died(self, doing: str = "died while it worked with") -> ModelError:
        """The error of a child that has ended, with what llama.cpp said last."""
        try:
            code: int | None = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            code = None
        with_lora = f" with {self.order.lora}" if self.order.lora else ""
        return ModelError(
            f"llama.cpp ({self.order.backend}) {doing} {self.order.model}{with_lora}",
            got="\n            ".join([_ending(code), *self._last_lines()]),
            fix="see that the files are whole and belong together; where memory ran out, use a "
            "smaller context, fewer at a time, or a smaller quantization",
        )

    def _last_lines(self) -> list[str]:
        text = self._log.read_bytes()[-64_000:].decode(errors="replace")
        lines = [_STAMP.sub("", line.strip()) for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if _COMPLAINT.search(line)]
        return [line[:LINE] for line in (errors or lines)[-TAIL:]]

    def end(self) -> None:
        """Kill it and whatever it has started."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()  # of stdin: the child's guard kills its group, too
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def running(order: Order) -> Iterator[Child]:
    """Start a child, and end it with the block.

    Raises:
        ModelError: llama.cpp cannot load the model.
    """
    with tempfile.TemporaryDirectory(prefix="minirl-llama-") as folder:
        log = Path(folder) / "stderr"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "minirl.export.llama.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for the parent
            )
        child = Child(process, log, order)
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has died: its stdout says so
                process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
                process.stdin.flush()
            child.wait_until_ready()
            yield child
        finally:
            child.end()


def _environment() -> dict[str, str]:
    """Ours, with this minirl to be found wherever the child runs.

    llama.cpp reads many ``LLAMA_ARG_`` variables, which would change what is measured. And its
    threads wait for each other at full speed, which beside other busy programs made two of them
    fifty times as slow as one: they shall sleep instead.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LLAMA_ARG_", "LLAMA_API"))}
    package = str(Path(__file__).resolve().parents[3])
    known = [p for p in (package, kept.get("PYTHONPATH")) if p]
    kept.setdefault("OMP_WAIT_POLICY", "passive")
    return {**kept, "PYTHONPATH": os.pathsep.join(known), "PYTHONUTF8": "1"}


def _ending(code: int | None) -> str:
    if code is None:
        return "it does not answer"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    hint = {
        "SIGKILL": " (often: no memory left)",
        "SIGABRT": " (llama.cpp gave up)",
        "SIGILL": " (built for another processor)",
    }
    return f"killed by {name}{hint.get(name, '')}"
