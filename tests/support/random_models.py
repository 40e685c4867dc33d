"""Small random models of several architectures, and the plainest way to compute with them: one row,
no padding, no cache, the adapter not merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

from minirl.models.sampler import SamplingParams, TorchSampler, evaluating
from minirl.types import Request, Task

TOLERANCE = 1e-4  # of log-probabilities, in fp32
VOCABULARY = 100  # of the tiny model's tokenizer
STOPS = frozenset(range(2, 14))  # many ids that close a turn, so that random models write some
SIZE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "initializer_range": 0.15,  # logits that differ
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = 8  # shorter than every prompt
LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
FUSED = {k: v for k, v in SIZE.items() if k != "head_dim"}
ARCHITECTURES = {
    "llama": lambda: LlamaConfig(**SIZE),
    "qwen2": lambda: Qwen2Config(**FUSED),
    "qwen3": lambda: Qwen3Config(**SIZE),
    "gemma3": lambda: Gemma3TextConfig(
        **SIZE, sliding_window=WINDOW, layer_types=LAYERS, final_logit_softcapping=3.0
    ),
    "mistral": lambda: MistralConfig(**SIZE, sliding_window=WINDOW),
    "phi3": lambda: Phi3Config(**FUSED, sliding_window=WINDOW),
}
# Attention with a cap on its logits, and with sinks.
UNFIT = {
    "gemma2": lambda: Gemma2Config(**SIZE, sliding_window=WINDOW, layer_types=LAYERS),
    "gpt-oss": lambda: GptOssConfig(
        **SIZE,
        sliding_window=WINDOW,
        layer_types=LAYERS,
        num_local_experts=2,
        num_experts_per_tok=2,
    ),
}
PROMPTS = [[1, 30 + n, *range(40, 40 + n), 7] for n in (9, 25, 10, 14)]  # ragged


@cache
def bare_model(name: str) -> Any:
    """A random model without an adapter."""
    torch.manual_seed(7)
    config = (ARCHITECTURES | UNFIT)[name]()
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = sorted(STOPS)
    return model.eval()


@cache
def random_model(name: str) -> Any:
    """A random model with a random adapter that changes it."""
    torch.manual_seed(7)
    config = (ARCHITECTURES | UNFIT)[name]()
    return with_adapter(AutoModelForCausalLM.from_config(config, dtype=torch.float32))


def with_adapter(model: Any, **options: Any) -> Any:
    targets = options.pop("target_modules", "all-linear")
    model = get_peft_model(
        model,
        LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=targets, **options),
    )
    randomize(model)
    model.generation_config.eos_token_id = sorted(STOPS)
    return model.eval()


def randomize(model: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)


def plain_logprobs(model: Any, prompt: Any, completion: Any, temperature: float = 1.0) -> Any:
    """log π of each id of ``completion``: one row, one pass, no cache."""
    ids = torch.tensor([[*prompt, *completion]])
    with torch.no_grad(), evaluating(model):
        logits = model(input_ids=ids, use_cache=False).logits[0].float() / temperature
    logp = torch.log_softmax(logits, dim=-1)[len(prompt) - 1 : -1]
    return logp.gather(1, ids[0, len(prompt) :, None]).squeeze(1)


def difference(told: Any, plain: Any) -> float:
    gap = (torch.tensor(told) - plain).abs().max()
    assert torch.isfinite(gap)
    return float(gap)


def request(prompt: Any, n: int = 1, max_tokens: int = 12) -> Request:
    return Request(tuple(prompt), n, max_tokens, Task("none", "train", 0, ()))


def draw_samples(
    model: Any,
    requests: Any,
    params: SamplingParams | None = None,
    *,
    seed: int = 0,
    batch: int = 10**6,
    rows: Any = None,
) -> Any:
    """Samples by minirl's own sampler, in a session of their own."""
    if rows is None:
        rows = [sum(r.n for r in requests[:at]) for at in range(len(requests))]
    with TorchSampler().session(model, use_adapter=True, batch=batch) as go:
        params = params or SamplingParams()
        return go(requests, rows, params, seed=seed, eos_ids=STOPS, pad_id=0)


@contextmanager
def watching(model: Any) -> Iterator[list[tuple[int, int]]]:
    """The (rows, columns) of the input ids of every forward pass within the block."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    shapes: list[tuple[int, int]] = []
    hook = bare.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        yield shapes
    finally:
        hook.remove()
