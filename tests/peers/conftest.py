"""Virtual environments with other libraries, made once and kept in pytest's cache."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def peer(request: pytest.FixtureRequest) -> Callable[..., str]:
    """``peer("verifiers==0.4.0")``: a Python that has the package, installed by pip."""

    def make(*requirements: str) -> str:
        name = requirements[0].replace("==", "-")
        digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:8]
        assert request.config.cache is not None
        home = request.config.cache.mkdir("peers") / f"{name}-{digest}"
        python, done = home / "bin" / "python", home / "done"
        if not done.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
            quiet = ["-q", "--disable-pip-version-check", "--no-input"]
            subprocess.run([str(python), "-m", "pip", "install", *quiet, *requirements], check=True)
            done.touch()
        return str(python)

    return make


@pytest.fixture(scope="session")
def stranger(request: pytest.FixtureRequest, peer: Callable[..., str]) -> Callable[..., Path]:
    """``stranger(python, "name==1.0")``: a folder with that package alone, as it was published.

    It is somebody else's code: import it in no process of ours.
    """

    def make(python: str, requirement: str) -> Path:
        assert request.config.cache is not None
        folder = request.config.cache.mkdir("peers") / requirement.replace("==", "-")
        if not (folder / "done").exists():
            words = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
            words += ["--no-deps", "--only-binary", ":all:", "--target", str(folder), requirement]
            subprocess.run([python, *words], check=True)
            (folder / "done").touch()
        return folder

    return make
