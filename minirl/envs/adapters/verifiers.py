"""``verifiers:PACKAGE``: environments of verifiers, v0 (up to 0.3) and v1 tasksets (0.4).

Their own rollout loop and their own scoring run, in a process that has them; minirl only takes the
model's place. So single-turn, multi-turn and tool environments are theirs to the letter. Refused,
with the reason: rubrics that ask a second model or score whole groups, environments that need a
container or a service, conversations that are rewritten between turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from minirl.envs.adapters.foreign import ForeignConfig, ForeignEnvironment
from minirl.envs.registry import checked_options
from minirl.errors import ConfigError


class VerifiersConfig(ForeignConfig):
    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of load_environment (v0), or fields of the taskset's config (v1)."""
    eval_args: dict[str, Any] | None = None
    """v1: what changes in args for the test split, as in {split = "test"}; else content decides."""
    limit: int = Field(10_000, ge=2, le=1_000_000)
    """How many rows of each of their data sets are read."""


class Verifiers(ForeignEnvironment[VerifiersConfig]):
    """An environment of verifiers, played by its own code in a process of its own."""

    name = "verifiers"
    Config = VerifiersConfig

    def __init__(self, package: str, config: VerifiersConfig) -> None:
        options = {
            "package": package,
            "args": config.args,
            "eval_args": config.eval_args,
            "limit": config.limit,
        }
        super().__init__(config, f"verifiers:{package}", "verifiers", options)


def open_env(rest: str, options: Mapping[str, Any]) -> Verifiers:
    """The environment of the package ``rest``.

    Raises:
        MissingExtraError: verifiers or the package is not installed in that Python.
        ConfigError: it cannot be adapted, with the reason.
    """
    if not rest:
        raise ConfigError("verifiers: needs a package, as in verifiers:gsm8k")
    return Verifiers(rest, checked_options(VerifiersConfig, options, f"verifiers:{rest}"))
