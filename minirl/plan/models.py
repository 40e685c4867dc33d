"""From a model's name to its architecture, without loading it. Imports no torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from minirl.errors import ModelError
from minirl.plan.architecture import Architecture, from_config
from minirl.plan.known import KNOWN, PUBLISHERS

# Endings of a hub id that name a training or a format, and no other shape.
_ENDINGS = re.compile(
    r"-(instruct|it|base|chat|hf|thinking|pt|2507|bf16|fp8|bnb-4bit|unsloth-bnb-4bit|unsloth)$"
)


def architecture_of(name: str) -> Architecture:
    """The architecture of a catalogue name, a local directory or a hub id.

    Well-known hub ids (and unsloth's mirrors of them) are answered from a table; of others, their
    ``config.json`` alone is fetched.

    Raises:
        ModelError: a directory without a usable config.json, or one that cannot be fetched.
        UnknownNameError: neither a name, nor a directory, nor a hub id.
    """
    from minirl.models.catalogue import CATALOGUE, HUB_ID, TINY_FOR

    if name in CATALOGUE:
        return KNOWN[name]
    if name.startswith(TINY_FOR):
        return KNOWN["tiny"]
    path = Path(name).expanduser()
    if path.is_dir():
        return from_config(_read(path / "config.json"), name=name)
    publisher, _, short = name.partition("/")
    known = _known(short) if publisher.lower() in PUBLISHERS else None
    if known:
        return known
    if HUB_ID.fullmatch(name):
        return from_config(_fetch(name), name=name)
    from minirl.models.catalogue import resolve_model

    resolve_model(name)  # it explains what is wrong with such a name
    raise ModelError(f"cannot plan for {name}", expected="a catalogue name, a directory, a hub id")


def prequantized(name: str) -> bool:
    """Whether the name is that of weights that are stored in 4 bits."""
    return name.lower().endswith("bnb-4bit")


def _known(short: str) -> Architecture | None:
    text = short.lower().removeprefix("meta-")
    while text not in KNOWN:
        shorter = _ENDINGS.sub("", text)
        if shorter == text:
            return None
        text = shorter
    return KNOWN[text]


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot read {path}: {error}",
            fix="name a directory that save_pretrained wrote",
        ) from None
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no configuration", got=type(config).__name__)
    return config


def _fetch(name: str) -> dict[str, Any]:
    """``config.json`` from the hub's cache, or from the hub."""
    from huggingface_hub import hf_hub_download

    from minirl.models.locate import hub_location

    where = Path(hub_location(name))
    if where.is_dir():
        return _read(where / "config.json")
    try:
        return _read(Path(hf_hub_download(name, "config.json")))
    except ModelError:
        raise
    except Exception as error:  # whatever the hub's client of the day raises: the cause is shown
        raise ModelError(
            f"cannot fetch the config.json of {name}",
            got=f"{type(error).__name__}: {error}".splitlines()[0][:160],
            fix="log in for a gated model (hf auth login), or name a local directory",
        ) from None
