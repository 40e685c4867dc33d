"""Unsloth on an NVIDIA card: its patched models, its fused kernels, its generation or vLLM's.

The only module that imports unsloth. Unsloth rewrites transformers, peft and trl in place when it
is imported, so it comes before them or not at all, and a process that has imported it runs nothing
else: :func:`refuse_mixture`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from minirl.config import ModelConfig
from minirl.errors import ConfigError, ModelError
from minirl.models.catalogue import cache_dir
from minirl.models.sampler import Sampler

# What Unsloth's fused LoRA kernels cover, and its own default.
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_PATCHED = ("transformers", "peft", "trl")  # what Unsloth rewrites


def import_unsloth(*, standby: bool = False) -> Any:
    """Import Unsloth, with its environment set, before what it patches.

    Args:
        standby: vLLM is to give its cache's memory back while the model trains.

    Raises:
        ModelError: transformers, peft or trl were imported first.
    """
    if "unsloth" not in sys.modules:
        early = [name for name in _PATCHED if name in sys.modules]
        if early:
            raise ModelError(
                "Unsloth has to be imported before what it patches",
                expected=f"a process that has not imported {', '.join(_PATCHED)}",
                got=f"{', '.join(early)} imported already",
                fix="restart Python (in a notebook: the runtime) and load the model first, "
                'or --set model.backend="transformers"',
            )
        # Its compiled trainers would land in the directory that the user happens to be in, and
        # those of other versions would be used again.
        versions = "-".join(importlib.metadata.version(p) for p in ("unsloth", "trl"))
        os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(cache_dir() / f"unsloth-{versions}"))
        os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")  # it reports home otherwise
        if standby:
            os.environ["UNSLOTH_VLLM_STANDBY"] = "1"  # read when it is imported
    with chatter_aside():
        import unsloth
    return unsloth


@contextlib.contextmanager
def chatter_aside() -> Iterator[None]:
    """Unsloth prints its news on stdout, which is for results; within the block, to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def refuse_mixture() -> None:
    """Refuse to run the transformers backend in a process that Unsloth has patched.

    Raises:
        ModelError: it has.
    """
    if "unsloth" in sys.modules:
        raise ModelError(
            "this process has imported Unsloth, which changes transformers, peft and trl for good",
            fix="load the model with backend 'transformers' in a fresh process",
        )


def load(
    config: ModelConfig,
    where: str,
    *,
    dtype: torch.dtype,
    seed: int,
    adapter: Path | None,
    max_seq_length: int,
    checkpointing: bool,
    vllm: bool,
    gpu_memory_utilization: float,
    standby: bool,
) -> tuple[Any, Sampler]:
    """Load base and adapter through ``FastLanguageModel``.

    Args:
        config: which model, and which adapter.
        where: its directory or hub id. Exactly these weights are loaded: Unsloth would put a
            pre-quantized model of its own in the place of some names, and a name would mean other
            weights on a card than elsewhere.
        dtype: of the computation.
        seed: of the adapter's first values.
        adapter: a saved adapter to go on with.
        max_seq_length: longest conversation in tokens.
        checkpointing: recompute activations, and keep those that are needed in the machine's
            memory.
        vllm: start vLLM for the rollouts.
        gpu_memory_utilization: its share of the card.
        standby: it sleeps while the model trains.

    Returns:
        The peft model, and how to sample from it.

    Raises:
        ModelError: it came back otherwise than asked for.
        ConfigError: 32-bit training on a card where Unsloth would do it in 16.
    """
    FastLanguageModel = import_unsloth(standby=vllm and standby).FastLanguageModel
    if dtype == torch.float32:
        _refuse_hidden_bf16()
    max_seq_length = min(max_seq_length, _positions(where))
    mode: str | bool = "unsloth" if checkpointing else False
    with chatter_aside():
        base, _ = FastLanguageModel.from_pretrained(
            where,
            max_seq_length=max_seq_length,
            dtype=dtype,
            load_in_4bit=config.load_in_4bit,
            fast_inference=vllm,
            gpu_memory_utilization=gpu_memory_utilization,
            max_lora_rank=config.lora_r,
            use_gradient_checkpointing=mode,
            random_state=seed,
            use_exact_model_name=True,
        )
        if vllm and not hasattr(base, "vllm_engine"):
            raise ModelError(
                f"Unsloth did not start vLLM for {config.name}",
                fix="--set sampling.engine=torch; what Unsloth said stands above",
            )
        shape = _adapter_shape(config, adapter)
        model = FastLanguageModel.get_peft_model(
            base,
            **shape,
            lora_dropout=0.0,
            bias="none",
            use_gradient_checkpointing=mode,
            random_state=seed,
            max_seq_length=max_seq_length,
        )
    if adapter is not None:
        _take_weights(model, adapter)
    return model, _sampler(vllm=vllm, standby=standby)


def save_gguf(model: Any, tokenizer: Any, into: Path, formats: Sequence[str]) -> None:
    """Let Unsloth merge, convert and quantise in its own way. Where it finds no llama.cpp in
    ``~/.unsloth/llama.cpp`` (or ``UNSLOTH_LLAMA_CPP_PATH``), it downloads or builds one.

    Raises:
        ModelError: it failed; its own words are kept.
    """
    into.mkdir(parents=True, exist_ok=True)
    try:
        model.save_pretrained_gguf(str(into), tokenizer, quantization_method=list(formats))
    except Exception as error:  # whatever its downloads and builds come to
        raise ModelError(
            f"Unsloth's export failed: {error}",
            fix="leave --unsloth out: minirl writes the same files itself",
        ) from error


def _sampler(*, vllm: bool, standby: bool) -> Sampler:
    if vllm:
        from minirl.models.vllm import VllmSampler

        return VllmSampler(standby=standby)
    from minirl.models.generate import GenerateSampler

    return GenerateSampler()


def _positions(where: str) -> int:
    """How many positions the model has. Asked for more, Unsloth would stretch them, and the model
    would be another one.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(where).get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or sys.maxsize)


def _refuse_hidden_bf16() -> None:
    """Unsloth's trainer computes a 32-bit model in bf16 where the card can, and does not say so."""
    from unsloth_zoo.device_type import device_is_bf16_supported

    if device_is_bf16_supported():
        raise ConfigError(
            "model.precision = fp32: Unsloth would train in bf16 on this card all the same",
            fix="--set model.precision=auto, or --set model.backend=transformers",
        )


def _adapter_shape(config: ModelConfig, adapter: Path | None) -> dict[str, Any]:
    """Rank, alpha and layers: the saved adapter's own, else the recipe's."""
    if adapter is None:
        named = config.lora_targets
        return {
            "r": config.lora_r,
            "lora_alpha": config.lora_alpha,
            "target_modules": list(LINEAR_LAYERS if isinstance(named, str) else named),
        }
    try:
        saved = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        # peft writes "all-linear" as the path of every layer; Unsloth fuses by their last names.
        layers = sorted({name.rpartition(".")[2] for name in saved["target_modules"]})
        return {"r": saved["r"], "lora_alpha": saved["lora_alpha"], "target_modules": layers}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"cannot read the adapter {adapter}: {error}",
            fix="give the directory of an adapter that was trained on this model",
        ) from error


def _take_weights(model: Any, adapter: Path) -> None:
    """Load the saved adapter's weights, all of them; a part that fits nothing would be lost
    unseen.
    """
    from peft import load_peft_weights, set_peft_model_state_dict
    from safetensors import SafetensorError

    fix = "give the directory of an adapter that was trained on this model"
    try:
        weights = load_peft_weights(str(adapter), device="cpu")
        outcome = set_peft_model_state_dict(model, weights)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load the adapter {adapter}: {error}", fix=fix) from error
    missing = [k for k in outcome.missing_keys if "lora_" in k]
    if missing or outcome.unexpected_keys:
        raise ModelError(
            f"the adapter {adapter} does not fit this model",
            expected=f"weights for {len(weights) + len(missing)} matrices",
            got=f"{len(missing)} missing, {len(outcome.unexpected_keys)} that fit nothing",
            fix=fix,
        )
