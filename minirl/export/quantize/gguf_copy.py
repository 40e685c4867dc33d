"""A GGUF written anew with other tensors: every key is kept, byte for byte.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

VERSION = 3
ALIGNMENT = 32
_UINT32 = 4  # its number among GGUF's value types
_PADDING_KEY = "general.alignment"


@dataclass(frozen=True, slots=True)
class NewTensor:
    """A tensor to write: its shape with the columns first, its format's number, and its size."""

    name: str
    shape: tuple[int, ...]
    format_number: int
    bytes: int


def raw_keys(reader: Any) -> Iterator[tuple[str, bytes]]:
    """Each key of a ``gguf.GGUFReader`` and its whole entry as it stands in the file."""
    for name, field in reader.fields.items():
        if not name.startswith("GGUF."):
            size = sum(int(part.nbytes) for part in field.parts)
            yield name, bytes(reader.data[field.offset : field.offset + size])


def write_head(
    out: BinaryIO,
    keys: Mapping[str, bytes],
    numbers: Mapping[str, int],
    tensors: Sequence[NewTensor],
) -> None:
    """Write everything that stands before the tensors' data.

    Args:
        keys: whole entries, as :func:`raw_keys` gives them.
        numbers: unsigned 32-bit values that take the place of keys of the same name.
    """
    kept = {k: raw for k, raw in keys.items() if k not in numbers and k != _PADDING_KEY}
    entries = [*kept.values(), *(_number(k, value) for k, value in numbers.items())]
    head = [b"GGUF", struct.pack("<IQQ", VERSION, len(tensors), len(entries)), *entries]
    offset = 0
    for tensor in tensors:
        head.append(_text(tensor.name))
        head.append(struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape))
        head.append(struct.pack("<IQ", tensor.format_number, offset))
        offset += padded(tensor.bytes)
    whole = b"".join(head)
    out.write(whole.ljust(padded(len(whole)), b"\0"))


def padded(size: int) -> int:
    """``size``, up to the next multiple of what tensors are aligned to."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _number(key: str, value: int) -> bytes:
    return _text(key) + struct.pack("<II", _UINT32, value)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded
