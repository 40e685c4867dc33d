"""Machines that nobody here owns, as data for the rules about them."""

from __future__ import annotations

from typing import Any

from minirl.config import ModelConfig, SamplingConfig
from minirl.models.backend import Choice, choose
from minirl.models.machine import Card, Machine
from minirl.models.supported import supported_versions

BASE = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")
CUDA = (*BASE, "unsloth", "unsloth_zoo", "torchvision")
VLLM: dict[str, str | None] = {"vllm": "0.31.0"}
# What torch 2.13 has code for, built for CUDA 13 and for CUDA 12.6.
KERNELS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
KERNELS_12_6 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")

P100 = Card("Tesla P100-PCIE-16GB", 16_900_000_000, 16_600_000_000, (6, 0))
GTX_1080 = Card("NVIDIA GeForce GTX 1080", 8_500_000_000, 8_200_000_000, (6, 1))
V100 = Card("Tesla V100-SXM2-16GB", 16_900_000_000, 16_600_000_000, (7, 0))
T4 = Card("Tesla T4", 15_800_000_000, 15_600_000_000, (7, 5))
MX450 = Card("NVIDIA GeForce MX450", 2_100_000_000, 2_000_000_000, (7, 5))
RTX_4060 = Card("NVIDIA GeForce RTX 4060", 8_500_000_000, 7_900_000_000, (8, 9))
L4 = Card("NVIDIA L4", 24_100_000_000, 23_800_000_000, (8, 9))
H100 = Card("NVIDIA H100 80GB HBM3", 85_000_000_000, 84_400_000_000, (9, 0))
RTX_5090 = Card("NVIDIA GeForce RTX 5090", 34_200_000_000, 33_000_000_000, (12, 0))


def installed(*packages: str, **versions: str | None) -> dict[str, str | None]:
    """Those packages in their supported versions, and others in the given ones."""
    return {**{p: supported_versions()[p] for p in packages}, **versions}


def laptop(**changes: Any) -> Machine:
    """Linux without an NVIDIA card, with torch's CPU build."""
    facts: dict[str, Any] = {
        "system": "Linux",
        "python": "3.12.3",
        "cores": 8,
        "ram": 16_000_000_000,
        "packages": installed(*BASE, torch="2.13.0+cpu"),
    }
    return Machine(**{**facts, **changes})


def with_card(
    *cards: Card, versions: dict[str, str | None] | None = None, **changes: Any
) -> Machine:
    """Linux with these cards, a driver and a CUDA build of torch that serve them, and unsloth.

    Args:
        versions: installed versions other than the supported ones; None for a missing package.
    """
    packages = installed(*CUDA, torch="2.13.0+cu130", triton="3.9.0", xformers="0.0.35")
    facts: dict[str, Any] = {
        "cards": cards,
        "driver": "580.95.05",
        "torch_cuda": "13.0",
        "kernels": KERNELS,
        "present": tuple(c.name for c in cards),
        "packages": {**packages, **(versions or {})},
    }
    return laptop(**{**facts, **changes})


def idle(*, present: tuple[str, ...] = ("NVIDIA L4",), **changes: Any) -> Machine:
    """A machine whose card torch does not see."""
    return with_card(present=present, **changes)


def pick(machine: Machine, engine: str = "auto", **model: Any) -> Choice:
    """What runs a recipe with these settings there."""
    return choose(ModelConfig(**model), SamplingConfig.model_validate({"engine": engine}), machine)


def summary(choice: Choice) -> str:
    """The choice in four words."""
    return f"{choice.backend} {choice.device} {choice.precision} {choice.engine}"
