"""Unsloth's Triton kernels against the same mathematics in torch, and the names that minirl and its
users rely on. Runs inside ``worker.py``, with Unsloth imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

DTYPES = (torch.float32, torch.float16)  # the interpreter's bf16 is NaN


def error(ours: torch.Tensor, exact: torch.Tensor) -> float:
    """Largest difference, over the largest value."""
    exact = exact.float()
    return float((ours.float() - exact).abs().max() / exact.abs().max())


def _random(*shape: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g).to(dtype)


def rms_norm(dtype: torch.dtype, gemma: bool) -> dict[str, float]:
    from unsloth.kernels import fast_rms_layernorm

    x = _random(2, 5, 96, dtype=dtype, seed=0).requires_grad_()
    out_grad = _random(2, 5, 96, dtype=dtype, seed=1)

    class Norm(torch.nn.Module):
        variance_epsilon = 1e-5
        weight = torch.nn.Parameter(_random(96, dtype=dtype, seed=2), requires_grad=False)

    exact_x = x.detach().float().requires_grad_()
    scale = Norm.weight.float() + (1 if gemma else 0)
    exact = exact_x * torch.rsqrt(exact_x.pow(2).mean(-1, keepdim=True) + 1e-5) * scale
    exact.backward(out_grad.float())
    y = fast_rms_layernorm(Norm(), x, gemma=gemma)
    forward = error(y.detach(), exact.detach())
    y.backward(out_grad.clone())  # the kernel may write into it
    return {"forward": forward, "backward": error(x.grad, exact_x.grad)}


def rope(dtype: torch.dtype) -> dict[str, float]:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
    from unsloth.kernels import fast_rope_embedding

    heads, length, d = 4, 7, 32
    angles = torch.outer(torch.arange(length).float(), 10_000 ** -(torch.arange(0, d, 2) / d))
    cos, sin = (torch.cat([f(angles)] * 2, dim=-1) for f in (torch.cos, torch.sin))
    q, k = (_random(2, heads, length, d, dtype=dtype, seed=s) for s in (0, 1))
    inputs = [t.clone().requires_grad_() for t in (q, k)]
    exact_inputs = [t.float().requires_grad_() for t in (q, k)]
    exact = apply_rotary_pos_emb(*exact_inputs, cos[None], sin[None])
    grads = [_random(2, heads, length, d, dtype=dtype, seed=s) for s in (2, 3)]
    torch.autograd.backward(exact, [g.float() for g in grads])
    # Fed through a product, since the kernel works in place and a leaf may not be written.
    ours = fast_rope_embedding(*(t * 1 for t in inputs), cos.to(dtype), sin.to(dtype))
    forward = max(error(a.detach(), b.detach()) for a, b in zip(ours, exact, strict=True))
    torch.autograd.backward(ours, [g.clone() for g in grads])
    backward = max(error(a.grad, b.grad) for a, b in zip(inputs, exact_inputs, strict=True))
    return {"forward": forward, "backward": backward}


def swiglu(dtype: torch.dtype) -> dict[str, float]:
    from unsloth.kernels.swiglu import swiglu_DWf_DW_dfg_kernel, swiglu_fg_kernel

    e, g = (_random(2, 3, 48, dtype=dtype, seed=s) for s in (0, 1))
    exact_e, exact_g = (t.float().requires_grad_() for t in (e, g))
    exact = torch.nn.functional.silu(exact_e) * exact_g
    forward = error(swiglu_fg_kernel(e, g), exact.detach())
    dh = _random(6, 48, dtype=dtype, seed=2)
    exact.backward(dh.float().view(2, 3, 48))
    # It returns the product and both gradients in the place of its arguments.
    h, dg, de = swiglu_DWf_DW_dfg_kernel(dh.clone(), e.view(6, 48).clone(), g.view(6, 48).clone())
    flat = [t.detach().view(6, 48) for t in (exact, exact_g.grad, exact_e.grad)]
    backward = max(error(a, b) for a, b in zip((h, dg, de), flat, strict=True))
    return {"forward": forward, "backward": backward}


def nf4(dtype: torch.dtype) -> dict[str, float]:
    import bitsandbytes.functional as bnb
    from unsloth.kernels.utils import fast_dequantize

    weight = _random(128, 192, dtype=dtype, seed=0)
    packed, state = bnb.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    exact = bnb.dequantize_4bit(packed, state)
    return {
        "against bitsandbytes": error(fast_dequantize(packed, state), exact),
        "against the weight": error(exact, weight),  # what 4 bits cost; not to be 0
    }


def fused_layers(model: Any) -> dict[str, int]:
    """How many layers run the fused LoRA kernels, by what they fuse."""
    found: dict[str, int] = {}
    for module in model.modules():
        for name in ("apply_qkv", "apply_o", "forward"):
            function = getattr(module, name, None)
            used = getattr(getattr(function, "__func__", function), "__name__", "")
            if used.startswith("apply_lora"):
                found[used] = found.get(used, 0) + 1
    return found


# What we call, with the arguments that we give it.
RELIED_ON: dict[str, tuple[str, ...]] = {
    "unsloth.FastLanguageModel.from_pretrained": (
        "model_name",
        "max_seq_length",
        "dtype",
        "load_in_4bit",
        "fast_inference",
        "gpu_memory_utilization",
        "max_lora_rank",
        "use_gradient_checkpointing",
        "random_state",
        "use_exact_model_name",
    ),
    "unsloth.FastLanguageModel.get_peft_model": (
        "model",
        "r",
        "lora_alpha",
        "lora_dropout",
        "bias",
        "target_modules",
        "use_gradient_checkpointing",
        "random_state",
        "max_seq_length",
    ),
    "unsloth_zoo.vllm_utils.load_lora": ("model", "save_directory", "load_tensors"),
    "unsloth_zoo.device_type.device_is_bf16_supported": (),
    "trl.GRPOConfig": ("loss_type", "scale_rewards", "steps_per_generation", "unsloth_num_chunks"),
    "trl.GRPOTrainer._save_checkpoint": ("model", "trial"),
    "trl.trainer.utils._ChunkedLogProbFunction.forward": (
        "hidden",
        "weight",
        "bias",
        "targets",
        "temperature",
        "chunk_size",
    ),
    "unsloth.save.unsloth_save_pretrained_gguf": ("tokenizer", "quantization_method"),
}


def missing_names() -> dict[str, str]:
    """What of :data:`RELIED_ON` is not there, or does not take an argument that we give."""
    import importlib

    wrong = {}
    for path, arguments in RELIED_ON.items():
        names = path.split(".")
        at = max(i for i in range(1, len(names)) if _importable(".".join(names[:i])))
        thing: Any = importlib.import_module(".".join(names[:at]))
        try:
            for name in names[at:]:
                thing = getattr(thing, name)
            taken = inspect.signature(thing).parameters
        except (AttributeError, ValueError) as absent:
            wrong[path] = repr(absent)
            continue
        lacking = [a for a in arguments if a not in taken]
        if lacking:
            wrong[path] = f"no {', '.join(lacking)}"
    return wrong


def _importable(name: str) -> bool:
    import importlib

    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def parts() -> dict[Any, Callable[[], Any]]:
    todo: dict[Any, Callable[[], Any]] = {"names": missing_names}
    for dtype in DTYPES:
        kind = str(dtype).removeprefix("torch.")
        todo["kernel", "rms_norm", kind] = lambda d=dtype: rms_norm(d, False)
        todo["kernel", "rms_norm (Gemma)", kind] = lambda d=dtype: rms_norm(d, True)
        todo["kernel", "rope", kind] = lambda d=dtype: rope(d)
        todo["kernel", "swiglu", kind] = lambda d=dtype: swiglu(d)
        todo["kernel", "nf4", kind] = lambda d=dtype: nf4(d)
    return todo
