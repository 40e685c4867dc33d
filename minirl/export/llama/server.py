"""Serving a GGUF file for the length of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from minirl.errors import ModelError
from minirl.export.llama.backends import find_backend
from minirl.export.llama.client import LlamaServer
from minirl.export.llama.process import Order, running


def _silent(_: str) -> None:
    """Say nothing."""


@contextmanager
def serve(
    model: Path,
    *,
    lora: Path | None = None,
    context: int,
    parallel: int,
    exact: bool = True,
    threads: int | None = None,
    progress: Callable[[str], None] = _silent,
) -> Iterator[LlamaServer]:
    """Load a model in llama.cpp and serve it on this machine's loopback until the block ends.

    Args:
        model: a GGUF file with a model.
        lora: a GGUF file with an adapter to it, applied at scale 1.
        context: tokens of the longest conversation; a model's own limit may lower it.
        parallel: how many conversations at a time; each takes memory for its context.
        exact: a KV cache of f32 and no flash attention, so that only the weights' format differs
            from a computation in fp32. False: llama.cpp's defaults, which users run.
        threads: of the processor; llama.cpp's choice without it.
        progress: told what is being done.

    Raises:
        MissingExtraError: there is no llama.cpp.
        ModelError: a file is missing or broken, or the adapter is of another model.
    """
    for path in (model, lora):
        if path is not None and not path.is_file():
            raise ModelError("no such GGUF file", got=str(path))
    order = Order(
        backend=find_backend(),
        model=str(model.resolve()),
        lora=str(lora.resolve()) if lora else None,
        context=context,
        parallel=parallel,
        exact=exact,
        threads=threads,
    )
    progress(f"loading {model.name} in llama.cpp ({order.backend})")
    with running(order) as child, LlamaServer(child) as server:
        yield server
