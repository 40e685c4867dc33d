"""Which tasks are measured on; apart from the rest, so that a recipe can be checked before torch
is loaded.
"""

from __future__ import annotations

from typing import Any

from minirl.envs.base import Environment
from minirl.errors import ConfigError
from minirl.types import Task


def held_out(env: Environment[Any], n: int, *, key: str = "eval.tasks") -> list[Task]:
    """The first ``n`` tasks of the test split.

    Args:
        key: what of the recipe asks for so many.

    Raises:
        ConfigError: the split has fewer.
    """
    size = env.size("test")
    if size is not None and n > size:
        raise ConfigError(
            f"{env.label} has {size} held-out tasks, and {key} asks for {n}",
            fix=f"--set {key}={size}, or a level with more tasks",
        )
    return [env.task("test", i) for i in range(n)]
