"""Load a model on this machine: transformers, peft's LoRA, optionally NF4 through bitsandbytes."""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minirl.config import ModelConfig
from minirl.errors import MissingExtraError, ModelError
from minirl.models.catalogue import resolve_model
from minirl.models.chat import ChatCodec
from minirl.models.convert import quiet_transformers
from minirl.models.precision import choose_dtype


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its adapter attached, ready to sample and to train.

    Attributes:
        model: the peft model.
        tokenizer: its tokenizer, with a pad token that is not the end-of-turn token where there is
            one.
        device: where it lies.
        dtype: of the base weights (of the computation, with 4-bit weights).
    """

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype

    def count(self, *, trainable: bool) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad or not trainable)


def best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def load_model(
    config: ModelConfig,
    *,
    seed: int,
    adapter: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> LoadedModel:
    """Load base and adapter.

    Args:
        config: which model, in which format, with which adapter.
        seed: of the adapter's first values (B starts at zero, so the policy starts as the base).
        adapter: a saved adapter to load instead of a new one; it stays trainable.
        progress: told about slow parts (a download).

    Raises:
        ModelError: it cannot be found, fetched or loaded.
        MissingExtraError: 4-bit weights without bitsandbytes.
    """
    from peft import LoraConfig, PeftModel, TaskType, get_peft_model
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # It names a package that would make 4-bit inference faster, at every start.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    where = resolve_model(config.name, progress=progress).location
    device = best_device()
    dtype = choose_dtype(config.precision, device)
    options: dict[str, Any] = {"dtype": dtype}
    if config.load_in_4bit:
        options["quantization_config"] = _nf4(dtype)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(where)
            base = AutoModelForCausalLM.from_pretrained(where, **options)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"cannot load the model {config.name!r}: {_first_line(error)}",
            fix="check the name (minirl models ls); a hub model needs a connection the first time",
        ) from error
    if config.load_in_4bit:
        if device.type == "cpu":
            _refuse_odd_widths(base, config.name)
        _keep_nf4_trainable(base)
    else:
        base.to(device)
    _set_special_tokens(base, tokenizer)
    torch.manual_seed(seed)
    if adapter is not None:
        try:
            model = PeftModel.from_pretrained(base, adapter, is_trainable=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"cannot load the adapter {adapter} onto {config.name!r}: {_first_line(error)}",
                fix="give the directory of an adapter that was trained on this model",
            ) from error
    else:
        targets = config.lora_targets
        lora = LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=0.0,
            bias="none",
            target_modules=targets if isinstance(targets, str) else list(targets),
        )
        try:
            model = get_peft_model(base, lora)
        except ValueError as error:
            raise ModelError(
                f"model.lora_targets fits nothing in {config.name}: {_first_line(error)}",
                fix='use lora_targets = "all-linear", or names of its linear layers',
            ) from error
    return LoadedModel(model, tokenizer, device, dtype)


def _nf4(dtype: torch.dtype) -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            "model.load_in_4bit needs bitsandbytes, which is not installed",
            fix="pip install 'minirl[4bit]', or --set model.load_in_4bit=false",
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _refuse_odd_widths(model: torch.nn.Module, name: str) -> None:
    """bitsandbytes 0.50 garbles layers on a CPU whose inputs are no multiple of NF4's block of 64.

    Quantized and back, their weights differ by 25 % and not by 9 %, and nothing says so.
    """
    from bitsandbytes.nn import Linear4bit

    layers = [m for m in model.modules() if isinstance(m, Linear4bit)]
    odd = {m.in_features for m in layers if m.in_features % 64}
    if odd:
        raise ModelError(
            f"{name} cannot be loaded in 4 bits on a CPU: bitsandbytes garbles some of its layers",
            expected="layers whose number of inputs is a multiple of 64",
            got=f"layers with {', '.join(map(str, sorted(odd)))} inputs",
            fix="--set model.load_in_4bit=false, or a GPU",
        )


def _keep_nf4_trainable(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from repacking the weights when the model is first evaluated on a CPU.

    On a CPU with AVX-512 bf16, bitsandbytes 0.50 then brings them into a form for inference only,
    for good: later training steps get no gradient through the base layers and do not say so, and
    layers whose inputs are no multiple of 64 fail.
    """
    layers: list[Any] = [m for m in model.modules() if hasattr(m, "support_avx512bf16_for_cpu")]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False


def _set_special_tokens(model: Any, tokenizer: Any) -> None:
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


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def context_length(model: Any) -> float:
    """Longest sequence in tokens that the model's positions cover; infinite where its config does
    not say.
    """
    return getattr(model.config, "max_position_embeddings", None) or math.inf
