"""Environments on which training should have lost nothing: neighbours of its own, and one that is
unrelated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from minirl.config import Recipe
from minirl.envs import make_env
from minirl.envs.base import Environment
from minirl.types import Task

UNRELATED = ("sort_words:3", "arithmetic:1")  # the first that is not the trained one's kind


@dataclass(frozen=True, slots=True)
class Suite:
    """One environment of the regression suite with its held-out tasks."""

    env: Environment[Any]
    kind: Literal["sibling", "unrelated"]
    tasks: list[Task]


def suites(recipe: Recipe, env: Environment[Any]) -> list[Suite]:
    """What ``prove.regressions`` names or, where it names nothing, the next easier and the next
    harder level, and an unrelated environment. A split with fewer tasks gives what it has.

    Raises:
        ConfigError: a name that cannot be used.
    """
    wanted = recipe.prove.regression_tasks
    if not wanted:
        return []
    if recipe.prove.regressions:
        others = [make_env(spec) for spec in dict.fromkeys(recipe.prove.regressions)]
    else:
        unrelated = next(spec for spec in UNRELATED if spec.partition(":")[0] != env.name)
        others = [*_neighbours(recipe, env), make_env(unrelated)]
    return [
        Suite(other, "sibling" if other.name == env.name else "unrelated", _tasks(other, wanted))
        for other in others
    ]


def _neighbours(recipe: Recipe, env: Environment[Any]) -> list[Environment[Any]]:
    """The levels beside the trained one, in the order in which the environment lists them."""
    levels = list(env.levels)
    if env.level is None or env.level not in levels:
        return []
    name = recipe.env.name.removesuffix(f":{env.level}")
    at = levels.index(env.level)
    # The run's options go along, except those by which levels differ.
    differing = {key for preset in env.levels.values() for key in preset}
    options = {k: v for k, v in recipe.env.options.items() if k not in differing}
    near = levels[max(0, at - 1) : at] + levels[at + 1 : at + 2]
    return [make_env(f"{name}:{level}", options) for level in near]


def _tasks(env: Environment[Any], wanted: int) -> list[Task]:
    size = env.size("test")
    return [env.task("test", i) for i in range(wanted if size is None else min(size, wanted))]
