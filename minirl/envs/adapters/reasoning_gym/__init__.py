"""The door ``reasoning-gym:NAME`` or ``reasoning-gym:NAME:LEVEL``: every task of reasoning-gym.

Level k takes the k-th value of every attribute of the task's curriculum, or its last one; without
a level the task's default configuration is taken. Options are the fields of that configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import create_model

from minirl.envs.adapters.reasoning_gym.env import DOOR, ReasoningGym, ReasoningGymConfig
from minirl.envs.adapters.reasoning_gym.helper import Helper, shared
from minirl.envs.registry import checked_options, unknown_name
from minirl.errors import ConfigError

__all__ = ["ReasoningGym", "ReasoningGymConfig", "list_tasks", "open_env"]


def list_tasks(helper: Helper | None = None) -> dict[str, int]:
    """The tasks of the installed reasoning-gym, each with the number of its levels."""
    found: dict[str, int] = (helper or shared()).ask("names")
    return found


def open_env(
    rest: str, options: Mapping[str, Any], *, helper: Helper | None = None
) -> ReasoningGym:
    """The environment ``reasoning-gym:REST``.

    Raises:
        MissingExtraError: reasoning-gym is not installed.
        UnknownNameError: no such task, or no such level of its curriculum.
        ConfigError: options that its configuration lacks or refuses.
    """
    helper = helper or shared()
    name, colon, level = rest.partition(":")
    tasks = list_tasks(helper)
    if name not in tasks:
        message = f"reasoning-gym has no task {name!r}"
        raise unknown_name(message, name, tasks, fix="docs/reasoning_gym.md lists them")
    levels = [str(k) for k in range(tasks[name])]
    if colon and level not in levels:
        message = f"the curriculum of reasoning-gym's {name} has no level {level!r}"
        raise unknown_name(message, level, levels, fix=f"use {DOOR}:{name} without a level")
    number = int(level) if colon else None
    defaults: dict[str, Any] = helper.ask("describe", name=name, level=number)
    config = checked_options(_config_class(name, defaults), options, f"{DOOR}:{rest}")
    env = ReasoningGym(config, helper=helper, task_name=name, level=level if colon else None)
    env.check()
    return env


def _config_class(name: str, defaults: Mapping[str, Any]) -> type[ReasoningGymConfig]:
    """Our options and theirs; theirs have the type of their default, where that tells one."""
    clash = set(defaults) & set(ReasoningGymConfig.model_fields)
    if clash:
        raise ConfigError(f"reasoning-gym's {name} has options called as ours: {sorted(clash)}")
    fields: dict[str, Any] = {
        field: (type(value) if isinstance(value, bool | int | str) else Any, value)
        for field, value in defaults.items()
    }
    return create_model("ReasoningGymConfig", __base__=ReasoningGymConfig, **fields)
