"""Reading a GGUF that may be damaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minirl.errors import ModelError

Matrix = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class GgufFile:
    """A whole GGUF: its metadata and its tensors, which stay on the disk until they are asked for.

    Attributes:
        meta: the keys that are not lists; of a list, its length.
    """

    path: Path
    meta: Mapping[str, Any]
    _tensors: Mapping[str, Any] = field(repr=False)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._tensors)

    def kind(self, name: str) -> str:
        """A tensor's number format, in lower case."""
        return str(self._tensors[name].tensor_type.name).lower()

    def values(self, name: str) -> Matrix:
        """A tensor dequantised to float32; matrices are (out, in)."""
        import gguf

        tensor = self._tensors[name]
        flat = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        shape = tuple(int(n) for n in reversed(tensor.shape))
        return np.asarray(flat, dtype=np.float32).reshape(shape)

    def pairs(self) -> Iterator[tuple[str, Matrix, Matrix]]:
        """Of an adapter: (the weight's name, A (r, in), B (out, r)), in the file's order.

        Raises:
            ModelError: one of a pair is missing.
        """
        for name in self._tensors:
            if name.endswith(".lora_a"):
                weight = name.removesuffix(".lora_a")
                if f"{weight}.lora_b" not in self._tensors:
                    raise ModelError(f"{self.path} lacks {weight}.lora_b")
                yield weight, self.values(name), self.values(f"{weight}.lora_b")


def open_gguf(path: Path) -> GgufFile:
    """Open a GGUF and check that all of its tensors lie within the file.

    Raises:
        ModelError: it is no GGUF, or not a whole one.
    """
    import gguf

    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != b"GGUF":
            raise ModelError(f"{path} is no GGUF", expected="GGUF at its start", got=repr(magic))
        reader = gguf.GGUFReader(path)
        end = max((int(t.data_offset) + int(t.n_bytes) for t in reader.tensors), default=0)
        meta = {name: _plain(f) for name, f in reader.fields.items()}
    except ModelError:
        raise
    except Exception as error:  # the reader checks nothing: whatever numpy makes of the bytes
        raise ModelError(
            f"{path} is damaged or cut short",
            got=f"{type(error).__name__}: {error}".splitlines()[0][:200],
            fix="export it again with --force",
        ) from None
    if end > size:
        raise ModelError(
            f"{path} is cut short",
            expected=f"{end} bytes",
            got=f"{size} bytes",
            fix="export it again with --force",
        )
    return GgufFile(path, meta, {str(t.name): t for t in reader.tensors})


def _plain(field: Any) -> Any:
    import gguf

    if field.types and field.types[0] == gguf.GGUFValueType.ARRAY:
        return len(field.data)
    return field.contents()
