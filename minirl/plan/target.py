"""What a run is planned for: a card or this machine's processors, as plain data. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from minirl.errors import ConfigError
from minirl.plan.cards import GIB, CardSpec, find_card

Backend = Literal["auto", "unsloth", "transformers"]
Engine = Literal["auto", "torch", "generate", "vllm"]
Precision = Literal["auto", "bf16", "fp16", "fp32"]

# A card's memory is not all ours: the driver and a desktop keep some, and a run that fills the rest
# to the brim stops at the first long sample.
CARD_USABLE = 0.95
# Other programs run beside a training on a CPU, and the system ends what takes the last page.
RAM_USABLE = 0.9
UNSLOTH_FROM = (7, 0)  # unsloth's oldest compute capability


@dataclass(frozen=True, slots=True)
class Target:
    """Where a recipe is to run.

    Attributes:
        name: for people.
        device: ``cuda`` or ``cpu``.
        memory: bytes of the card, or of the machine.
        capability: of the card; (0, 0) on a CPU.
        bandwidth, flops: bytes and 16-bit operations a second; 0 where they are not known.
        backend, engine, precision: what will run the model, write the rollouts and hold the
            weights; ``auto`` leaves it to the recipe and to what this target can do.
        standby: whether vLLM gives its cache back while the model trains.
    """

    name: str
    device: Literal["cuda", "cpu"]
    memory: int
    capability: tuple[int, int] = (0, 0)
    bandwidth: float = 0.0
    flops: float = 0.0
    backend: Backend = "auto"
    engine: Engine = "auto"
    precision: Precision = "auto"
    standby: bool = True

    @property
    def usable(self) -> int:
        """Bytes that a run may take."""
        return int(self.memory * (CARD_USABLE if self.device == "cuda" else RAM_USABLE))


class _Card(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def memory(self) -> int: ...
    @property
    def capability(self) -> tuple[int, int]: ...


def card_target(card: CardSpec, *, vram: float | None = None) -> Target:
    """A card of the table; ``vram`` in GiB overrides its memory."""
    memory = card.memory if vram is None else _vram(vram)
    return Target(card.name, "cuda", memory, card.capability, card.bandwidth, card.flops)


def any_card(vram: float) -> Target:
    """Some card with ``vram`` GiB: of the kind that most people have, Ampere."""
    return Target(f"a card with {vram:g} GB", "cuda", _vram(vram), (8, 6))


def _vram(gib: float) -> int:
    if not 0.5 <= gib <= 4096:
        raise ConfigError(
            f"--vram is the card's memory in GB, and {gib:g} is none", expected="such as --vram 12"
        )
    return int(gib * GIB)


def seen_card(card: _Card, *, backend: Backend = "auto", engine: Engine = "auto") -> Target:
    """A card that the driver reports; its speed from the table, where the name is known."""
    from minirl.errors import UnknownNameError

    try:
        spec: CardSpec | None = find_card(card.name)
    except UnknownNameError:
        spec = None
    return Target(
        card.name,
        "cuda",
        card.memory,
        card.capability,
        spec.bandwidth if spec else 0.0,
        spec.flops if spec else 0.0,
        backend,
        engine,
    )


def cpu_target(memory: int | None = None, *, cores: int | None = None) -> Target:
    """This machine without a card.

    Speeds are rough: 10 GB/s of memory bandwidth and 30 GFLOP/s a core, three times as many where
    the processor multiplies bf16.
    """
    from minirl.models.machine import available_cores, available_memory

    cores = cores or available_cores()
    fast = _fast_bf16()
    return Target(
        "this machine's CPU",
        "cpu",
        memory or available_memory(),
        bandwidth=10e9 * min(cores, 8),
        flops=(90e9 if fast else 30e9) * cores,
        precision="bf16" if fast else "fp32",
    )


def _fast_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for bf16; loading the model measures it."""
    try:
        flags = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def this_machine() -> Target:
    """The first card that CUDA sees here, else the processors; without importing torch."""
    from minirl.models.machine import inspect

    machine = inspect(with_torch=False)
    if not machine.cards:
        return cpu_target(machine.ram, cores=machine.cores)
    card = machine.cards[0]
    unsloth = machine.has("unsloth") and card.capability >= UNSLOTH_FROM
    return seen_card(card, backend="unsloth" if unsloth else "transformers")
