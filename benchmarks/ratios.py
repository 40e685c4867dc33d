"""Medians of paired ratios with their spread, and what machine they were measured on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.worker import Step


@dataclass(frozen=True, slots=True)
class Ratio:
    """A median of ratios; above 1 minirl is the better."""

    median: float
    least: float
    most: float
    n: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Ratio:
        """Of (numerator, denominator) pairs, each pair measured one right after the other."""
        ratios = [a / b for a, b in pairs]
        return cls(statistics.median(ratios), min(ratios), max(ratios), len(ratios))

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.least:.2f}, {self.most:.2f}]"


def ratios(pairs: Sequence[tuple[Step, Step]]) -> dict[str, Ratio]:
    """How many times minirl is as fast, or the stock side as large, from (stock, minirl) steps.

    ``step``: seconds; ``rollouts``: tokens written a second; ``training``: tokens of the rows that
    were trained on, prompts counted in each row, a second; ``memory``: the most bytes held so far.
    """
    return {
        "step": Ratio.of([(s.seconds, m.seconds) for s, m in pairs]),
        "rollouts": Ratio.of([(m.written / m.rollouts, s.written / s.rollouts) for s, m in pairs]),
        "training": Ratio.of(
            [(m.row_tokens / m.training, s.row_tokens / s.training) for s, m in pairs]
        ),
        "memory": Ratio.of([(s.peak_bytes, m.peak_bytes) for s, m in pairs]),
    }


def machine() -> dict[str, Any]:
    """The processor and what else runs on it."""
    model = platform.processor() or platform.machine()
    known = Path("/proc/cpuinfo")
    if known.exists():
        names = [line for line in known.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": model, "cores": cores, "load": round(os.getloadavg()[0], 1)}
