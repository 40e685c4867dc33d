"""Copies of a GGUF with something changed: what an export that went wrong looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Tensors = dict[str, tuple[np.ndarray, Any]]


def edited(
    source: Path,
    out: Path,
    *,
    meta: Mapping[str, Any] | None = None,
    tensors: Callable[[Tensors], Tensors] = lambda found: found,
) -> Path:
    """Copy ``source`` to ``out``.

    Args:
        meta: other values for some of its keys.
        tensors: from {name: (data as stored, type)} to what is written.
    """
    import gguf

    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(out, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value = (meta or {}).get(name, field.contents())
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, kind, sub_type=inner)
    found: Tensors = {t.name: (np.array(t.data), t.tensor_type) for t in reader.tensors}
    for name, (data, kind) in tensors(found).items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def without_layer(number: int) -> Callable[[Tensors], Tensors]:
    """Drop a layer's tensors."""
    return lambda found: {k: v for k, v in found.items() if not k.startswith(f"blk.{number}.")}


def fewer_layers(found: Tensors, *, dropped: int) -> Tensors:
    """A whole model with one layer less: those behind it move up."""

    def moved(name: str) -> str | None:
        if not name.startswith("blk."):
            return name
        _, number, rest = name.split(".", 2)
        if int(number) == dropped:
            return None
        return f"blk.{int(number) - (int(number) > dropped)}.{rest}"

    return {new: value for name, value in found.items() if (new := moved(name))}
