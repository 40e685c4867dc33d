"""A model of a few thousand random weights, with an adapter."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch

from minirl.models.load import LoadedModel

VOCABULARY, POSITIONS, PAD = 12, 40, 0


def stir(model: Any, scale: float, seed: int = 1) -> None:
    """Give the adapter an effect: its B starts at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


def small_model(*, r: int = 2, targets: Any = "all-linear", **lora: Any) -> LoadedModel:
    """A Llama with random weights and a random adapter; its tokens stand for nothing."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY,
                hidden_size=16,
                intermediate_size=24,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=POSITIONS,
                initializer_range=0.5,
                tie_word_embeddings=False,
            )
        ).eval()
        model = get_peft_model(
            base, LoraConfig(task_type="CAUSAL_LM", r=r, target_modules=targets, **lora)
        )
    stir(model, 0.5)
    tokenizer = SimpleNamespace(pad_token_id=PAD)
    return LoadedModel(model, tokenizer, torch.device("cpu"), torch.float32, cast(Any, None))
