"""The same seed gives the same metrics, and a killed run that is resumed gives an unbroken run's.

By default a few moments are tried; ``MINIRL_KILLS=all`` tries all of them (about five minutes).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minirl.models.catalogue import resolve_model
from minirl.rundir import RunDir, read_jsonl

STEPS, EVERY = 8, 2
OPTIONS = {
    "train.steps": STEPS,
    "train.save_every": EVERY,
    "train.prompts_per_step": 4,
    "train.beta": 0.05,  # with a reference adapter beside the trained one
    "train.schedule": '"linear"',  # a schedule that has to be restored
    "stream.strategy": '"curriculum"',  # and posteriors
    "stream.pool": 40,
}
PARTIAL = "train/checkpoints/.partial/checkpoint-*"

# A moment is when the parent kills: as soon as a file appears, or so many lines of metrics are
# written, or so many seconds after the first line.
FILES = [
    PARTIAL,
    f"{PARTIAL}/adapter_model.safetensors",
    f"{PARTIAL}/optimizer.pt",
    f"{PARTIAL}/rng_state.pth",
    f"{PARTIAL}/trainer_state.json",
    f"{PARTIAL}/stream.json",
    "train/checkpoints/step-2",
    "train/checkpoints/step-6",
    "train/metrics.jsonl",
    "train/rollouts.jsonl",
    ".adapter.partial",
    "environment.json",
    "config.json",
]
LINES = [2, 3, 5, 7, 8]
SECONDS = [0.1, 0.25, 0.45, 0.7, 1.1, 1.6]
ALL = [*(("file", f) for f in FILES), *(("lines", n) for n in LINES)]
ALL += [("seconds", s) for s in SECONDS]
FEW = [("file", f"{PARTIAL}/optimizer.pt"), ("lines", 3), ("file", "train/checkpoints/step-6")]
MOMENTS = ALL if os.environ.get("MINIRL_KILLS") == "all" else FEW


def _command(runs: Path, *extra: str) -> list[str]:
    words = [sys.executable, "-m", "minirl", "train", "tiny", "--runs", str(runs), *extra]
    return words + [w for k, v in OPTIONS.items() for w in ("--set", f"{k}={v}")]


def _environment() -> dict[str, str]:
    """Two threads: with one, a sum has but one order, and any run repeats itself."""
    return {**os.environ, "OMP_NUM_THREADS": "2"}


def _finish(runs: Path, *extra: str) -> None:
    done = subprocess.run(
        _command(runs, *extra), capture_output=True, text=True, check=False, env=_environment()
    )
    assert done.returncode == 0, done.stderr


def _metrics(run: RunDir) -> list[dict[str, Any]]:
    lines = read_jsonl(run.metrics)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


def _rollouts(run: RunDir) -> list[dict[str, Any]]:
    return read_jsonl(run.rollouts)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    resolve_model("tiny")
    runs = tmp_path_factory.mktemp("unbroken")
    _finish(runs)
    return RunDir(runs / "tiny")


def test_the_same_seed_gives_the_same_run(unbroken: RunDir, tmp_path: Path) -> None:
    _finish(tmp_path)
    again = RunDir(tmp_path / "tiny")
    assert _metrics(again) == _metrics(unbroken)
    assert _rollouts(again) == _rollouts(unbroken)
    assert any(line["kl"] > 0 for line in _metrics(unbroken))


def test_another_seed_gives_another_run(unbroken: RunDir, tmp_path: Path) -> None:
    _finish(tmp_path, "--seed", "1", "--set", "train.steps=2")
    lines = read_jsonl(RunDir(tmp_path / "tiny").metrics)
    assert [line["reward"] for line in lines] != [m["reward"] for m in _metrics(unbroken)[:2]]


@pytest.mark.parametrize(("kind", "value"), MOMENTS, ids=[f"{k} {v}" for k, v in MOMENTS])
def test_a_killed_run_goes_on_as_if_unbroken(
    kind: str, value: Any, unbroken: RunDir, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "tiny")
    killed = _kill(_command(tmp_path), _moment(run, kind, value))
    assert killed, "the run ended before the moment came"
    steps = run.checkpoint_steps()
    print(f"killed with {len(read_jsonl(run.metrics))} whole lines, whole checkpoints {steps}")
    for step in steps:  # what stands under a final name is whole
        state = json.loads((run.checkpoint(step) / "trainer_state.json").read_text())
        assert state["global_step"] == step
        assert (run.checkpoint(step) / "stream.json").exists()
    _finish(tmp_path, *(["--resume"] if run.exists else []))
    assert run.trained
    assert _metrics(run) == _metrics(unbroken)
    assert _rollouts(run) == _rollouts(unbroken)
    assert not list(run.path.rglob(".partial"))


def _moment(run: RunDir, kind: str, value: Any) -> Callable[[], bool]:
    if kind == "file":
        return lambda: any(True for _ in run.path.glob(value))
    if kind == "lines":
        return lambda: run.metrics.exists() and run.metrics.read_bytes().count(b"\n") >= value
    first: list[float] = []

    def elapsed() -> bool:
        if run.metrics.exists():
            first.append(time.monotonic())
        return bool(first) and time.monotonic() - first[0] >= value

    return elapsed


def _kill(command: list[str], moment: Callable[[], bool]) -> bool:
    """Run the command and kill -9 it at the moment; false where it ended before."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=_environment()) as child:
        while child.poll() is None:
            if moment():
                child.send_signal(signal.SIGKILL)
                return True
            time.sleep(0.0005)
    return False
