"""The door ``hf:OWNER/NAME`` or ``hf:OWNER/NAME:CONFIG``: a data set of the hub.

``hf:./FOLDER`` reads a folder of yours (parquet, JSONL, CSV), as ``datasets`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minirl.envs.adapters.rows import Placed, Rows, RowsConfig
from minirl.envs.hub import load_splits
from minirl.envs.registry import checked_options
from minirl.errors import ConfigError


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
    data = load_splits(name, subset or None, revision=config.revision)
    if isinstance(data, str):
        raise ConfigError(
            f"the data set {name!r} cannot be had: {data}",
            fix="connect once, or give a file or folder of yours: jsonl:PATH, hf:./FOLDER",
        )
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


def _rows(data: Mapping[str, Any], split: str, name: str, limit: int) -> list[Placed]:
    held = data[split]
    chosen = held.select(range(min(limit, len(held))))
    return [(f"{name}, {split}, row {number}", row) for number, row in enumerate(chosen)]
