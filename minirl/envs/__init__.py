"""Tasks with a verifier, gold solutions that pass and decoys that fail. Imports no torch."""

from minirl.envs.base import (
    EnvConfig,
    Environment,
    Episode,
    SingleTurnEpisode,
    Step,
    Turns,
    opening,
    split_of,
    task_rng,
)
from minirl.envs.recited import recite
from minirl.envs.registry import EnvInfo, list_envs, make_env, register
from minirl.envs.universe import Drawn, Listed, Universe

__all__ = [
    "Drawn",
    "EnvConfig",
    "EnvInfo",
    "Environment",
    "Episode",
    "Listed",
    "SingleTurnEpisode",
    "Step",
    "Turns",
    "Universe",
    "list_envs",
    "make_env",
    "opening",
    "recite",
    "register",
    "split_of",
    "task_rng",
]
