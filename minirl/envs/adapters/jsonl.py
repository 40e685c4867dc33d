"""The door ``jsonl:PATH``: a file with one JSON object a line, see :class:`.rows.RowsConfig`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from minirl.envs.adapters.rows import Placed, Rows, RowsConfig
from minirl.envs.registry import checked_options
from minirl.errors import ConfigError


class JsonlConfig(RowsConfig):
    test: str | None = None
    """A second file, with the held-out rows. Unset: about 30 % of the rows, chosen by content."""


def open_env(rest: str, options: Mapping[str, Any]) -> Rows:
    """The environment ``jsonl:REST``.

    Raises:
        ConfigError: no such file, a broken row (told with its line and column), or options that do
            not fit.
    """
    config = checked_options(JsonlConfig, options, f"jsonl:{rest}")
    train = list(islice(read(Path(rest).expanduser()), config.limit))
    test = [] if config.test is None else list(islice(read(Path(config.test)), config.limit))
    return Rows(config, label=f"jsonl:{Path(rest).name}", train=train, test=test)


def read(path: Path) -> Iterator[Placed]:
    """The rows of a file, blank lines left out."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}", fix=f"looked for {path.absolute()}")
    number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path}:{number}", json.loads(line)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:{number + 1} is not UTF-8: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}:{number} is not JSON: {error}") from None
