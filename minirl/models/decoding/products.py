"""Matrix products the fast way round.

A decoding step multiplies every weight matrix with a few rows. Some CPU libraries are faster at
``W @ x.T`` than at ``x @ W.T`` there (MKL on two AMD cores: 1.2 to 1.4 times, from 16 to 64 rows).
Which of them, and for which shapes, is measured on the products as they come. Only where both give
the same bits is there a choice, so that timing never decides what is sampled.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor
from torch.nn import functional

from minirl.models.merge import lora_layers

_ROWS = (12, 128)  # few rows: a step's; below, torch multiplies by other kernels with other bits
_WORTH_IT = 1.05
_TRIES = 5


class FastProducts(Protocol):
    """A way to multiply with the model's matrices."""

    def fast(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        """Within the block, ``model`` computes that way."""


class Products:
    """Remembers which way round each shape is faster."""

    def __init__(self) -> None:
        self._turned: dict[tuple[int, ...], bool] = {}

    @contextmanager
    def fast(self, model: torch.nn.Module) -> Iterator[None]:
        """Within the block, the model's plain linear layers multiply the faster way round. Does
        nothing but on a CPU.
        """
        changed: list[torch.nn.Module] = []
        try:
            for module, linear in _linears(model):
                changed.append(module)
                module.forward = partial(self._product, linear)
            yield
        finally:
            for module in changed:
                module.__dict__.pop("forward", None)  # the class's own again

    def _product(self, linear: torch.nn.Linear, x: Tensor, *_: Any, **__: Any) -> Tensor:
        rows = x.numel() // x.size(-1)
        if _ROWS[0] <= rows <= _ROWS[1]:
            key = (*linear.weight.shape, rows.bit_length(), torch.get_num_threads())
            if key not in self._turned:
                self._turned[key] = _pays(linear, x)
            if self._turned[key]:
                return _turned(linear, x)
        return functional.linear(x, linear.weight, linear.bias)


def _linears(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, torch.nn.Linear]]:
    """Modules that compute nothing but a plain linear layer, and that layer: LoRA layers whose
    adapter is off or merged among them.
    """
    for layer in lora_layers(model):
        base = layer.get_base_layer()
        if layer.disable_adapters and not layer.merged and _is_plain(base):
            yield layer, base
    for module in model.modules():
        if _is_plain(module):
            yield module, module


def _is_plain(module: torch.nn.Module) -> TypeGuard[torch.nn.Linear]:
    return (
        type(module) is torch.nn.Linear
        and "forward" not in module.__dict__
        and module.weight.device.type == "cpu"
    )


def _turned(linear: torch.nn.Linear, x: Tensor) -> Tensor:
    # Contiguous, for what comes after goes along the rows.
    out = torch.mm(linear.weight, x.flatten(0, -2).t()).t().contiguous()
    if linear.bias is not None:
        out += linear.bias
    return out.view(*x.shape[:-1], -1)


def _pays(linear: torch.nn.Linear, x: Tensor) -> bool:
    """Whether the product turned round gives the same bits in less time; the best of several of
    each, in turn.
    """
    ways = {False: partial(functional.linear, x, linear.weight, linear.bias)}
    ways[True] = partial(_turned, linear, x)
    if not torch.equal(ways[False](), ways[True]()):
        return False
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(_TRIES):
        for way, product in ways.items():
            start = time.perf_counter()
            product()
            best[way] = min(best[way], time.perf_counter() - start)
    return best[True] * _WORTH_IT < best[False]
