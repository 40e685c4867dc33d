"""Runs Unsloth's CUDA code on a machine without a card, for the contract tests.

:func:`enable` imports the real unsloth. Its Triton kernels run under Triton's interpreter; ``cuda``
is mapped to ``cpu`` where tensors are placed; the probes that ask a driver get a made-up answer. No
code of Unsloth, TRL, peft or transformers is replaced but for three helpers that talk to the CUDA
driver itself. Once enabled, a process stays so: use one of its own.

What this cannot show: bf16 (the interpreter returns NaN), generated machine code, speed, memory,
vLLM, flash attention. ``tests/gpu`` is for these, on a card.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
from collections.abc import Callable
from typing import Any

ENVIRONMENT = {
    "UNSLOTH_ALLOW_CPU": "1",  # lets the import pass
    "UNSLOTH_COMPILE_DISABLE": "1",
    "UNSLOTH_DISABLE_PINNED_MEMORY": "1",
    "UNSLOTH_DISABLE_STATISTICS": "1",
    "UNSLOTH_ENABLE_FLEX_ATTENTION": "0",  # has no backward pass on a CPU; SDPA instead
    "TRITON_INTERPRET": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
}
CAPABILITY = (8, 0)
MEMORY = 16 * 2**30


def enable(compiled: str) -> None:
    """Import Unsloth as if there were a card.

    Args:
        compiled: a directory for the trainers that it writes.
    """
    assert not {"unsloth", "trl", "transformers"} & sys.modules.keys(), "too late in this process"
    os.environ.update(ENVIRONMENT, UNSLOTH_COMPILE_LOCATION=compiled)
    import torch

    assert not torch.cuda.is_available(), "there is a card: run tests/gpu instead"
    _placement().__enter__()
    _pretend_card(torch.cuda)

    import unsloth  # noqa: F401
    import unsloth.kernels.cross_entropy_loss as cross_entropy
    import unsloth.kernels.utils as kernels
    from unsloth.models.rl import PatchFastRL

    kernels._can_use_scratch = lambda device: False
    kernels._current_device = lambda: None  # Triton asks the driver for it otherwise
    # Bound before the interpreter puts its own triton.language in place.
    cross_entropy.triton_cast = lambda x, dtype: x.to(dtype) if hasattr(x, "to") else x
    _count_one_card()
    os.environ["UNSLOTH_ALLOW_CPU"] = "0"  # with 1 the trainers stay unpatched
    PatchFastRL()
    _count_one_card()


def _placement() -> Any:
    """Everything that is sent to a card stays in memory."""
    import torch
    from torch.overrides import TorchFunctionMode

    cpu = torch.device("cpu")

    def here(device: Any) -> Any:
        index = isinstance(device, int) and not isinstance(device, bool)
        named = isinstance(device, str | torch.device) and str(device).startswith("cuda")
        return cpu if index or named else device

    class CudaToCpu(TorchFunctionMode):
        def __torch_function__(
            self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            if func is torch.Tensor.cuda:
                return args[0]
            if func is torch.device and args and isinstance(args[0], int):
                return func("cuda", args[0])  # Unsloth looks tables up by its index
            if "device" in kwargs:
                kwargs["device"] = here(kwargs["device"])
            if func is torch.Tensor.to:
                args = (args[0], *map(here, args[1:]))
            return func(*args, **kwargs)

    return CudaToCpu()


def _pretend_card(cuda: Any) -> None:
    card = types.SimpleNamespace(
        name="a card that is not there",
        total_memory=MEMORY,
        major=CAPABILITY[0],
        minor=CAPABILITY[1],
        multi_processor_count=2,
    )
    cuda.get_device_capability = lambda *_, **__: CAPABILITY
    cuda.get_device_properties = lambda *_, **__: card
    cuda.get_device_name = lambda *_, **__: card.name
    cuda.current_device = lambda: 0
    cuda.device = lambda *_, **__: contextlib.nullcontext()
    cuda.is_current_stream_capturing = lambda: False
    cuda.empty_cache = lambda: None


def _count_one_card() -> None:
    """Modules copied what they found at their import: no card, no bitsandbytes."""
    found = {"DEVICE_TYPE_TORCH": ("cuda", "cpu"), "DEVICE_COUNT": (0, 1)}
    found["ALLOW_BITSANDBYTES"] = (False, True)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in {"unsloth", "unsloth_zoo"}:
            for key, (old, new) in found.items():
                if module.__dict__.get(key) == old and key in module.__dict__:
                    setattr(module, key, new)
