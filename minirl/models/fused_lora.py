"""peft's LoRA layers with one autograd step each, for training.

peft computes base, A, B, scaling and sum one after the other, each into a new tensor, and autograd
keeps what each was given. Here the adapter is added into the base's product in place, in both
directions, and only the input and its product with A are kept. Same function, same gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import linear

from minirl.models.merge import lora_layers


class FusedLora(torch.autograd.Function):
    """y = x Wᵀ + b + s (x Aᵀ) Bᵀ for x (N, in), W (out, in), A (r, in), B (out, r), all of W's
    dtype; gradients flow to x, A and B (LoRA, arXiv 2106.09685).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        inner = x @ a.t()  # (N, r)
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scaling = scaling
        return linear(x, weight, bias).addmm_(inner, b.t(), alpha=scaling)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        grad_x = None
        grad_inner = ctx.scaling * (grad @ b)  # (N, r)
        grad_a = grad_inner.t() @ x
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight).addmm_(grad_inner, a)
        grad_b = (inner.t() @ grad).t().mul(ctx.scaling)
        return grad_x, None, None, grad_a, grad_b, None


def can_fuse(layer: Any) -> bool:
    """Whether a peft layer is plain LoRA on a plain linear layer: one adapter, no dropout, DoRA,
    bias or variant.
    """
    base = layer.get_base_layer()
    names = layer.active_adapters
    return (
        "forward" not in vars(layer)  # neither fused already nor hooked by somebody else
        and type(base) is torch.nn.Linear
        and base.weight.dtype.is_floating_point
        and not base.weight.requires_grad
        and len(names) == 1
        and names[0] in layer.lora_A
        and isinstance(layer.lora_dropout[names[0]], torch.nn.Identity)
        and not layer.use_dora[names[0]]
        and not layer.lora_bias[names[0]]
        and names[0] not in getattr(layer, "lora_variant", {})
    )


@contextmanager
def fused_lora(model: torch.nn.Module) -> Iterator[int]:
    """Within the block, the LoRA layers that :func:`can_fuse` are computed in one step; gives how
    many they are.
    """
    layers = [layer for layer in lora_layers(model) if can_fuse(layer)]
    for layer in layers:
        layer.forward = FusedForward(layer)
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


class FusedForward:
    """The forward of one layer; peft's own where the adapter is off or other numbers come in."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._peft_forward = layer.forward
        self._base = layer.get_base_layer()

    def __call__(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        layer, weight = self._layer, self._base.weight
        device = x.device.type
        auto = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
        ours = weight.dtype in (auto, x.dtype) if auto else x.dtype == weight.dtype
        if layer.disable_adapters or layer.merged or args or kwargs or not ours:
            plain: torch.Tensor = self._peft_forward(x, *args, **kwargs)
            return plain
        name = layer.active_adapters[0]
        a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
        dtype = weight.dtype
        apply: Any = FusedLora.apply
        with torch.autocast(device, enabled=False):
            y: torch.Tensor = apply(
                x.flatten(0, -2).to(dtype),
                weight,
                self._base.bias,
                a.to(dtype),
                b.to(dtype),
                layer.scaling[name],
            )
        out: torch.Tensor = y.unflatten(0, x.shape[:-1])
        return out
