"""Virtual environments with other libraries, made once and kept in pytest's cache."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable

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
