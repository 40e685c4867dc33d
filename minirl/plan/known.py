"""Architectures of well-known models, so that a plan needs no connection.

The numbers are those of the models' published config.json; `tests/unit/plan/test_architecture.py`
compares the parameters that follow from them with the published counts and with transformers.
"""

from __future__ import annotations

from collections.abc import Mapping

from minirl.plan.architecture import Architecture

_APACHE = "Apache-2.0"
_LLAMA = "Llama {} Community License"
_GEMMA = "Gemma Terms of Use"


def _llama(
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    intermediate: int,
    vocab: int,
    tied: bool,
    licence: str,
    *,
    head_dim: int = 0,
    positions: int = 131_072,
) -> Architecture:
    return Architecture(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim or hidden // heads,
        intermediate=intermediate,
        vocab=vocab,
        tied=tied,
        max_positions=positions,
        licence=licence,
    )


def _qwen2(
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    intermediate: int,
    *,
    vocab: int = 151_936,
    tied: bool = True,
    licence: str = _APACHE,
) -> Architecture:
    return Architecture(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        intermediate=intermediate,
        vocab=vocab,
        tied=tied,
        max_positions=32_768,
        qkv_bias=True,
        licence=licence,
    )


def _qwen3(
    layers: int, hidden: int, heads: int, intermediate: int, *, tied: bool, other: int = 0
) -> Architecture:
    return Architecture(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=8,
        head_dim=128,
        intermediate=intermediate,
        vocab=151_936,
        tied=tied,
        max_positions=262_144 if other else 40_960,
        qk_norm=True,
        other=other,
        licence=_APACHE,
    )


def _gemma3(
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    intermediate: int,
    *,
    window: int = 512,
    vocab: int = 262_144,
    other: int = 0,
) -> Architecture:
    return Architecture(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=256,
        intermediate=intermediate,
        vocab=vocab,
        tied=True,
        max_positions=131_072 if other else 32_768,
        qk_norm=True,
        norms=4,
        window=window,
        sliding_layers=layers - layers // 6,  # every sixth layer sees everything
        other=other,
        licence=_GEMMA,
    )


# The last part of the hub id, in lower case and without the endings that change no shape.
KNOWN: Mapping[str, Architecture] = {
    "qwen3-0.6b": _qwen3(28, 1024, 16, 3072, tied=True),
    "qwen3-1.7b": _qwen3(28, 2048, 16, 6144, tied=True),
    "qwen3-4b": _qwen3(36, 2560, 32, 9728, tied=True),
    "qwen3-8b": _qwen3(36, 4096, 32, 12_288, tied=False),
    "qwen3-14b": _qwen3(40, 5120, 40, 17_408, tied=False),
    "qwen3-32b": _qwen3(64, 5120, 64, 25_600, tied=False),
    "qwen3-vl-8b": _qwen3(36, 4096, 32, 12_288, tied=False, other=576_388_336),
    "qwen2.5-0.5b": _qwen2(24, 896, 14, 2, 4864),
    "qwen2.5-1.5b": _qwen2(28, 1536, 12, 2, 8960),
    "qwen2.5-3b": _qwen2(36, 2048, 16, 2, 11_008, licence="Qwen Research License"),
    "qwen2.5-7b": _qwen2(28, 3584, 28, 4, 18_944, vocab=152_064, tied=False),
    "llama-3.2-1b": _llama(16, 2048, 32, 8, 8192, 128_256, True, _LLAMA.format("3.2")),
    "llama-3.2-3b": _llama(28, 3072, 24, 8, 8192, 128_256, True, _LLAMA.format("3.2")),
    "llama-3.1-8b": _llama(32, 4096, 32, 8, 14_336, 128_256, False, _LLAMA.format("3.1")),
    "llama-3.3-70b": _llama(80, 8192, 64, 8, 28_672, 128_256, False, _LLAMA.format("3.3")),
    "llama-2-7b": _llama(
        32, 4096, 32, 32, 11_008, 32_000, False, _LLAMA.format("2"), positions=4096
    ),
    "gemma-3-270m": _gemma3(18, 640, 4, 1, 2048),
    "gemma-3-1b": _gemma3(26, 1152, 4, 1, 6912),
    "gemma-3-4b": _gemma3(34, 2560, 8, 4, 10_240, window=1024, vocab=262_208, other=419_816_304),
    "smollm2-135m": _llama(30, 576, 9, 3, 1536, 49_152, True, _APACHE, positions=8192),
    "smollm2-360m": _llama(32, 960, 15, 5, 2560, 49_152, True, _APACHE, positions=8192),
    "smollm2-1.7b": _llama(24, 2048, 32, 32, 8192, 49_152, True, _APACHE, positions=8192),
    "smollm3-3b": _llama(36, 2048, 16, 4, 11_008, 128_256, True, _APACHE, positions=65_536),
    "gpt-oss-20b": Architecture(
        layers=24,
        hidden=2880,
        heads=64,
        kv_heads=8,
        head_dim=64,
        intermediate=2880,
        vocab=201_088,
        tied=False,
        qkv_bias=True,
        o_bias=True,
        sinks=True,
        window=128,
        sliding_layers=12,
        experts=32,
        experts_per_token=4,
        licence=_APACHE,
    ),
    "tiny": _llama(2, 192, 6, 2, 640, 100, True, _APACHE, positions=1024),
}

# Who publishes them, and whose mirrors keep their shapes.
PUBLISHERS = ("huggingfacetb", "google", "meta-llama", "openai", "qwen", "unsloth")
