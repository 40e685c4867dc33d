"""Small random models of the families that the recipes use, on disk, each with an adapter; and what
is compared on them.

    python small_models.py DIRECTORY
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Few and short rollouts: each row of a Triton kernel takes the interpreter about a millisecond.
PROMPTS, GROUP = (9, 4), 3


def steps(precision: str = "fp32") -> Iterator[tuple[str, str, bool, str]]:
    """(model, precision, 4 bits, case of grpo_batch) of each step that is compared.

    Every loss in ``precision``; fp16 for the fused LoRA kernels, which 32-bit weights skip.
    """
    from grpo_batch import CASES

    for case in CASES:
        yield "llama", precision, False, case
    fused = "fp16" if precision == "fp32" else precision
    if fused != precision:
        yield "llama", fused, False, "dr_grpo"
    yield "llama", fused, True, "dr_grpo"
    yield "qwen3", precision, False, "dapo"
    yield "gemma3", precision, False, "dapo"


SHAPE: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def models() -> dict[str, Any]:
    from transformers import (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    alternating = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    return {
        "llama": LlamaForCausalLM(LlamaConfig(**SHAPE)),
        "qwen3": Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=32)),
        "gemma3": Gemma3ForCausalLM(Gemma3TextConfig(**SHAPE, head_dim=32, **alternating)),
    }


def make_all(home: Path) -> None:
    """Write every model as ``NAME`` and its adapter as ``NAME-adapter``.

    The adapter's B is not zero: A gets no gradient from a fresh one, which would hide an error.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    from minirl.models.tiny import _tokenizer
    from minirl.models.unsloth import LINEAR_LAYERS

    torch.manual_seed(0)
    for name, model in models().items():
        model.save_pretrained(home / name)
        _tokenizer().save_pretrained(home / name)
        lora = LoraConfig(
            task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=list(LINEAR_LAYERS)
        )
        tuned = get_peft_model(model, lora)
        for parameter, weight in tuned.named_parameters():
            if "lora_B" in parameter:
                weight.data.normal_(std=0.05)
        tuned.save_pretrained(home / f"{name}-adapter")


if __name__ == "__main__":
    make_all(Path(sys.argv[1]))
