"""Running `minirl` inside the test's process, in a directory of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from minirl.cli.main import main


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Minirl = Callable[..., Ended]


@pytest.fixture
def minirl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Minirl:
    """``minirl("run", "tiny", ...)`` -> its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(w) for w in words])
        return Ended(int(stop.value.code or 0), *capsys.readouterr())

    return run
