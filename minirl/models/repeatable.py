"""The same numbers from the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On a CPU, make torch add up in one order: the same seed gives the same run to the last bit.

    Without it the backward pass of an indexed read adds from several threads, in whichever order
    they come. On CUDA the slowdown is not worth it, and bit-equal runs are not promised.
    """
    before = torch.are_deterministic_algorithms_enabled()
    deterministic: Any = torch.utils.deterministic
    filling = deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    deterministic.fill_uninitialized_memory = False  # a debugging aid that costs time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        deterministic.fill_uninitialized_memory = filling
