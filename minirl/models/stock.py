"""The stock backend: transformers, peft's LoRA, optionally NF4 through bitsandbytes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from minirl.config import ModelConfig
from minirl.errors import MissingExtraError, ModelError
from minirl.models.convert import quiet_transformers
from minirl.models.supported import install_command


def load_tokenizer(config: ModelConfig, where: str) -> Any:
    """The model's tokenizer, as it was saved.

    Raises:
        ModelError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(where)
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(config, error) from error


def load(
    config: ModelConfig,
    where: str,
    *,
    dtype: torch.dtype,
    device: torch.device,
    seed: int,
    adapter: Path | None,
) -> Any:
    """Load base and adapter; see :func:`minirl.models.load.load_model`.

    Returns:
        The peft model.
    """
    from peft import LoraConfig, PeftModel, TaskType, get_peft_model
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": dtype}
    if config.load_in_4bit:
        options["quantization_config"] = _nf4(dtype)
    try:
        with quiet_transformers():
            base = AutoModelForCausalLM.from_pretrained(where, **options)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _unloadable(config, error) from error
    if config.load_in_4bit:
        if device.type == "cpu":
            _refuse_odd_widths(base, config.name)
        _keep_nf4_trainable(base)
    else:
        base.to(device)
    torch.manual_seed(seed)
    if adapter is not None:
        try:
            return PeftModel.from_pretrained(base, adapter, is_trainable=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"cannot load the adapter {adapter} onto {config.name!r}: {_first_line(error)}",
                fix="give the directory of an adapter that was trained on this model",
            ) from error
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
        return get_peft_model(base, lora)
    except ValueError as error:
        raise ModelError(
            f"model.lora_targets fits nothing in {config.name}: {_first_line(error)}",
            fix='use lora_targets = "all-linear", or names of its linear layers',
        ) from error


def _unloadable(config: ModelConfig, error: Exception) -> ModelError:
    return ModelError(
        f"cannot load the model {config.name!r}: {_first_line(error)}",
        fix="check the name (minirl models ls); a hub model needs a connection the first time",
    )


def _nf4(dtype: torch.dtype) -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            "model.load_in_4bit needs bitsandbytes, which is not installed",
            fix=f"{install_command('bitsandbytes', extra='4bit')}, "
            "or --set model.load_in_4bit=false",
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


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
