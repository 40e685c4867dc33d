"""A recipe as typed data: TOML and ``--set a.b=c`` in, one validated :class:`Recipe` out. No torch.

``minirl recipes show NAME --explain`` prints the help of every key.
"""

from minirl.config.explain import describe_fields, explain_validation_error
from minirl.config.load import apply_override, change, load_recipe, parse_recipe
from minirl.config.recipe import (
    TOKEN_BUDGET,
    EnvSection,
    EvalConfig,
    LossType,
    ModelConfig,
    ProbeConfig,
    ProveConfig,
    Recipe,
    SamplingConfig,
    StreamConfig,
    TrainConfig,
)
from minirl.config.shipped import find_recipe, list_recipes, recipe_dirs

__all__ = [
    "TOKEN_BUDGET",
    "EnvSection",
    "EvalConfig",
    "LossType",
    "ModelConfig",
    "ProbeConfig",
    "ProveConfig",
    "Recipe",
    "SamplingConfig",
    "StreamConfig",
    "TrainConfig",
    "apply_override",
    "change",
    "describe_fields",
    "explain_validation_error",
    "find_recipe",
    "list_recipes",
    "load_recipe",
    "parse_recipe",
    "recipe_dirs",
]
