"""How llama.cpp names and orders the weights of the model families that minirl exports.

The names come from the package ``gguf``. The order matters for Q and K: models of Llama's family
rotate pairs of neighbours in llama.cpp where transformers rotates the two halves of a head, so the
converter reorders the rows of these matrices; what changes them has to be reordered alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minirl.errors import ModelError

Matrix = np.ndarray[Any, np.dtype[Any]]

# transformers' class -> (its name in gguf.MODEL_ARCH, whether Q's and K's rows are reordered)
FAMILIES: Mapping[str, tuple[str, bool]] = {
    "LlamaForCausalLM": ("LLAMA", True),
    "MistralForCausalLM": ("LLAMA", True),
    "SmolLM3ForCausalLM": ("SMOLLM3", True),
    "Qwen2ForCausalLM": ("QWEN2", False),
    "Qwen3ForCausalLM": ("QWEN3", False),
    "Gemma2ForCausalLM": ("GEMMA2", False),
    "Gemma3ForCausalLM": ("GEMMA3", False),
    "Gemma3ForConditionalGeneration": ("GEMMA3", False),
    "PhiForCausalLM": ("PHI2", False),
    "Phi3ForCausalLM": ("PHI3", False),
}


@dataclass(frozen=True)
class Family:
    """One model's place among the families.

    Attributes:
        arch: the name of its ``gguf.MODEL_ARCH``.
        reordered: whether llama.cpp wants the rows of Q and K reordered.
        heads, kv_heads: attention heads, and those of keys and values.
    """

    arch: str
    reordered: bool
    layers: int
    heads: int
    kv_heads: int

    @property
    def gguf_name(self) -> str:
        """``general.architecture`` of its GGUF files."""
        import gguf

        name: str = gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH[self.arch]]
        return name

    @cached_property
    def _names(self) -> Any:
        import gguf

        return gguf.get_tensor_name_map(gguf.MODEL_ARCH[self.arch], self.layers)

    def tensor(self, module: str) -> str:
        """llama.cpp's name of a module's weight.

        Raises:
            ModelError: it has none.
        """
        plain = module.replace("language_model.", "")
        plain = plain if plain.startswith(("model.", "lm_head")) else f"model.{plain}"
        name = self._names.get_name(f"{plain}.weight", try_suffixes=(".weight",))
        if name is None:
            raise ModelError(
                f"llama.cpp has no tensor for {module}",
                expected=f"a linear layer of {self.gguf_name}",
                fix="export it merged (--to merged), or train without it (model.lora_targets)",
            )
        return str(name)

    def stored(self, module: str, weight: Matrix) -> Matrix:
        """A whole weight or bias as llama.cpp's converter stores it."""
        if self.arch.startswith("GEMMA") and weight.ndim == 1 and module.endswith("norm"):
            return weight + 1.0  # Gemma scales by 1 + w, and llama.cpp by w
        return self.rows(module, weight)

    def rows(self, module: str, matrix: Matrix) -> Matrix:
        """``matrix`` (out, any) of ``module`` with its rows in llama.cpp's order.

        Within a head, rotary halves (x_0 … x_{d/2-1}, y_0 … y_{d/2-1}) become pairs
        (x_0, y_0, x_1, y_1, …).
        """
        kind = module.rpartition(".")[2]
        if not self.reordered or kind not in ("q_proj", "k_proj"):
            return matrix
        heads = self.heads if kind == "q_proj" else self.kv_heads
        width = matrix.shape[0] // heads // 2
        halves = matrix.reshape(heads, 2, width, *matrix.shape[1:])
        return halves.swapaxes(1, 2).reshape(matrix.shape)


def family_of(config: Mapping[str, Any]) -> Family:
    """The family of a model, by its config.json.

    Raises:
        ModelError: minirl has not been tried with it.
    """
    names = list(config.get("architectures") or ())
    known = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    if known is None:
        raise ModelError(
            f"minirl cannot write {', '.join(names) or 'this architecture'} as a GGUF adapter",
            expected=f"one of {', '.join(FAMILIES)}",
            fix="export it merged: --to merged, or --to gguf where llama.cpp's converter knows it",
        )
    arch, reordered = known
    text = config.get("text_config") or config
    heads = int(text["num_attention_heads"])
    return Family(
        arch,
        reordered,
        layers=int(text["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(text.get("num_key_value_heads") or heads),
    )
