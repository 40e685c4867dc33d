"""Quantize with the functions of ggml that xllamacpp's library exports; for a child process."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from minirl.errors import ModelError
from minirl.export.quantize.gguf_copy import NewTensor, padded, raw_keys, write_head
from minirl.export.quantize.mixture import (
    FORMAT_NUMBERS,
    FORMATS,
    QUANTIZATIONS,
    Architecture,
    Tensor,
    choose_formats,
    layer_order,
)

QUANTIZATION_VERSION = 2
_CHUNK = 1 << 20  # values that a thread quantizes at a time: 4 MB of float32
_SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")

Array = np.ndarray[Any, np.dtype[Any]]
Report = Callable[[int, int], None]  # bytes of the source that are done, and of all of it


class Ggml:
    """The two functions that it takes, by number of format."""

    def __init__(self) -> None:
        import xllamacpp

        library = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
        try:
            self._chunk = library.ggml_quantize_chunk
            self._row_size = library.ggml_row_size
        except AttributeError:
            raise ModelError(
                "the library of this xllamacpp does not export ggml's functions",
                fix="install llama.cpp, so that llama-quantize is on the PATH, or llama-cpp-python",
            ) from None
        size, pointer, int64 = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64
        self._chunk.restype = self._row_size.restype = size
        self._chunk.argtypes = [ctypes.c_int, pointer, pointer, int64, int64, int64, pointer]
        self._row_size.argtypes = [ctypes.c_int, int64]

    def row_bytes(self, number_format: str, columns: int) -> int:
        """Bytes of a row."""
        return int(self._row_size(FORMAT_NUMBERS[number_format], columns))

    def quantize(self, rows: Array, number_format: str, out: Array) -> None:
        """Quantize float32 ``rows`` (n, columns) into the bytes ``out``."""
        self._chunk(
            FORMAT_NUMBERS[number_format], rows.ctypes.data, out.ctypes.data, 0, *rows.shape, None
        )


def quantize_file(source: Path, out: Path, kind: str, report: Report) -> None:
    """Write ``source`` (f32, f16 or bf16) as ``out``.

    Raises:
        ModelError: it is no such GGUF, holds NaN, or its mixture is not known.
    """
    import gguf

    reader: Any = gguf.GGUFReader(source)
    ggml = Ggml()
    stored = sorted((_described(t) for t in reader.tensors), key=layer_order)
    formats = choose_formats(kind, stored, _architecture(reader))
    by_name = {t.name: t for t in reader.tensors}
    new = [_new_tensor(t, formats[t.name], ggml) for t in stored]
    numbers = {
        "general.quantization_version": QUANTIZATION_VERSION,
        "general.file_type": QUANTIZATIONS[kind].file_type,
    }
    keys = {name: raw for name, raw in raw_keys(reader) if name not in _SPLIT_KEYS}
    total, done = sum(int(t.n_bytes) for t in reader.tensors), 0
    with out.open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        write_head(file, keys, numbers, new)
        for tensor, made in zip(stored, new, strict=True):
            found = by_name[tensor.name]
            if formats[tensor.name] == tensor.stored:
                file.write(found.data.tobytes())
            else:
                file.write(_quantized(found, tensor, formats[tensor.name], ggml, pool).data)
            file.write(bytes(padded(made.bytes) - made.bytes))
            done += int(found.n_bytes)
            report(done, total)


def _described(tensor: Any) -> Tensor:
    number = int(tensor.tensor_type)
    shape = tuple(int(n) for n in tensor.shape)
    return Tensor(tensor.name, shape, FORMATS.get(number, f"format {number}"))


def _architecture(reader: Any) -> Architecture:
    name = str(_value(reader, "general.architecture") or "unknown")

    def number(key: str) -> int:
        value = _value(reader, f"{name}.{key}")
        first = value[0] if isinstance(value, list) else value  # a list has one for each block
        return int(first or 0)

    heads = number("attention.head_count")
    return Architecture(
        name=name,
        layers=number("block_count"),
        heads=heads,
        kv_heads=number("attention.head_count_kv") or heads,
        experts=number("expert_count"),
    )


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _new_tensor(tensor: Tensor, number_format: str, ggml: Ggml) -> NewTensor:
    columns, *more = tensor.shape
    rows = int(np.prod(more, dtype=np.int64))
    size = rows * ggml.row_bytes(number_format, columns)
    return NewTensor(tensor.name, tensor.shape, FORMAT_NUMBERS[number_format], size)


def _quantized(
    found: Any, tensor: Tensor, number_format: str, ggml: Ggml, pool: ThreadPoolExecutor
) -> Array:
    """The tensor's bytes in its new format; rows are independent of one another."""
    columns = tensor.shape[0]
    rows = found.data.reshape(-1, found.data.shape[-1])
    out = np.empty((len(rows), ggml.row_bytes(number_format, columns)), dtype=np.uint8)

    def work(part: slice) -> None:
        values = as_float32(rows[part], tensor.stored)
        if not np.isfinite(values).all():
            raise ModelError(
                f"{tensor.name} holds NaN or infinity", fix="take an earlier checkpoint of the run"
            )
        ggml.quantize(values, number_format, out[part])

    list(pool.map(work, _parts(len(rows), columns)))  # the list raises what a thread has raised
    return out


def _parts(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _CHUNK // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def as_float32(values: Array, stored: str) -> Array:
    """Stored values as float32, which holds each of these formats exactly."""
    if stored == "bf16":  # two bytes each: the upper half of a float32
        return (values.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(values, dtype=np.float32)
