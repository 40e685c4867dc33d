"""Which backend, device, number format and rollout engine this machine runs a recipe with.

:func:`choose` is a pure function of the recipe and of a :class:`~minirl.models.machine.Machine`, so
that every machine can be tested on any. What keeps something from running, and why, stands in
:mod:`minirl.models.obstacles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from packaging.version import Version

from minirl.config import ModelConfig, SamplingConfig
from minirl.errors import ConfigError, MissingExtraError
from minirl.models.machine import Card, Machine
from minirl.models.obstacles import (
    Finding,
    Obstacle,
    against_unsloth,
    against_vllm,
    hide_other_cards,
    no_card,
    usable_card,
    version,
)
from minirl.models.supported import OPTIONAL, install_command, mismatches, pins

__all__ = ["Choice", "Finding", "choose", "cuda_precision"]

Backend = Literal["unsloth", "transformers"]
Precision = Literal["bf16", "fp16", "fp32", "auto"]
Engine = Literal["torch", "generate", "vllm"]

UNSLOTH_CONTEXT = 2048  # tokens that unsloth makes room for where nobody says
_SMALL_CARD = 4e9  # bytes; below it little more than the smallest catalogue models fits
_ENOUGH_FREE = 8e9  # bytes; a 1B model in 4 bits, with room for its activations
# vLLM keeps its cache, its CUDA graphs and a context beside what training needs. On cards of less
# than 12 GB that leaves too little for a model worth the trouble.
_VLLM_MEMORY = 12e9


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs a recipe here.

    Attributes:
        backend: what loads and trains the model.
        device: where it lies.
        precision: number format of the weights; ``auto``, on a CPU only, is measured when the model
            loads (:mod:`minirl.models.precision`).
        attention: ``sdpa``, ``xformers`` or ``flash_attention_2``.
        engine: what writes rollouts: minirl's own sampler (``torch``, with transformers), unsloth's
            own generation (``generate``), or ``vllm``.
        standby: whether vLLM hands its memory to the training pass between rollouts
            (UNSLOTH_VLLM_STANDBY).
        findings: what the user should know; with one of level ``error``, training would fail.
    """

    backend: Backend
    device: Literal["cuda", "cpu"]
    precision: Precision
    attention: str
    engine: Engine
    standby: bool
    findings: tuple[Finding, ...] = ()


def choose(model: ModelConfig, sampling: SamplingConfig, machine: Machine) -> Choice:
    """Decide what runs this model on this machine.

    Raises:
        MissingExtraError: the recipe asks for unsloth, vLLM or 4 bits, whose package is missing.
        ModelError: it asks for unsloth or vLLM, and this machine cannot run it.
        ConfigError: it asks for a number format that the card does not compute.
    """
    if model.load_in_4bit and not machine.has("bitsandbytes"):
        raise MissingExtraError(
            "model.load_in_4bit needs bitsandbytes, which is not installed",
            fix=f"{install_command('bitsandbytes', extra='4bit')}, "
            "or --set model.load_in_4bit=false",
        )
    obstacle = against_unsloth(machine)
    if model.backend == "unsloth" and obstacle:
        raise obstacle.error("unsloth")
    backend: Backend = "unsloth"
    if obstacle or model.backend == "transformers":
        backend = "transformers"
    engine, about_engine = _engine(model, sampling, machine, backend, obstacle)
    return Choice(
        backend=backend,
        device="cuda" if usable_card(machine) else "cpu",
        precision=_precision(model, machine, backend),
        attention=_attention(machine, backend),
        engine=engine,
        standby=engine == "vllm" and _standby(machine),
        findings=(*_findings(model, machine, backend, obstacle), *about_engine),
    )


# findings -----------------------------------------------------------------------------------------


def _findings(
    model: ModelConfig, machine: Machine, backend: Backend, obstacle: Obstacle | None
) -> Iterator[Finding]:
    card = usable_card(machine)
    told: frozenset[str] = frozenset()
    if card is None:
        missing = no_card(machine)
        if missing:
            yield missing
    elif obstacle and model.backend == "auto":
        told = obstacle.told
        yield Finding(
            obstacle.level,
            f"transformers runs the model, not unsloth: {obstacle.why}",
            obstacle.fix,
        )
    yield from _versions(machine, backend, told)
    if card:
        yield from _memory(card)
        yield from _other_cards(card, machine)


def _versions(machine: Machine, backend: Backend, told: frozenset[str]) -> Iterator[Finding]:
    """Versions that differ from the supported ones, in one finding."""
    unused = frozenset() if backend == "unsloth" else OPTIONAL - {"bitsandbytes"}
    found = [m for m in mismatches(machine) if m.package not in unused | told]
    if not found:
        return
    missing = any(m.installed is None for m in found)
    yield Finding(
        "error" if missing else "warning",
        ", ".join(map(str, found))
        + (": minirl does not run without" if missing else ": minirl is not tested with that"),
        f"pip install {pins(*(m.package for m in found))}",
    )


def _memory(card: Card) -> Iterator[Finding]:
    total, free = card.memory / 1e9, card.free / 1e9
    if card.memory < _SMALL_CARD:
        yield Finding(
            "warning",
            f"{card.name} has {total:.1f} GB of memory, too little for most models",
            "minirl plan RECIPE says what fits; CUDA_VISIBLE_DEVICES=-1 minirl ... uses the CPU",
        )
    elif card.free < card.memory / 2:
        yield Finding(
            # Half of a large card is still plenty for a small model.
            "error" if card.free < _ENOUGH_FREE else "warning",
            f"another process holds {total - free:.1f} of the {total:.1f} GB of {card.name}, and "
            f"{free:.1f} GB are free",
            "nvidia-smi lists the processes: end those that you do not need (a notebook's kernel?);"
            " minirl plan RECIPE says how much a recipe needs",
        )


def _other_cards(card: Card, machine: Machine) -> Iterator[Finding]:
    if len(machine.cards) < 2:
        return
    best = max(range(len(machine.cards)), key=lambda i: _rank(machine.cards[i]))
    better = machine.cards[best] if _rank(machine.cards[best]) > _rank(card) else None
    yield Finding(
        "note",
        f"CUDA shows {len(machine.cards)} cards, and minirl trains on one, the first: {card}"
        + (f"; {better} would do better" if better else ""),
        hide_other_cards(machine, best if better else 0),
    )


def _rank(card: Card) -> tuple[bool, float]:
    return card.bf16, card.memory


# choices ------------------------------------------------------------------------------------------


def cuda_precision(capability: tuple[int, int]) -> Literal["bf16", "fp16", "fp32"]:
    """The number format that a card of this compute capability multiplies fastest.

    bf16 from Ampere (8.0) on, fp16 on Volta, Turing and the P100 (6.0). Other Pascal cards and
    older ones multiply fp16 at a fraction of fp32's pace: 2 products a clock against 128 on 6.1
    (NVIDIA, CUDA C++ Programming Guide, throughput of native arithmetic instructions).
    """
    if capability >= (8, 0):
        return "bf16"
    return "fp16" if capability >= (7, 0) or capability == (6, 0) else "fp32"


def _precision(model: ModelConfig, machine: Machine, backend: Backend) -> Precision:
    card = usable_card(machine)
    if card is None:
        return model.precision
    # unsloth/_gpu_init.py: one visible card without bf16 takes it from all of them.
    cards = machine.cards if backend == "unsloth" else (card,)
    weakest = min(cards, key=lambda c: c.capability)
    if model.precision == "auto":
        return cuda_precision(weakest.capability)
    if model.precision == "bf16" and not weakest.bf16:
        raise ConfigError(
            f"model.precision is bf16, which {weakest} does not compute",
            expected="auto or fp16; bf16 from compute capability 8.0 (Ampere) on",
            got="bf16",
            fix=hide_other_cards(machine, 0) if card.bf16 else "--set model.precision=auto",
        )
    return model.precision


def _attention(machine: Machine, backend: Backend) -> str:
    """unsloth/utils/attention_dispatch.py: flash-attention, else xformers, else torch's own.

    Models off its fast path may differ (Gemma 3: flex_attention; unsloth/models/_utils.py).
    """
    card = usable_card(machine)
    if backend == "transformers" or card is None:
        return "sdpa"
    if machine.has("flash_attn") and card.capability >= (8, 0):
        return "flash_attention_2"
    xformers = version(machine, "xformers")
    # unsloth/models/_utils.py: up to 0.0.32 it sends these cards to kernels made for Hopper.
    newer = card.capability in ((10, 0), (11, 0), (12, 0))
    return "xformers" if xformers and not (newer and xformers < Version("0.0.33.dev0")) else "sdpa"


def _engine(
    model: ModelConfig,
    sampling: SamplingConfig,
    machine: Machine,
    backend: Backend,
    against: Obstacle | None,
) -> tuple[Engine, list[Finding]]:
    own: Engine = "generate" if backend == "unsloth" else "torch"
    if sampling.engine == "torch" or (sampling.engine == "auto" and backend == "transformers"):
        return own, []
    if backend == "transformers" and against is None:
        against = Obstacle("model.backend is transformers", "--set model.backend=auto")
    obstacle = against_vllm(model, machine, against)
    unwise = _vllm_unwise(machine)
    if sampling.engine == "vllm":
        if obstacle:
            raise obstacle.error("vLLM")
        return "vllm", [_insisted(unwise)] if unwise else []
    if unwise:
        # Whoever installed it expects it to be used.
        fix = "--set sampling.engine=vllm uses it all the same"
        installed = machine.has("vllm") and not obstacle
        return own, [Finding("note", f"vLLM is not used: {unwise}", fix)] if installed else []
    if obstacle:
        what = f"unsloth's own generation writes the rollouts, not vLLM: {obstacle.why}"
        return own, [Finding(obstacle.level, what, obstacle.fix)]
    return "vllm", []


def _insisted(unwise: str) -> Finding:
    return Finding(
        "warning", f"vLLM writes the rollouts, though {unwise}", "--set sampling.engine=auto"
    )


def _vllm_unwise(machine: Machine) -> str | None:
    """Why vLLM is no good default on this card, which can run it."""
    card = usable_card(machine)
    if card and card.capability < (8, 0):
        # unsloth_zoo/vllm_utils.py: no flash-attention in vLLM there; loader.py: not every model.
        return f"{card.name} has no kernels for it as fast as those from Ampere on"
    if card and card.memory < _VLLM_MEMORY:
        return f"{card.memory / 1e9:.1f} GB leave little memory for it beside the training"
    return None


def _standby(machine: Machine) -> bool:
    """unsloth_zoo/vllm_utils.py, patch_vllm: vLLM 0.10 and 0.14 crash when put to sleep."""
    found = version(machine, "vllm")
    return found is not None and found.release[:2] not in ((0, 10), (0, 14))
