"""Running out of memory, and how much was taken."""

from __future__ import annotations

import gc
import sys

import torch

_SAYINGS = (  # of RuntimeErrors; torch has a class of its own for CUDA's
    "can't allocate memory",  # torch's CPU allocator
    "not enough memory",  # the same on Windows
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(s in str(error) for s in _SAYINGS)


def release() -> None:
    """Give back what nobody refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak(device: torch.device) -> int:
    """The most bytes that this process has held so far: of the card, as torch reserved them, or of
    the machine.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
