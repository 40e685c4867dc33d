"""One text for one value, in every process: what tasks and scores are compared by."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Set
from typing import Any


def canonical(value: Any) -> str:
    """A text that two values share where they are equal; the order of sets and mappings, and where
    an object lies in memory, make no difference.
    """
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=True)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        return {"mapping": sorted([_text(k), _plain(v)] for k, v in value.items())}
    if isinstance(value, Set):
        return {"set": sorted(map(_text, value))}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(f.name, _plain(getattr(value, f.name))) for f in dataclasses.fields(value)]
        return {type(value).__name__: fields}
    if hasattr(value, "__dict__") and not callable(value):
        return {type(value).__name__: _plain(vars(value))}
    shown = repr(value)
    return {type(value).__name__: shown if " at 0x" not in shown else ""}


def _text(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)
