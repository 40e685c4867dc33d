"""Random models of the families that minirl exports, small enough to make on the spot, with the
tiny model's character tokenizer.

They differ in what has broken exports: tied and untied embeddings, biases, grouped heads, heads
that are not hidden size / number of heads, fused projections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

VOCABULARY = 100
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.15,  # distributions that are far from flat
}


def _llama(**more: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**SHAPE, **more))


def _mistral() -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    shape = SHAPE | {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 16}
    return MistralForCausalLM(MistralConfig(**shape, sliding_window=None))


def _qwen2() -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    model = Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=True))
    return _with_biases(model)


def _qwen3() -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=32, tie_word_embeddings=False))


def _gemma3() -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(**SHAPE, head_dim=32, sliding_window=64, query_pre_attn_scalar=32)
    return Gemma3ForCausalLM(config)


def _phi3() -> Any:
    from transformers import Phi3Config, Phi3ForCausalLM

    return Phi3ForCausalLM(Phi3Config(**SHAPE))


def _with_biases(model: Any) -> Any:
    import torch

    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    return model


MAKERS: Mapping[str, Callable[[], Any]] = {
    "llama": lambda: _llama(tie_word_embeddings=False),
    "llama-tied": lambda: _llama(tie_word_embeddings=True),
    "llama-biased": lambda: _with_biases(_llama(attention_bias=True)),
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gemma3": _gemma3,
    "phi3": _phi3,
}


def make_family(name: str, path: Path, *, seed: int = 0) -> Path:
    """Write a random model of a family, fp32, with its tokenizer."""
    import torch

    from minirl.models.convert import quiet_transformers
    from minirl.models.tiny import _tokenizer

    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        model = MAKERS[name]().eval()
        for parameter_name, parameter in model.named_parameters():
            if "norm" in parameter_name:  # all ones, or zeros, would hide a mistake
                torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.1)
        model.save_pretrained(path)
        _tokenizer().save_pretrained(path)
    return path


def make_like_tiny(path: Path, *, seed: int) -> Path:
    """Write a model of the tiny model's shape and tokens with other, random weights."""
    from minirl.models.convert import quiet_transformers
    from minirl.models.tiny import _model, _tokenizer

    with quiet_transformers():
        _model(seed).save_pretrained(path)
        _tokenizer().save_pretrained(path)
    return path


def add_adapter(base: Path, path: Path, *, seed: int = 1, **lora: Any) -> Path:
    """Write a random adapter that changes the model's outputs a lot."""
    import torch
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoModelForCausalLM

    from minirl.models.convert import quiet_transformers

    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
        tuned = get_peft_model(
            model, LoraConfig(task_type=TaskType.CAUSAL_LM, **{**settings, **lora})
        )
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        tuned.save_pretrained(path)
    return path
