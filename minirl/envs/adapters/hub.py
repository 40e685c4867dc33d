"""The door ``hf:OWNER/NAME`` or ``hf:OWNER/NAME:CONFIG``: a data set of the hub.

``hf:./FOLDER`` reads a folder of yours (parquet, JSONL, CSV), as ``datasets`` does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minirl.envs.adapters.rows import Placed, Rows, RowsConfig
from minirl.envs.registry import checked_options
from minirl.errors import ConfigError

HUB_TIMEOUT_S = 5.0
OFFLINE = ("HF_HUB_OFFLINE", "MINIRL_OFFLINE")


class HubConfig(RowsConfig):
    train_split: str = "train"
    """The split to train on."""
    test_split: str | None = None
    """The split to hold out. Unset: `test` where there is one, else about 30 % of the training
    split, chosen by content."""
    revision: str | None = None
    """A commit or tag of the data set. Unset: the newest."""


def open_env(rest: str, options: Mapping[str, Any]) -> Rows:
    """The environment ``hf:REST``.

    Raises:
        ConfigError: the data cannot be had, a split or column is missing, or options do not fit.
    """
    config = checked_options(HubConfig, options, f"hf:{rest}")
    name, _, subset = rest.partition(":")
    data = load(name, subset or None, config.revision)
    test = config.test_split or ("test" if "test" in data else None)
    for split in (config.train_split, test):
        if split is not None and split not in data:
            raise ConfigError(
                f"{name} has no split {split!r}",
                expected=f"one of {', '.join(data)}",
                fix="name it: env.options.train_split, env.options.test_split",
            )
    return Rows(
        config,
        label=f"hf:{Path(name).name if Path(name).exists() else rest}",
        train=_rows(data, config.train_split, name, config.limit),
        test=[] if test is None else _rows(data, test, name, config.limit),
    )


def load(name: str, subset: str | None, revision: str | None) -> Mapping[str, Any]:
    """The splits of a data set: of a local folder, of the hub, or of the hub's cache.

    The hub gets :data:`HUB_TIMEOUT_S` seconds to answer: ``datasets`` itself would try for half a
    minute. With one of :data:`OFFLINE` set, only the cache is asked.
    """
    import datasets

    local = Path(name).expanduser()
    trouble = None if local.exists() else _trouble(name)
    source = str(local) if local.exists() else name
    try:
        with _only_cache(datasets) if trouble else contextlib.nullcontext():
            found: Mapping[str, Any] = datasets.load_dataset(source, subset, revision=revision)
    except Exception as error:  # whatever datasets and its HTTP client raise: the cause is told
        cause = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        tried = f"{trouble}, and it is not in the cache" if trouble else cause
        raise ConfigError(
            f"the data set {name!r} cannot be had: {tried}",
            fix="connect once, or give a file or folder of yours: jsonl:PATH, hf:./FOLDER",
        ) from None
    return found


def _rows(data: Mapping[str, Any], split: str, name: str, limit: int) -> list[Placed]:
    held = data[split]
    chosen = held.select(range(min(limit, len(held))))
    return [(f"{name}, {split}, row {number}", row) for number, row in enumerate(chosen)]


def _trouble(name: str) -> str | None:
    """Why the hub is not asked, or does not answer; None where it does."""
    for variable in OFFLINE:
        if os.environ.get(variable, "").upper() in {"1", "ON", "YES", "TRUE"}:
            return f"{variable} is set"
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(name, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # as above
        return f"the hub did not answer: {type(error).__name__}: {error}".splitlines()[0][:200]
    return None


@contextlib.contextmanager
def _only_cache(datasets: Any) -> Iterator[None]:
    """Keep ``datasets`` from asking a hub that does not answer, again and again."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before
