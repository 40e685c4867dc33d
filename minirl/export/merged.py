"""Base and adapter in one: safetensors that any program loads without peft."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from minirl.config import ModelConfig
from minirl.errors import ModelError
from minirl.export.files import digest, written
from minirl.export.tokenizer_files import copy_tokenizer
from minirl.models import store
from minirl.models.catalogue import resolve_model
from minirl.rundir import write_json

if TYPE_CHECKING:
    import torch

Dtype = Literal["auto", "fp32", "fp16", "bf16"]
Base = Literal["auto", "dequantized", "original"]
BaseUsed = Literal["stored", "dequantized", "original"]
MANIFEST = "minirl.json"
MAX_SHARD = "5GB"
# How the hub names copies in NF4; what is left of the name is the model that they were made of.
QUANTIZED_SUFFIXES = ("-unsloth-bnb-4bit", "-bnb-4bit")


@dataclass(frozen=True, slots=True)
class Merged:
    """What was written.

    Attributes:
        base: the name of the model that the adapter was added to.
        base_used: its weights as they are `stored`; `dequantized` from the NF4 that training saw;
            or the `original` 16-bit ones where training saw NF4.
        dtype: of the weights written: `fp32`, `fp16` or `bf16`.
        layers: how many layers the adapter changed.
        parameters: of the whole model.
    """

    base: str
    base_used: BaseUsed
    dtype: str
    layers: int
    parameters: int


def write_merged(
    model: ModelConfig,
    adapter: Path | None,
    into: Path,
    *,
    dtype: Dtype = "auto",
    base: Base = "auto",
    progress: store.Progress = store.silent,
) -> Merged:
    """Write base + adapter, tokenizer, chat template and generation config into ``into``.

    A layer at a time, W + scale·B·A is computed in float32 and rounded once. It runs on the CPU.

    Args:
        adapter: a PEFT adapter; None writes the base alone.
        dtype: of the result; ``auto`` is what the base is stored in.
        base: for a base in 4 bits, the weights that the adapter is added to; ``auto`` is
            ``dequantized``, for which the adapter was trained.

    Raises:
        ModelError: the base or the adapter cannot be loaded, or cannot be merged exactly.
        DiskFullError: no space is left; nothing stays at ``into``.
    """
    import torch

    from minirl.models import stock
    from minirl.models.convert import quiet_transformers

    chosen, used = _choose_base(model, base)
    where = resolve_model(chosen.name, progress=progress).location
    stored = _stored_dtype(chosen, where)
    if base != "original" and _is_quantized(chosen, where):
        chosen, used = chosen.model_copy(update={"load_in_4bit": True}), "dequantized"
    names = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    target = stored if dtype == "auto" else names[dtype]
    progress(f"loading {chosen.name}")
    peft_model = stock.load(
        chosen, where, dtype=stored, device=torch.device("cpu"), seed=0, adapter=adapter
    )
    layers = 0
    if adapter is None:
        whole = peft_model.unload()
    else:
        progress(f"merging {adapter}")
        layers = _merge(peft_model, target)
        with warnings.catch_warnings():  # that everything is merged already
            warnings.simplefilter("ignore", UserWarning)
            whole = peft_model.merge_and_unload()
    _make_plain(whole, target)
    merged = Merged(
        chosen.name,
        used,
        next(name for name, value in names.items() if value == target),
        layers,
        sum(p.numel() for p in whole.parameters()),
    )
    progress(f"writing {into}")
    with written(into) as temporary, quiet_transformers():
        temporary.mkdir()
        whole.save_pretrained(temporary, max_shard_size=MAX_SHARD)
        copy_tokenizer(chosen, where, temporary)
        write_json(
            temporary / MANIFEST, {**asdict(merged), "adapter_sha256": adapter and digest(adapter)}
        )
    return merged


def original_name(name: str) -> str:
    """The 16-bit model that a hub repository in NF4 was made of."""
    for suffix in QUANTIZED_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _choose_base(model: ModelConfig, base: Base) -> tuple[ModelConfig, BaseUsed]:
    quantized_name = original_name(model.name) != model.name
    if not (model.load_in_4bit or quantized_name):
        return model, "stored"
    if base == "original":
        plain = {"load_in_4bit": False, "name": original_name(model.name)}
        return model.model_copy(update=plain), "original"
    return model, "dequantized"


def _config(where: str) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(where)
    except (OSError, ValueError) as error:
        raise ModelError(f"the configuration of {where} cannot be read: {error}") from error


def _stored_dtype(model: ModelConfig, where: str) -> torch.dtype:
    import torch

    config = _config(where)
    dtype = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
    if isinstance(dtype, str):
        dtype = getattr(torch, dtype, None)
    # Where the config does not say, float32 holds whatever there is.
    return dtype if dtype in (torch.float16, torch.bfloat16) else torch.float32


def _is_quantized(model: ModelConfig, where: str) -> bool:
    told = getattr(_config(where), "quantization_config", None)
    if told is None:
        return model.load_in_4bit
    method = told.get("quant_method") if isinstance(told, dict) else told.quant_method
    if str(getattr(method, "value", method)) != "bitsandbytes":
        raise ModelError(
            f"an adapter on {model.name} cannot be merged: its weights are quantized by {method}",
            expected="16-bit or 32-bit weights, or NF4 by bitsandbytes",
            fix="export the adapter: --to adapter, or --to gguf-lora",
        )
    return True


# merging ------------------------------------------------------------------------------------------


def _merge(peft_model: Any, target: torch.dtype) -> int:
    """Put W + delta, in ``target``, in the place of each adapted layer's weights."""
    import torch

    layers = list(_lora_layers(peft_model))
    uses = Counter(id(p) for m in peft_model.modules() for p in m._parameters.values())
    with torch.no_grad():
        for name, layer in layers:
            base = layer.get_base_layer()
            if uses[id(base.weight)] > 1:
                raise ModelError(
                    f"{name} shares its weights with another layer: merging would change both",
                    fix="export the adapter: --to adapter; or train without it "
                    "(model.lora_targets), or with it in modules_to_save",
                )
            _merge_layer(layer, base, target)
    return len(layers)


def _lora_layers(model: Any) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    return ((n, m) for n, m in model.named_modules() if isinstance(m, LoraLayer))


def _merge_layer(layer: Any, base: Any, target: torch.dtype) -> None:
    for part in (*layer.lora_A.values(), *layer.lora_B.values()):
        part.float()
    weight = dequantized(base.weight)
    for name in layer.active_adapters:
        if variant := layer.lora_variant.get(name):  # DoRA and its kin: peft knows how
            weight = variant.merge_safe(layer, name, weight)
        else:
            weight = weight + layer.get_delta_weight(name).float()
        if layer.lora_bias.get(name):
            if base.bias is None:
                raise ModelError(
                    "the adapter adds biases to layers that have none, so it cannot be merged",
                    fix="export the adapter: --to adapter; or train with lora_bias=False",
                )
            bias = layer.lora_B[name].bias.data * layer.scaling[name]
            base.bias.data = base.bias.data.float() + bias
        layer.merged_adapters.append(name)  # so that peft only unwraps
    if not weight.isfinite().all():
        raise ModelError(
            "the adapter is broken: a merged layer holds NaN or infinity",
            fix="take an earlier checkpoint of the run",
        )
    _set_weight(base, weight.to(target))


def dequantized(weight: torch.Tensor) -> torch.Tensor:
    """A weight in float32, out of NF4 where it is kept so."""
    state: Any = getattr(weight, "quant_state", None)
    if state is None:
        return weight.data.float()
    import torch
    from bitsandbytes.functional import dequantize_4bit

    state.dtype = torch.float32  # else it is rounded to the dtype of training's computation
    plain: torch.Tensor = dequantize_4bit(weight.data, state)
    return plain.float()


def _set_weight(layer: Any, weight: torch.Tensor) -> None:
    import torch

    layer.weight = torch.nn.Parameter(weight, requires_grad=False)


def _make_plain(model: Any, target: torch.dtype) -> None:
    """Turn 4-bit layers without an adapter into plain ones, and forget that there were any."""
    import torch

    with torch.no_grad():
        for name, module in list(model.named_modules()):
            if type(module).__name__ != "Linear4bit":
                continue
            plain = torch.nn.Linear(
                module.in_features, module.out_features, bias=module.bias is not None, device="meta"
            )
            _set_weight(plain, dequantized(module.weight).to(target))
            if module.bias is not None:
                plain.bias = torch.nn.Parameter(module.bias.data, requires_grad=False)
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, plain)
    for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
        if hasattr(config, "quantization_config"):
            del config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = model.is_loaded_in_4bit = False
    model.quantization_method = None
    model.to(target)
    model.config.dtype = target
    sampling = model.generation_config
    if sampling is not None and not sampling.do_sample:
        # Some hub models name a temperature and not that it applies; saving those is refused.
        sampling.do_sample = any(
            getattr(sampling, key, None) not in (None, plain)
            for key, plain in (("temperature", 1.0), ("top_p", 1.0), ("top_k", 50))
        )
