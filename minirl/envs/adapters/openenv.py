"""``openenv:MODULE:Class`` and ``openenv:http://HOST:PORT``: environments of OpenEnv.

A class is run in a process of its own (``reset``, ``step``, ``state``), a server over OpenEnv's own
client; a server must allow as many sessions as there are episodes at once. A task is a seed. What
the policy writes becomes an action by the action's schema: the last line fills its one field of
text, or is a JSON object. OpenEnv does not say what full reward is: ``solved_at`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from minirl.envs.adapters.foreign import ForeignConfig, ForeignEnvironment
from minirl.envs.registry import checked_options
from minirl.errors import ConfigError


class OpenEnvConfig(ForeignConfig):
    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the class."""
    action: str | None = None
    """The type of its actions, as MODULE:Class, where the class does not declare it."""
    action_field: str | None = None
    """The action's field that the policy's text fills; its one field of text without it."""
    action_text: Literal["last_line", "all"] = "last_line"
    """Which part of what the policy writes fills that field."""
    observation_field: str | None = None
    """The field that is shown; an observation's only text, or all of it as JSON, without it."""
    instructions: str = ""
    """A system message: what the policy is to do, and how it says its action."""
    reward: Literal["final", "sum"] = "final"
    """What counts: the reward of the last step, or the sum of all."""
    tasks: int = Field(200, ge=4, le=100_000)
    """How many seeds are tasks; each is opened once when the environment is loaded."""


class OpenEnv(ForeignEnvironment[OpenEnvConfig]):
    """An environment of OpenEnv, in a process of its own or behind its server."""

    name = "openenv"
    Config = OpenEnvConfig

    def __init__(self, target: str, config: OpenEnvConfig) -> None:
        options = {"target": target, **config.model_dump(exclude={"python", "solved_at"})}
        super().__init__(config, f"openenv:{target}", "openenv", options)


def open_env(rest: str, options: Mapping[str, Any]) -> OpenEnv:
    """The environment at ``rest``: ``MODULE:Class``, or the address of a server.

    Raises:
        MissingExtraError: openenv-core or the module is not installed in that Python.
        ConfigError: it cannot be adapted, or an option is missing.
    """
    if ":" not in rest:
        raise ConfigError(
            "openenv: needs a class or a server",
            expected="openenv:package.module:Class or openenv:http://localhost:8000",
            got=f"openenv:{rest}",
        )
    return OpenEnv(rest, checked_options(OpenEnvConfig, options, f"openenv:{rest}"))
