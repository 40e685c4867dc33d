"""What the NVIDIA driver says about itself and its cards, without torch.

Importing unsloth has to come before torch touches CUDA (its settings for torch's allocator are read
then, once), so the cards are asked through the driver's own library, which only counts and
describes them: no context is created.
"""

from __future__ import annotations

import csv
import ctypes
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Least driver for a torch that was built for this major version of CUDA. Source: NVIDIA, "CUDA
# Compatibility", Minor Version Compatibility, table 1 (docs.nvidia.com/deploy/cuda-compatibility).
MINIMUM_DRIVER = {11: 450, 12: 525, 13: 580}

_SMI_TIMEOUT_S = 10
_FIELDS = "uuid,name,memory.total,memory.free,driver_version"
_VERSION = re.compile(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b")
_NVIDIA_PCI = "0x10de"
# CUdevice_attribute in cuda.h
_MAJOR, _MINOR = 75, 76
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Smi:
    """What nvidia-smi answers.

    Attributes:
        driver: the driver's version; None where nvidia-smi is missing or fails.
        names: every card in the machine, visible to CUDA or not.
        free: UUID -> free memory in bytes.
        error: nvidia-smi's own first line, where it fails.
    """

    driver: str | None = None
    names: tuple[str, ...] = ()
    free: tuple[tuple[str, int], ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A card as CUDA numbers it; ``memory`` in bytes."""

    name: str
    memory: int
    capability: tuple[int, int]
    uuid: str


def ask_smi() -> Smi:
    """Run nvidia-smi, if there is one."""
    # Windows on Linux keeps it off the PATH of a service.
    program = shutil.which("nvidia-smi") or shutil.which("/usr/lib/wsl/lib/nvidia-smi")
    if program is None:
        return Smi()
    query = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            query, capture_output=True, text=True, timeout=_SMI_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Smi(error=f"nvidia-smi: {error}")
    rows = [[c.strip() for c in row] for row in csv.reader(done.stdout.splitlines())]
    rows = [row for row in rows if len(row) == len(_FIELDS.split(","))]
    if done.returncode or not rows:
        said = (done.stdout + done.stderr).strip().splitlines() or ["nvidia-smi names no card"]
        return Smi(error=said[0])
    return Smi(
        driver=rows[0][4],
        names=tuple(row[1] for row in rows),
        # Cards that share the machine's memory answer [N/A].
        free=tuple((row[0], int(row[3]) * _MIB) for row in rows if row[3].isdigit()),
    )


def kernel_driver(root: Path = Path("/proc/driver/nvidia")) -> str | None:
    """The version of the loaded kernel module (Linux)."""
    try:
        found = _VERSION.search((root / "version").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


def cards_on_the_bus(
    proc: Path = Path("/proc/driver/nvidia/gpus"), pci: Path = Path("/sys/bus/pci/devices")
) -> tuple[str, ...]:
    """NVIDIA cards that Linux sees, with a driver or without one."""
    names = []
    for path in sorted(proc.glob("*/information")):
        found = re.search(r"^Model:\s*(.+)$", _read(path), re.MULTILINE)
        names.append(found[1].strip() if found else "an NVIDIA card")
    if names:
        return tuple(names)
    return tuple(
        f"an NVIDIA card at PCI {device.name}"
        for device in sorted(pci.glob("*"))
        # class 0x03....: a display controller, with a monitor's plug or without
        if _read(device / "vendor").strip() == _NVIDIA_PCI
        and _read(device / "class").startswith("0x03")
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def cuda_devices(library: Any = None) -> tuple[Device, ...] | None:
    """The cards in CUDA's order, after CUDA_VISIBLE_DEVICES; None where there is no driver to ask.

    Args:
        library: the driver's library; found by its usual name without it.
    """
    if library is None:
        try:
            library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError:
            return None
    count = ctypes.c_int()
    if library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count)):
        return None
    return tuple(_describe(library, count.value))


def _describe(library: Any, count: int) -> Iterator[Device]:
    for ordinal in range(count):
        device, size = ctypes.c_int(), ctypes.c_size_t()
        major, minor = ctypes.c_int(), ctypes.c_int()
        name, ident = ctypes.create_string_buffer(256), ctypes.create_string_buffer(16)
        failed = (
            library.cuDeviceGet(ctypes.byref(device), ordinal)
            or library.cuDeviceGetName(name, len(name), device)
            or library.cuDeviceTotalMem_v2(ctypes.byref(size), device)
            or library.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
            or library.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
            or library.cuDeviceGetUuid(ident, device)
        )
        if not failed:
            yield Device(
                name.value.decode(errors="replace"),
                size.value,
                (major.value, minor.value),
                f"GPU-{uuid.UUID(bytes=ident.raw)}",
            )


def visible_devices() -> str | None:
    """CUDA_VISIBLE_DEVICES; None where it is not set."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")
