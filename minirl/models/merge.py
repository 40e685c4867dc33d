"""Merge a LoRA adapter while sampling, and put the base weights back exactly.

An unmerged adapter multiplies two more matrices in each linear layer at every token. peft's own
``merge_adapter`` / ``unmerge_adapter`` add and subtract, which in bf16 does not give the base
back; here the base tensors are kept aside and the same storage is put back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def lora_layers(model: torch.nn.Module) -> list[Any]:
    """The peft LoRA layers of ``model``, in order."""
    from peft.tuners.lora import LoraLayer

    return [m for m in model.modules() if isinstance(m, LoraLayer)]


def can_merge(model: torch.nn.Module) -> bool:
    """Whether every adapted base layer holds plain floating-point weights of its own.

    4-bit weights are not plain; a head that is tied to the embeddings has none of its own.
    """
    layers = lora_layers(model)
    uses = Counter(id(p) for m in model.modules() for p in m._parameters.values())
    return bool(layers) and all(
        isinstance(layer.get_base_layer(), torch.nn.Linear)
        and uses[id(layer.get_base_layer().weight)] == 1
        and layer.get_base_layer().weight.dtype.is_floating_point
        and not type(layer.get_base_layer()).__module__.startswith("bitsandbytes")
        and not any(layer.use_dora.values())
        and not any(layer.lora_bias.values())
        for layer in layers
    )


@contextmanager
def merged(model: torch.nn.Module) -> Iterator[None]:
    """Within the block, the model computes with base + adapter in one matrix. Costs one copy of
    those matrices.

    A model without an adapter, or with one that :func:`can_merge` refuses, runs as it is.
    """
    if not can_merge(model):
        yield
        return
    kept: list[tuple[torch.nn.Linear, torch.Tensor]] = []
    layers = lora_layers(model)
    already_off = any(layer.disable_adapters for layer in layers)
    try:
        if not already_off:
            with torch.no_grad():
                for layer in layers:
                    base = layer.get_base_layer()
                    delta = sum(layer.get_delta_weight(name) for name in layer.active_adapters)
                    kept.append((base, base.weight.data))
                    # The sum is rounded once: in bf16, small updates would vanish in a bf16 delta.
                    base.weight.data = (base.weight.data.float() + delta.float()).to(
                        base.weight.dtype
                    )
                    layer._disable_adapters = True
        yield
    finally:
        for base, weight in kept:
            base.weight.data = weight
        if not already_off:
            for layer in layers:
                layer._disable_adapters = False


@contextmanager
def adapter_off(model: torch.nn.Module) -> Iterator[None]:
    """Within the block, the model is its own base."""
    if not lora_layers(model):
        yield
        return
    disable: Any = model.disable_adapter
    with disable():
        yield
