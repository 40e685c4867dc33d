"""From a TOML file and ``--set`` overrides to a validated recipe."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from minirl.config.explain import explain_validation_error
from minirl.config.recipe import Recipe
from minirl.errors import ConfigError


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a TOML recipe and apply ``--set`` overrides.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds a wrong key or value; the message
            names each of them, with a suggestion for mistyped keys.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors write a mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", fix="mend that line") from None
    except OSError as error:
        raise ConfigError(
            f"cannot read the recipe {path}: {error.strerror}", fix="minirl recipes ls"
        ) from None
    for override in overrides:
        apply_override(raw, override)
    changed = " (with the changes on the command line)" if overrides else ""
    return parse_recipe(raw, source=f"{path}{changed}")


def parse_recipe(raw: Mapping[str, Any], *, source: str) -> Recipe:
    """Validate a recipe given as plain data; ``source`` names it in errors."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise explain_validation_error(error, Recipe, source) from None


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Apply one ``a.b=value`` to nested plain data; the value is read as TOML, else as a string."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"cannot read the override {override!r}",
            expected="--set section.key=value",
            got=override,
        )
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    node: Any = raw
    for part in parts[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"--set {override}: {part} is a value and not a section")
    node[parts[-1]] = value


def change(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with other values of ``section.key``, validated anew."""
    raw = recipe.model_dump(mode="json")
    for key, value in settings.items():
        section, _, name = key.partition(".")
        raw[section][name] = value
    return parse_recipe(raw, source="the recipe with " + ", ".join(settings))
