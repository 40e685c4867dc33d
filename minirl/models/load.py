"""Load a model on this machine, through the backend that suits it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from minirl.config import ModelConfig, SamplingConfig
from minirl.errors import ModelError
from minirl.models import stock, unsloth
from minirl.models.backend import UNSLOTH_CONTEXT, Choice, choose
from minirl.models.catalogue import resolve_model
from minirl.models.chat import ChatCodec
from minirl.models.machine import inspect
from minirl.models.precision import choose_dtype
from minirl.models.sampler import Sampler, TorchSampler


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its adapter attached, ready to sample and to train.

    Attributes:
        model: the peft model.
        tokenizer: its tokenizer, with a pad token that is not the end-of-turn token where there is
            one.
        device: where it lies.
        dtype: of the base weights (of the computation, with 4-bit weights).
        choice: which backend runs it, and why.
        sampler: how to sample from it.
        max_seq_length: longest conversation in tokens; None for as many as it has positions.
        thinking: whether it shall think aloud before it answers, where it can.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype
    choice: Choice
    sampler: Sampler = field(default_factory=TorchSampler)
    max_seq_length: int | None = None
    thinking: bool = False

    def count(self, *, trainable: bool) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad or not trainable)


@dataclass(frozen=True, slots=True)
class Use:
    """What a model is loaded for, as far as a backend must know it before it loads.

    Attributes:
        sampling: how it will be sampled from.
        gradient_checkpointing: whether training is to save memory that way.
    """

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    gradient_checkpointing: bool = False


def load_model(
    config: ModelConfig,
    *,
    seed: int,
    adapter: Path | None = None,
    progress: Callable[[str], None] | None = None,
    use: Use | None = None,
) -> LoadedModel:
    """Load base and adapter.

    Args:
        config: which model, in which format, with which adapter.
        seed: of the adapter's first values (B starts at zero, so the policy starts as the base).
        adapter: a saved adapter to load instead of a new one; it stays trainable.
        progress: told about slow parts (a download).
        use: what for.

    Raises:
        ModelError: it cannot be found, fetched or loaded, or the backend that was asked for cannot
            run here.
        MissingExtraError: 4-bit weights without bitsandbytes, or Unsloth that is not installed.
    """
    use = use or Use()
    choice = choose(config, use.sampling, inspect())
    on_unsloth = choice.backend == "unsloth"
    if on_unsloth:
        unsloth.import_unsloth(standby=choice.standby)  # before anything that it patches
    else:
        unsloth.refuse_mixture()
    # It names a package that would make 4-bit inference faster, at every start.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    where = resolve_model(config.name, progress=progress).location
    dtype = choose_dtype(choice.precision, torch.device(choice.device))
    tokenizer = stock.load_tokenizer(config, where)
    sampler: Sampler = TorchSampler()
    max_seq_length = config.max_seq_length
    if on_unsloth:
        max_seq_length = max_seq_length or UNSLOTH_CONTEXT
        model, sampler = unsloth.load(
            config,
            where,
            dtype=dtype,
            seed=seed,
            adapter=adapter,
            max_seq_length=max_seq_length,
            checkpointing=use.gradient_checkpointing,
            vllm=choice.engine == "vllm",
            gpu_memory_utilization=use.sampling.gpu_memory_utilization,
            standby=choice.standby,
        )
    else:
        device = torch.device(choice.device)
        model = stock.load(config, where, dtype=dtype, device=device, seed=seed, adapter=adapter)
    if config.load_in_4bit:
        _check_4bit(model, config.name)
    set_special_tokens(model.get_base_model(), tokenizer)
    device = next(model.parameters()).device
    return LoadedModel(
        model,
        tokenizer,
        device,
        dtype,
        choice,
        sampler,
        max_seq_length,
        thinking=config.thinking,
    )


def _check_4bit(model: torch.nn.Module, name: str) -> None:
    """Loaders fall back to 16-bit weights without a word where bitsandbytes is out of order."""
    from bitsandbytes.nn import Linear4bit

    if not any(isinstance(m, Linear4bit) for m in model.modules()):
        raise ModelError(
            f"{name} came back without 4-bit layers",
            expected="linear layers in NF4",
            fix="minirl doctor tries bitsandbytes on this machine",
        )


def set_special_tokens(model: Any, tokenizer: Any) -> None:
    """Give the tokenizer a pad token, and the model the ids that end a turn.

    Raises:
        ModelError: the tokenizer has no end-of-sequence token.
    """
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer of {tokenizer.name_or_path} has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    # What ends a turn is not always the tokenizer's EOS; TRL reads it from the generation config.
    eos = sorted(ChatCodec(tokenizer).eos_ids | stop_ids(model))
    for config in (model.config, model.generation_config):
        config.pad_token_id = tokenizer.pad_token_id
        config.eos_token_id = eos if len(eos) > 1 else eos[0]


def stop_ids(model: Any) -> frozenset[int]:
    """Ids at which ``model.generate`` would stop."""
    ids = model.generation_config.eos_token_id
    return frozenset([ids] if isinstance(ids, int) else ids or ())


def context_length(model: Any) -> float:
    """Longest sequence in tokens that the model's positions cover; infinite where its config does
    not say.
    """
    return getattr(model.config, "max_position_embeddings", None) or math.inf
