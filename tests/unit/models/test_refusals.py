"""What a recipe insists on and a machine cannot give is refused, with the way out."""

from __future__ import annotations

from typing import Any

import pytest
from machines import (
    CUDA,
    KERNELS_12_6,
    L4,
    P100,
    T4,
    VLLM,
    idle,
    installed,
    laptop,
    pick,
    with_card,
)

from minirl.errors import ConfigError, MinirlError, MissingExtraError, ModelError
from minirl.models.machine import Machine

REFUSALS: dict[str, tuple[Machine, dict[str, Any], type[MinirlError], str, str]] = {
    "unsloth without a card": (
        laptop(),
        {"backend": "unsloth"},
        ModelError,
        "unsloth cannot run here: there is no NVIDIA card",
        "--set model.backend=transformers",
    ),
    "unsloth beside a CPU build": (
        idle(torch_cuda=None, versions={"torch": "2.13.0+cpu"}),
        {"backend": "unsloth"},
        ModelError,
        "unsloth cannot run here: torch is a CPU build",
        "pip uninstall -y torch",
    ),
    "unsloth on a Mac": (
        laptop(system="Darwin"),
        {"backend": "unsloth"},
        ModelError,
        "it needs Linux or Windows, and this is Darwin",
        "--set model.backend=transformers",
    ),
    "unsloth without torch": (
        with_card(T4, cards=(), versions={"torch": None}, torch_cuda=None),
        {"backend": "unsloth"},
        MissingExtraError,
        "torch is not installed",
        'pip install -c constraints.txt -e ".[cuda]"',
    ),
    "unsloth on Pascal": (
        with_card(P100, kernels=KERNELS_12_6),
        {"backend": "unsloth"},
        ModelError,
        "too old",
        "--set model.backend=transformers",
    ),
    "unsloth, not installed": (
        with_card(T4, versions={"unsloth": None, "unsloth_zoo": None}),
        {"backend": "unsloth"},
        MissingExtraError,
        "unsloth and unsloth_zoo are not installed",
        'pip install -c constraints.txt -e ".[cuda]"',
    ),
    "unsloth, wrong version": (
        with_card(T4, versions={"peft": "0.20.0"}),
        {"backend": "unsloth"},
        ModelError,
        "peft is 0.20.0 (supported: 0.21.2)",
        'pip install -c constraints.txt -e ".[cuda]"',
    ),
    "bf16 on a T4": (
        with_card(T4),
        {"precision": "bf16"},
        ConfigError,
        "model.precision is bf16, which Tesla T4 (16 GB, compute capability 7.5) does not compute",
        "--set model.precision=auto",
    ),
    "bf16 on a T4 with transformers": (
        with_card(T4),
        {"precision": "bf16", "backend": "transformers"},
        ConfigError,
        "Tesla T4",
        "--set model.precision=auto",
    ),
    "bf16 beside a T4": (
        with_card(L4, T4),
        {"precision": "bf16"},
        ConfigError,
        "Tesla T4",
        "CUDA_VISIBLE_DEVICES=0 minirl",
    ),
    "4 bits without bitsandbytes": (
        laptop(packages=installed(*CUDA, bitsandbytes=None)),
        {"load_in_4bit": True},
        MissingExtraError,
        "model.load_in_4bit needs bitsandbytes",
        'pip install -c constraints.txt -e ".[4bit]", or --set model.load_in_4bit=false',
    ),
    "vLLM without a card": (
        laptop(),
        {"engine": "vllm"},
        ModelError,
        "vLLM cannot run here: minirl drives it through unsloth, which does not run here: there is",
        "--set model.backend=transformers",
    ),
    "vLLM with transformers": (
        with_card(L4, versions=VLLM),
        {"engine": "vllm", "backend": "transformers"},
        ModelError,
        "model.backend is transformers",
        "--set model.backend=auto",
    ),
    "vLLM, not installed": (
        with_card(L4),
        {"engine": "vllm"},
        MissingExtraError,
        "vLLM cannot run here: it is not installed",
        "pip install vllm==0.31.0",
    ),
    "vLLM on Windows": (
        with_card(L4, versions=VLLM, system="Windows"),
        {"engine": "vllm"},
        ModelError,
        "it needs Linux, and this is Windows",
        "WSL 2",
    ),
    "vLLM in 4 bits without its plugin": (
        with_card(L4, versions=VLLM),
        {"engine": "vllm", "load_in_4bit": True},
        MissingExtraError,
        "4-bit weights need vllm-bnb-plugin",
        "pip install vllm==0.31.0 vllm_bnb_plugin",
    ),
    "vLLM with a huge adapter": (
        with_card(L4, versions=VLLM),
        {"engine": "vllm", "lora_r": 1024},
        ModelError,
        "LoRA ranks up to 512, and model.lora_r is 1024",
        "--set model.lora_r=512",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_had_is_refused_with_the_way_out(case):
    machine, asked, kind, what, fix = REFUSALS[case]
    with pytest.raises(kind) as caught:
        pick(machine, **asked)
    assert what in caught.value.message
    assert fix in (caught.value.fix or "")
