"""Starts the processes of the contract tests early and runs the tests themselves last: Triton's
interpreter takes minutes, on one core, while the other tests use the other.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
Results = dict[Any, Any]


class Workers:
    """Makes the models in a directory of its own, then runs ``worker.py`` on each backend."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="minirl-cuda-", ignore_cleanup_errors=True)
        home = Path(self._home.name)
        scripts = [["small_models.py"], ["worker.py", "transformers"], ["worker.py", "unsloth"]]
        commands = [[sys.executable, str(HERE / s[0]), *s[1:], str(home)] for s in scripts]
        self._log = (home / "log").open("w+")
        self._process = subprocess.Popen(
            " && ".join(map(shlex.join, commands)),
            shell=True,
            start_new_session=True,  # so that all of it can be stopped
            env=os.environ | {"OMP_NUM_THREADS": "1", "MINIRL_CACHE": str(home / "cache")},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def results(self, backend: str) -> Results:
        """What ``worker.py`` wrote about a backend; waits for it."""
        import torch

        self._process.wait()
        written = Path(self._home.name) / f"{backend}.pt"
        if not written.exists():
            self._log.seek(0)
            pytest.fail(f"no {written.name}; the log ends:\n{self._log.read()[-6000:]}", False)
        results: Results = torch.load(written)
        return results

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()
        self._home.cleanup()


_started: list[Workers] = []


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: HERE in item.path.parents)  # stable: the others stay in order


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = any(HERE in item.path.parents for item in session.items)
    if wanted and not session.config.option.collectonly and importlib.util.find_spec("unsloth"):
        _started.append(Workers())


def pytest_unconfigure(config: pytest.Config) -> None:
    while _started:
        _started.pop().stop()


@pytest.fixture(scope="session")
def work() -> Callable[[str], Results]:
    """The results of ``worker.py`` on a backend."""
    import torch

    if not _started:
        pytest.skip("unsloth is not installed: `make venv` installs it for these tests")
    if torch.cuda.is_available():
        pytest.skip("this machine has a card: `make gpu` tests the real thing")
    return _started[0].results


@pytest.fixture(scope="session")
def stock(work: Callable[[str], Results]) -> Results:
    return work("transformers")


@pytest.fixture(scope="session")
def unsloth(work: Callable[[str], Results]) -> Results:
    return work("unsloth")
