"""Data sets of the hub through ``datasets``, without its half minute of patience."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TIMEOUT_S = 5.0
OFFLINE = ("HF_HUB_OFFLINE", "MINIRL_OFFLINE")


def load_splits(
    name: str, subset: str | None = None, *, revision: str | None = None
) -> Mapping[str, Any] | str:
    """The splits of a data set, or why it cannot be had.

    A local folder, the hub, or the hub's cache. The hub gets :data:`TIMEOUT_S` seconds to answer;
    with one of :data:`OFFLINE` set, or where it does not, only the cache is asked.
    """
    import datasets

    local = Path(name).expanduser()
    trouble = None if local.exists() else _trouble(name)
    source = str(local) if local.exists() else name
    try:
        with _only_cache(datasets) if trouble else contextlib.nullcontext():
            found: Mapping[str, Any] = datasets.load_dataset(source, subset, revision=revision)
    except Exception as error:  # whatever datasets and its HTTP client raise: the cause is told
        return f"{trouble}, and it is not in the cache" if trouble else _told(error)
    return found


def _trouble(name: str) -> str | None:
    """Why the hub is not asked, or does not answer; None where it does."""
    for variable in OFFLINE:
        if os.environ.get(variable, "").upper() in {"1", "ON", "YES", "TRUE"}:
            return f"{variable} is set"
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(name, timeout=TIMEOUT_S)
    except Exception as error:  # as above
        return f"the hub did not answer: {_told(error)}"
    return None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


@contextlib.contextmanager
def _only_cache(datasets: Any) -> Iterator[None]:
    """Keep ``datasets`` from asking a hub that does not answer, again and again."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before
