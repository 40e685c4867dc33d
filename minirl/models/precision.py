"""Which number format this machine multiplies fastest."""

from __future__ import annotations

import time

import torch

from minirl.models.backend import cuda_precision

_WORTH_IT = 1.3  # bf16 loses digits, so it has to be clearly faster


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype for ``model.precision``; ``auto`` looks at the card, or measures the CPU.

    On CUDA :func:`~minirl.models.backend.cuda_precision` decides. On a CPU: bf16 where a matrix
    product in it is at least 1.3 times as fast as in fp32 (AMX or AVX-512 bf16), else fp32.
    """
    named = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    if wanted != "auto":
        return named[wanted]
    if device.type == "cuda":
        return named[cuda_precision(torch.cuda.get_device_capability(device))]
    if device.type == "mps":
        return torch.float32
    return torch.bfloat16 if _bf16_speedup() >= _WORTH_IT else torch.float32


def _bf16_speedup() -> float:
    """Seconds of a float32 product over seconds of a bfloat16 one; the best of several of each, in
    turn.
    """
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    operands = {d: (torch.ones(256, 576, dtype=d), torch.ones(576, 1536, dtype=d)) for d in best}
    for _ in range(8):
        for dtype, (a, b) in operands.items():
            start = time.perf_counter()
            a @ b
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]
