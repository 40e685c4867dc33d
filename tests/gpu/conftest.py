"""What the tests on a card share, and the report that they leave on the screen to be pasted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CONTRACT = Path(__file__).resolve().parents[1] / "cuda"
Results = dict[Any, Any]


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own; its output is kept."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="session")
def report() -> Iterator[list[str]]:
    """Lines of the report; printed when all is done."""
    lines: list[str] = []
    yield lines
    done = run(sys.executable, "-m", "minirl", "doctor", cwd=Path.cwd())
    width = "-" * 100
    print("\n".join(["", width, done.stdout, *lines, width]))


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Results]:
    """The results of the contract's ``worker.py`` on this card."""
    import torch

    home = tmp_path_factory.mktemp("card")
    made = run(sys.executable, str(CONTRACT / "small_models.py"), str(home), cwd=home)
    assert made.returncode == 0, made.stderr
    done: dict[str, Results] = {}

    def results(backend: str) -> Results:
        if backend not in done:
            worker = run(sys.executable, str(CONTRACT / "worker.py"), backend, str(home), cwd=home)
            assert worker.returncode == 0, worker.stderr[-6000:]
            done[backend] = torch.load(home / f"{backend}.pt")
        return done[backend]

    return results


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run; their runs are in `runs`."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def minirl(home: Path) -> Callable[..., dict[str, Any]]:
    """Runs a command of minirl and returns its JSON."""

    def call(*words: str) -> dict[str, Any]:
        done = run(sys.executable, "-m", "minirl", *words, "--json", cwd=home)
        assert done.returncode == 0, done.stderr[-6000:]
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return call
