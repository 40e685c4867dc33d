"""Other adapters in the model that is loaded: checkpoints of the run, or another run's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from minirl.errors import ModelError
from minirl.models.load import LoadedModel
from minirl.rundir import read_json

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
SCALING = ("lora_alpha", "use_rslora", "alpha_pattern")  # what the matrices are multiplied by

Weights = Mapping[str, torch.Tensor]


def weights_of(folder: Path) -> Path:
    """The file with an adapter's weights.

    Raises:
        ModelError: the folder has none.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{folder} holds no adapter", expected=" or ".join(WEIGHTS))


def fingerprint(folder: Path) -> str:
    """SHA-256 of an adapter's weights, in hex.

    Raises:
        ModelError: the folder has none.
    """
    return hashlib.sha256(weights_of(folder).read_bytes()).hexdigest()


@contextmanager
def other_adapter(loaded: LoadedModel, folder: Path) -> Iterator[None]:
    """Within the block, the model carries the adapter of ``folder`` in place of its own, which
    comes back bit for bit.

    Raises:
        ModelError: that adapter has other modules, another rank or another scale, or is damaged.
    """
    from peft import get_peft_model_state_dict

    # These tensors share the parameters' storage.
    live: Weights = get_peft_model_state_dict(loaded.model, save_embedding_layers=False)
    weights = _read(folder)
    _check_fit(loaded, live, weights, folder)
    own = {name: tensor.clone() for name, tensor in live.items()}
    try:
        _put(live, weights)
        yield
    finally:
        _put(live, own)


def _put(live: Weights, weights: Weights) -> None:
    with torch.no_grad():
        for name, tensor in live.items():
            tensor.copy_(weights[name])


def _read(folder: Path) -> Weights:
    from peft import load_peft_weights
    from safetensors import SafetensorError

    weights_of(folder)  # peft would look for a missing one on the hub
    try:
        weights: Weights = load_peft_weights(str(folder), device="cpu")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"the adapter in {folder} cannot be read", got=str(error)) from error
    return weights


def _check_fit(loaded: LoadedModel, live: Weights, weights: Weights, folder: Path) -> None:
    def refuse(expected: str, got: str) -> ModelError:
        return ModelError(
            f"the adapter in {folder} does not fit the model",
            expected=expected,
            got=got,
            fix="an adapter of the same model, with the same lora_r, lora_alpha and lora_targets",
        )

    if live.keys() != weights.keys():
        odd = min(live.keys() ^ weights.keys())
        raise refuse(
            f"{len(live)} LoRA matrices",
            f"{len(weights)}; {odd} stands in one of them only",
        )
    for name, tensor in live.items():
        if tensor.shape != weights[name].shape:
            raise refuse(f"{name} of shape {tuple(tensor.shape)}", f"{tuple(weights[name].shape)}")
    config: Any = loaded.model.active_peft_config
    saved = read_json(folder / "adapter_config.json")
    for key in SCALING:
        if saved.get(key) != getattr(config, key):
            raise refuse(f"{key} = {getattr(config, key)}", f"{saved.get(key)}")
