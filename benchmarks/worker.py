"""The child's end of a benchmark of two sides: it takes a step when told to, and reports it.

Its argument is an order as JSON. A line on stdin says to go on, reports go as lines of JSON to what
was stdout; what libraries print goes to stderr. It sleeps while it waits, and ends with its stdin.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class Step:
    """What one side did in one optimiser step.

    Attributes:
        seconds: of the whole step.
        rollouts: seconds of them, for playing and scoring.
        written: tokens that the policy wrote.
        row_tokens: prompt and completion tokens of all rows that were trained on, each row counted
            whole.
        rows: trained on.
        prompt_tokens: of the step's distinct prompts, the mean.
        reward, solved: means over the rows as they were played first.
        idle: share of rows whose advantage is zero, since their group's rewards are equal.
        peak_bytes: the most memory that the process has held so far (on CUDA: the card's).
        tasks: numbers of the step's train tasks, in order.
        prompts: a hash of their prompts' token ids.
    """

    seconds: float
    rollouts: float
    written: int
    row_tokens: int
    rows: int
    prompt_tokens: float
    reward: float
    solved: float
    idle: float
    peak_bytes: int
    tasks: tuple[int, ...]
    prompts: str

    @property
    def training(self) -> float:
        """Seconds of everything but the rollouts."""
        return self.seconds - self.rollouts


class Worker:
    """One side's process, as it sees itself."""

    def __init__(self) -> None:
        self.order: dict[str, Any] = json.loads(sys.argv[1])
        self._reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._told: SimpleQueue[str] = SimpleQueue()
        self._start = 0.0
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._told.put(line)
        os._exit(1)  # the parent is gone; nothing here is worth finishing

    def ready(self, **facts: Any) -> None:
        """Say that everything is loaded, and what was found."""
        self._send({"ready": facts})

    def wait(self) -> None:
        """Sleep until the next step is due, and start the clock."""
        self._told.get()
        self._start = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds since the step in progress was due."""
        return time.perf_counter() - self._start

    def report(self, step: Step) -> None:
        self._send({"step": asdict(step)})

    def _send(self, message: dict[str, Any]) -> None:
        print(json.dumps(message), file=self._reports, flush=True)


def peak_bytes(device: str) -> int:
    """The most memory that this process has held (on CUDA: torch's share of the card)."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it forked
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def facts(device: str, dtype: str) -> dict[str, Any]:
    """What a side runs on, once its model is loaded."""
    import torch

    return {
        "device": device,
        "dtype": dtype,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "loaded_bytes": peak_bytes(device),
    }


def digest(prompts: Sequence[Ids]) -> str:
    """A hash of token ids."""
    return hashlib.sha256(json.dumps([list(p) for p in prompts]).encode()).hexdigest()[:16]


def idle_share(rewards: Sequence[float], group_size: int) -> float:
    """The share of rows in groups of equal rewards; ``rewards`` come group after group."""
    groups = [rewards[i : i + group_size] for i in range(0, len(rewards), group_size)]
    return sum(max(g) - min(g) < 1e-8 for g in groups) / len(groups)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
