"""What this machine is: processors, memory, NVIDIA cards, driver, installed packages.

Importing this module is cheap. :func:`inspect` answers on any machine: what it cannot find out is
None or empty, and never an exception.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minirl.models import nvidia

# Import name or distribution -> the distributions that may provide it, as they are published.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "transformers": ("transformers",),
    "trl": ("trl",),
    "peft": ("peft",),
    "accelerate": ("accelerate",),
    "datasets": ("datasets",),
    "bitsandbytes": ("bitsandbytes",),
    "unsloth": ("unsloth",),
    "unsloth_zoo": ("unsloth_zoo",),
    "triton": ("triton", "triton-windows"),
    "torchvision": ("torchvision",),
    "xformers": ("xformers",),
    "flash_attn": ("flash-attn",),
    "vllm": ("vllm",),
    "vllm_bnb_plugin": ("vllm-bnb-plugin",),
}


@dataclass(frozen=True, slots=True)
class Card:
    """A card that CUDA sees.

    Attributes:
        name: as the driver calls it.
        memory: all of it, in bytes.
        free: bytes that nobody else holds; all of them where the driver does not tell.
        capability: CUDA's compute capability, such as (8, 6).
    """

    name: str
    memory: int
    free: int
    capability: tuple[int, int]

    @property
    def bf16(self) -> bool:
        """Whether it multiplies bf16 (Ampere and later)."""
        return self.capability >= (8, 0)

    @property
    def compute(self) -> str:
        """The capability as NVIDIA writes it: ``8.6``."""
        return ".".join(map(str, self.capability))

    def __str__(self) -> str:
        return f"{self.name} ({self.memory / 1e9:.0f} GB, compute capability {self.compute})"


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts about a machine, as plain data; a test writes one down as a literal.

    Attributes:
        system: ``Linux``, ``Windows`` or ``Darwin``.
        python: its version.
        cores: processors that this process may use.
        ram: bytes of memory that this process may use.
        cards: the CUDA cards that torch can see, in CUDA's order.
        driver: version of the NVIDIA driver.
        torch_cuda: CUDA version that the installed torch was built for; None for other builds.
        packages: name (lower case, underscores) -> installed version; None for a missing one.
        torch_hip: ROCm version that torch was built for (AMD cards).
        torch_error: why torch cannot be imported.
        kernels: architectures that torch's build has code for (``sm_80``, ``compute_90``); empty
            where that is not known.
        present: every NVIDIA card in the machine, seen without CUDA.
        driver_error: what nvidia-smi said instead of answering.
        visible: CUDA_VISIBLE_DEVICES.
        unmet: what an installed vLLM requires and does not find.
    """

    system: str
    python: str
    cores: int
    ram: int
    cards: tuple[Card, ...] = ()
    driver: str | None = None
    torch_cuda: str | None = None
    packages: Mapping[str, str | None] = field(default_factory=dict)
    torch_hip: str | None = None
    torch_error: str | None = None
    kernels: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    driver_error: str | None = None
    visible: str | None = None
    unmet: tuple[str, ...] = ()

    def has(self, package: str) -> bool:
        """Whether a package is installed."""
        return self.packages.get(package) is not None


def inspect(*, with_torch: bool = True) -> Machine:
    """Look at this machine.

    Args:
        with_torch: import torch and let it confirm that it sees the cards (and say which
            architectures it has code for). It does not touch them: unsloth can still be imported
            afterwards. Without it, cards count that the driver lists for a CUDA build of torch.
    """
    smi = nvidia.ask_smi()
    devices = nvidia.cuda_devices()
    torch = _ask_torch() if with_torch else _read_torch()
    packages = {name: _installed(names) for name, names in PACKAGES.items()}
    return Machine(
        system=platform.system(),
        python=platform.python_version(),
        cores=available_cores(),
        ram=available_memory(),
        cards=_cards(torch, devices or (), dict(smi.free)),
        driver=smi.driver or nvidia.kernel_driver(),
        torch_cuda=torch.cuda,
        packages=packages,
        torch_hip=torch.hip,
        torch_error=torch.error,
        kernels=torch.kernels,
        present=smi.names or nvidia.cards_on_the_bus(),
        driver_error=smi.error,
        visible=nvidia.visible_devices(),
        unmet=unmet_requirements("vllm", packages) if packages["vllm"] else (),
    )


# torch --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Torch:
    cuda: str | None = None
    hip: str | None = None
    sees_cards: bool = True
    kernels: tuple[str, ...] = ()
    error: str | None = None


def _ask_torch() -> _Torch:
    try:
        import torch
    except ImportError as error:
        return _Torch(error=str(error) if importlib.util.find_spec("torch") else None)
    except Exception as error:  # a torch that is not whole fails in any way: a finding, not a crash
        return _Torch(error=f"{type(error).__name__}: {error}")
    return _Torch(
        cuda=torch.version.cuda,
        hip=torch.version.hip,
        sees_cards=torch.cuda.is_available(),
        kernels=tuple(torch.cuda.get_arch_list()),
    )


def _read_torch() -> _Torch:
    """What torch was built for, read from its files. AMD's cards need torch itself to be seen."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return _Torch()
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return _Torch()
    found = (re.search(rf"^{n}\b[^=\n]*=\s*'([^']+)'", text, re.MULTILINE) for n in ("cuda", "hip"))
    cuda, hip = (match[1] if match else None for match in found)
    return _Torch(cuda, hip, sees_cards=hip is None)


def _cards(
    torch: _Torch, devices: tuple[nvidia.Device, ...], free: Mapping[str, int]
) -> tuple[Card, ...]:
    if torch.hip:
        return tuple(_amd_cards()) if torch.sees_cards else ()
    if not (torch.cuda and torch.sees_cards):
        return ()
    own = _held_by_this_process(len(devices))
    return tuple(
        Card(d.name, d.memory, min(free.get(d.uuid, d.memory) + held, d.memory), d.capability)
        for d, held in zip(devices, own, strict=True)
    )


def _held_by_this_process(cards: int) -> list[int]:
    """Bytes that torch in this very process keeps on each card: they are not somebody else's."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return [0] * cards
    return [int(torch.cuda.memory_reserved(i)) for i in range(cards)]


def _amd_cards() -> Iterator[Card]:
    """ROCm shows AMD's cards through torch.cuda; there is no driver library to ask."""
    import torch

    for i in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(i)
        memory = found.total_memory
        yield Card(found.name, memory, memory, (found.major, found.minor))


# packages -----------------------------------------------------------------------------------------


def _installed(distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def unmet_requirements(package: str, packages: Mapping[str, str | None]) -> tuple[str, ...]:
    """What an installed package requires of :data:`PACKAGES` and does not find, in words.

    pip installs one package after another over such conflicts with no more than a line of text,
    and vLLM's compiled parts then do not load.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    unmet = []
    for line in importlib.metadata.requires(package) or ():
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        installed = packages.get(wanted.name.replace("-", "_").lower())
        if installed is None or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            unmet.append(f"{wanted.name}{wanted.specifier}, and finds {installed}")
    return tuple(unmet)


# limits -------------------------------------------------------------------------------------------


def available_cores() -> int:
    """Processors that this process may use: its affinity, and its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quotas = [_quota(d) for d in cgroup_dirs("cpu")]
    return max(1, min([cores, *(int(q) for q in quotas if q)]))


def available_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's if less."""
    limits = (
        _number(d / name)
        for d in cgroup_dirs("memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    )
    return min([_physical_memory(), *(limit for limit in limits if limit)])


def _physical_memory() -> int:
    if sys.platform == "win32":
        kib = ctypes.c_ulonglong()
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kib))
        return kib.value * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cgroup_dirs(
    controller: str,
    table: Path = Path("/proc/self/cgroup"),
    root: Path = Path("/sys/fs/cgroup"),
) -> tuple[Path, ...]:
    """The directories whose limits hold for this process, its own first, then those above it.

    Lines of ``/proc/self/cgroup`` read ``number:controllers:path``; cgroup v2 has one line, with no
    controller. Inside a container the path may be the host's, and only the root exists.
    """
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    found: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controllers if controllers else root
        own = top / path.lstrip("/")
        found += [d for d in (own, *own.parents) if d == top or top in d.parents]
    return tuple(d for d in found if d.is_dir())


def _number(path: Path) -> int | None:
    """A limit in a file; None for `max` and for no file."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _quota(directory: Path) -> float | None:
    """Processors that a cgroup grants: its time in each period over the period; at least one."""
    try:
        granted, period = (directory / "cpu.max").read_text(encoding="utf-8").split()  # v2
    except (OSError, ValueError):
        granted = str(_number(directory / "cpu.cfs_quota_us"))  # v1: -1 for none
        period = str(_number(directory / "cpu.cfs_period_us"))
    if not (granted.isdigit() and period.isdigit()):
        return None
    return max(1.0, int(granted) / int(period))
