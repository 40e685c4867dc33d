"""A PEFT LoRA adapter as a GGUF that llama.cpp adds to its base model: ``llama-cli --lora FILE``.

llama.cpp computes ``W x + (alpha / r) B A x`` with one ``alpha`` a file, and r taken from each pair
of matrices (src/llama-adapter.cpp). PEFT scales each module by itself (rsLoRA, ``rank_pattern``,
``alpha_pattern``), so what a module's scale differs from the file's is folded into its B.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minirl.errors import ModelError
from minirl.export.families import Family, family_of
from minirl.export.files import written
from minirl.rundir import read_json

MERGED = "export it merged: --to gguf"
_PREFIX, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"

Matrix = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's update of its weight W (out, in): ``scale * B @ A``.

    Attributes:
        module: its name in transformers, without ``.weight``.
        a: (r, in).
        b: (out, r).
    """

    module: str
    a: Matrix
    b: Matrix
    scale: float

    @property
    def rank(self) -> int:
        return int(self.a.shape[0])


def write_lora_gguf(adapter: Path, base_config: Mapping[str, Any], out: Path) -> int:
    """Write the adapter in ``adapter`` as a GGUF.

    Args:
        adapter: a directory with adapter_config.json and its weights.
        base_config: config.json of the model that it belongs to.

    Returns:
        How many modules it changes.

    Raises:
        ModelError: llama.cpp knows no such adapter, or minirl no such architecture.
    """
    import gguf

    family = family_of(base_config)
    pairs = list(read_pairs(adapter))
    alpha = pairs[0].scale * pairs[0].rank
    with written(out) as path:
        writer = gguf.GGUFWriter(path, family.gguf_name)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        for pair in pairs:
            name = family.tensor(pair.module)
            fold = pair.scale * pair.rank / alpha
            b = pair.b if fold == 1.0 else pair.b.astype(np.float32) * np.float32(fold)
            writer.add_tensor(f"{name}.lora_a", pair.a)
            writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(family.rows(pair.module, b)))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return len(pairs)


def read_pairs(adapter: Path) -> Iterator[Pair]:
    """The matrices of a PEFT adapter, ordered by module; bf16 as float32, others as they are.

    Raises:
        ModelError: it has parts that a GGUF adapter cannot hold (named), or is damaged.
    """
    import torch
    from peft import LoraConfig, load_peft_weights

    config = LoraConfig.from_pretrained(str(adapter))
    _refuse_parts(adapter)
    weights = load_peft_weights(str(adapter), device="cpu")
    odd = sorted(name for name in weights if not name.endswith((_A, _B)))
    if odd:
        raise ModelError(
            f"the adapter in {adapter} has {odd[0]}, which a GGUF adapter cannot hold", fix=MERGED
        )
    modules = sorted({name.removesuffix(_A).removesuffix(_B) for name in weights}, key=_natural)
    for full in modules:
        try:
            a, b = weights[full + _A], weights[full + _B]
        except KeyError as missing:
            raise ModelError(f"the adapter in {adapter} lacks {missing}") from None
        a, b = (t.float() if t.dtype == torch.bfloat16 else t for t in (a, b))
        module = full.removeprefix(_PREFIX)
        yield Pair(module, a.numpy(), b.numpy(), scale_of(config, module, int(a.shape[0])))


def scale_of(config: Any, module: str, rank: int) -> float:
    """What PEFT multiplies B A with: alpha / r, or alpha / sqrt(r) with rsLoRA (arXiv
    2312.03732).
    """
    from peft.utils.other import get_pattern_key

    patterns = config.alpha_pattern
    alpha = float(patterns.get(get_pattern_key(patterns.keys(), module), config.lora_alpha))
    return alpha / (math.sqrt(rank) if config.use_rslora else rank)


def _refuse_parts(adapter: Path) -> None:
    config = read_json(adapter / "adapter_config.json")
    parts = {
        "weights that DoRA rescales": config.get("use_dora"),
        "fully trained modules (modules_to_save)": config.get("modules_to_save"),
        "trained biases": config.get("bias", "none") != "none" or config.get("lora_bias"),
        "trained tokens": config.get("trainable_token_indices"),
        "trained expert parameters (target_parameters)": config.get("target_parameters"),
        "repeated layers": config.get("layer_replication"),
        "invocation tokens (aLoRA)": config.get("alora_invocation_tokens"),
    }
    for what, there in parts.items():
        if there:
            raise ModelError(
                f"the adapter in {adapter} has {what}, which a GGUF adapter cannot hold", fix=MERGED
            )


def _natural(name: str) -> tuple[int | str, ...]:
    """Layer 2 before layer 10."""
    return tuple(int(part) if part.isdigit() else part for part in name.split("."))


__all__ = ["Family", "Pair", "read_pairs", "scale_of", "write_lora_gguf"]
