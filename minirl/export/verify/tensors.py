"""Every tensor of a GGUF against the weights that were trained. No llama.cpp is needed; what a
tensor *means* there (its order, its scale) is for :mod:`minirl.export.verify.agreement` to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minirl.export.families import Family
from minirl.export.lora_gguf import read_pairs
from minirl.export.verify.gguf_file import GgufFile
from minirl.export.verify.limits import limits_for

Matrix = np.ndarray[Any, np.dtype[Any]]
LORA_ERROR = 2e-3  # relative, of scale * B A: both matrices in 16 bits

# llama.cpp makes these from config.json; they are no weights of the model.
_MADE = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


@dataclass(frozen=True, slots=True)
class TensorCheck:
    """What came of it.

    Attributes:
        compared: how many tensors were.
        worst: the largest relative error, and
        worst_tensor: whose it is.
        first: the first tensor, in the model's order, that is missing, of another shape or too far
            off, in words; None where none is.
    """

    compared: int
    worst: float
    worst_tensor: str
    first: str | None


def check_adapter(file: GgufFile, adapter: Path, family: Family) -> TensorCheck:
    """An adapter GGUF against the PEFT adapter that it was made from: each module's whole update,
    with its scale.
    """
    alpha = float(file.meta.get("adapter.lora.alpha", 0.0))
    there = {name: (a, b) for name, a, b in file.pairs()}
    check = _Check(lambda _: LORA_ERROR)
    for pair in read_pairs(adapter):
        name = family.tensor(pair.module)
        found = there.pop(name, None)
        wanted = pair.scale * _product(family.rows(pair.module, pair.b), pair.a)
        got = None
        if found is not None:
            a, b = found
            got = alpha / a.shape[0] * _product(b, a)
        check.compare(name, wanted, got)
    check.extra(there)
    return check.result()


def check_merged(file: GgufFile, model: Any, family: Family) -> TensorCheck:
    """A merged GGUF against the weights of ``model`` with its adapter."""
    check = _Check(lambda name: limits_for(file.kind(name), exact_reference=True).weights)
    left = set(file.names) - set(_MADE)
    for module, kind, weight in effective_weights(model):
        name = family.tensor(module)
        if kind != "weight":
            name = f"{name.removesuffix('.weight')}.{kind}"
        if name == "output.weight" and name not in file.names:
            continue  # tied to the embeddings
        wanted = family.stored(module, weight())
        got = file.values(name) if name in file.names else None
        if got is not None and name == "token_embd.weight":
            got = got[: len(wanted)]  # vocabularies are padded
        check.compare(name, wanted, got)
        left.discard(name)
    check.extra(left)
    return check.result()


def effective_weights(model: Any) -> Iterator[tuple[str, str, Callable[[], Matrix]]]:
    """(module, ``weight`` or ``bias``, how to get it) of a model with its adapter added, in the
    order of the modules. 4-bit weights are dequantised.
    """
    from peft.tuners.lora import LoraLayer

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    inside = [name for name, m in base.named_modules() if isinstance(m, LoraLayer)]
    for name, module in base.named_modules():
        if any(name.startswith(f"{outer}.") for outer in inside):
            continue  # the adapter's own matrices, and the layer that it wraps
        lora = isinstance(module, LoraLayer)
        layer = module.get_base_layer() if lora else module
        if isinstance(getattr(layer, "weight", None), torch.Tensor):
            yield name, "weight", partial(_weight, module)
        if isinstance(getattr(layer, "bias", None), torch.Tensor):
            yield name, "bias", partial(_bias, layer)


@torch.no_grad()
def _weight(module: Any) -> Matrix:
    from peft.tuners.lora import LoraLayer
    from peft.utils.integrations import dequantize_module_weight

    if not isinstance(module, LoraLayer):
        return np.asarray(module.weight.detach().float().cpu().numpy())
    whole = dequantize_module_weight(module.get_base_layer()).float()
    for name in module.active_adapters:
        whole = whole + module.get_delta_weight(name).float()
    return np.asarray(whole.cpu().numpy())


def _bias(layer: Any) -> Matrix:
    return np.asarray(layer.bias.detach().float().cpu().numpy())


def _product(b: Matrix, a: Matrix) -> Matrix:
    return np.asarray(b.astype(np.float32) @ a.astype(np.float32))


class _Check:
    def __init__(self, limit: Callable[[str], float]) -> None:
        self.limit = limit
        self.compared, self.worst, self.worst_tensor = 0, 0.0, ""
        self.first: str | None = None

    def compare(self, name: str, wanted: Matrix, got: Matrix | None) -> None:
        if got is None:
            self._fault(f"{name} is missing")
            return
        if got.shape != wanted.shape:
            self._fault(f"{name} is {got.shape}, and {wanted.shape} was trained")
            return
        self.compared += 1
        scale = float(np.linalg.norm(wanted)) or 1.0
        error = float(np.linalg.norm(got - wanted)) / scale
        error = error if np.isfinite(error) else float("inf")
        if error >= self.worst:
            self.worst, self.worst_tensor = error, name
        if not error <= self.limit(name):
            self._fault(
                f"{name} is off by {100 * error:.3g} % (at most {100 * self.limit(name):g})"
            )

    def extra(self, names: Any) -> None:
        for name in sorted(names):
            self._fault(f"{name} is in the file, and not in the model")

    def _fault(self, what: str) -> None:
        self.first = self.first or what

    def result(self) -> TensorCheck:
        worst = self.worst if np.isfinite(self.worst) else -1.0
        return TensorCheck(self.compared, worst, self.worst_tensor, self.first)
