"""The base's weights in 16 bits, for products with few rows on a CPU.

A step of a few rows is bound by reading the weights. FBGEMM, which comes with torch on x86, keeps
them in fp16 and multiplies in fp32: half the bytes, and kernels made for few rows (two AMD cores,
SmolLM2-135M: the products of a step 1.4 times as fast at 32 rows, twice at 12 and fewer).

It is used only where nothing is lost: where the weights came in 16 bits, as most models' do, each
is the same number in fp16. A merged weight is not, so the adapter is not merged here; its two small
products are added. The base never changes, so it is packed once, and no step of training waits for
it. Whether it is used follows from the weights and the processor's kind, and not from a clock: the
same seed gives the same run. Nor does the base stand otherwise than while training: a pass that
autograd records (the prompts', for the step's training) takes the layers' own fp32 products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.nn import functional

from minirl.models.fused_lora import FusedForward, can_fuse
from minirl.models.merge import can_merge, lora_layers

MOST_ROWS = 64  # above, fp32 products are about as fast
_EXACT = 2.0**-24  # fp16's last bit below 2^-14; above, a bf16 or fp16 number loses nothing

State = tuple[int, int]  # of a weight: where it lies, and how often it was written
Adapter = tuple[Tensor, Tensor, float]  # A (in, r), B (r, out), and what their product is scaled by


class Halves:
    """A model's linear layers, packed.

    Args:
        model: a transformers model, with LoRA layers or without.

    Raises:
        ValueError: something speaks against it; the message says what.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._layers = dict(_layers(model))
        if not self._layers:
            raise ValueError("no plain fp32 linear layers on a CPU with FBGEMM")
        self._packed = {id(linear): _pack(linear) for linear in self._layers.values()}
        self._states = [_state(linear) for linear in self._layers.values()]

    def fits(self, model: torch.nn.Module) -> bool:
        """Whether the model's layers and their weights are still those that were packed."""
        now = dict(_layers(model))
        return list(now) == list(self._layers) and self._states == [
            _state(linear) for linear in now.values()
        ]

    @contextmanager
    def fast(self, model: torch.nn.Module) -> Iterator[None]:
        """Within the block, products with up to :data:`MOST_ROWS` rows take the packed weights."""
        try:
            for module, linear in self._layers.items():
                own = FusedForward(module) if _fusable(module) else module.forward
                packed = self._packed[id(linear)]
                module.forward = partial(_forward, linear, packed, _adapters(module), own)
            yield
        finally:
            for module in self._layers:
                module.__dict__.pop("forward", None)  # the class's own again


def _layers(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, torch.nn.Linear]]:
    """Modules to be replaced, with the linear layer that they are or that they adapt."""
    adapted = lora_layers(model)
    if adapted and not can_merge(model):
        return
    inside = {id(m) for layer in adapted for m in layer.modules()}
    for layer in adapted:
        if _is_plain(base := layer.get_base_layer()) and not layer.merged:
            yield layer, base
    for module in model.modules():
        if id(module) not in inside and _is_plain(module):
            yield module, module


def _is_plain(module: Any) -> TypeGuard[torch.nn.Linear]:
    return (
        type(module) is torch.nn.Linear
        and module.weight.device.type == "cpu"
        and module.weight.dtype is torch.float32
        and torch.backends.quantized.engine in ("x86", "fbgemm")
    )


def _state(linear: torch.nn.Linear) -> State:
    return linear.weight.data_ptr(), linear.weight._version


def _pack(linear: torch.nn.Linear) -> Any:
    weight = linear.weight.detach()
    if not bool(((weight.half().float() - weight).abs() <= _EXACT).all()):
        raise ValueError("weights of more than 16 bits")
    return torch.ops.quantized.linear_prepack_fp16(weight, linear.bias)


def _adapters(module: Any) -> list[Adapter]:
    """The adapters that are on, where ``module`` is a LoRA layer."""
    if isinstance(module, torch.nn.Linear) or module.disable_adapters:
        return []
    return [
        (module.lora_A[name].weight.t(), module.lora_B[name].weight.t(), module.scaling[name])
        for name in module.active_adapters
        if name in module.lora_A
    ]


def _fusable(module: torch.nn.Module) -> bool:
    return not isinstance(module, torch.nn.Linear) and can_fuse(module)


def _forward(
    linear: torch.nn.Linear,
    packed: Any,
    adapters: list[Adapter],
    own: Callable[[Tensor], Tensor],
    x: Tensor,
    *_: Any,
    **__: Any,
) -> Tensor:
    """A linear layer, by its packed weights where rows are few, and its adapters added in place;
    ``own`` where autograd records.
    """
    if torch.is_grad_enabled():
        return own(x)
    rows = x.reshape(-1, x.size(-1))
    if len(rows) <= MOST_ROWS:
        out: Tensor = torch.ops.quantized.linear_dynamic_fp16(rows, packed)
    else:
        out = functional.linear(rows, linear.weight, linear.bias)
    for down, up, scaling in adapters:
        out.addmm_(torch.mm(rows, down), up, alpha=scaling)
    return out.view(*x.shape[:-1], -1)
