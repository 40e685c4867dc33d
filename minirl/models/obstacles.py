"""What keeps a card, unsloth or vLLM from being used on a machine, and how to mend it. Pure.

The rules about unsloth are those of unsloth 2026.10.7; the file of its package that a rule comes
from stands beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from packaging.version import InvalidVersion, Version

from minirl.config import ModelConfig
from minirl.errors import MinirlError, MissingExtraError, ModelError
from minirl.models.machine import Card, Machine
from minirl.models.nvidia import MINIMUM_DRIVER
from minirl.models.supported import install_unsloth, mismatches, pins, together

_DRIVERS = "https://www.nvidia.com/drivers"
_BUILDS = "https://pytorch.org/get-started/locally"
_USE_TRANSFORMERS = "--set model.backend=transformers"
_USE_OWN_ENGINE = "--set sampling.engine=auto"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the user should know.

    Attributes:
        level: ``error`` blocks the work, a ``warning`` may spoil it, a ``note`` is good to know.
        what: one sentence.
        fix: what to do, a command where there is one; every finding that is not ``ok`` has it.
    """

    level: Literal["ok", "note", "warning", "error"]
    what: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why something cannot run here.

    Attributes:
        why: half a sentence, to stand behind "unsloth cannot run here: ".
        fix: what to do; a command where there is one.
        expected: what would have been right.
        level: how loudly to tell it where there is a way around it.
        kind: the error to raise where the recipe leaves no way around it.
        told: the packages whose versions ``why`` already names.
    """

    why: str
    fix: str
    expected: str | None = None
    level: Literal["note", "warning", "error"] = "note"
    kind: type[MinirlError] = ModelError
    told: frozenset[str] = frozenset()

    def error(self, what: str) -> MinirlError:
        """The error for a recipe that insists on ``what``."""
        return self.kind(
            f"{what} cannot run here: {self.why}", expected=self.expected, fix=self.fix
        )


# The card -----------------------------------------------------------------------------------------


def usable_card(machine: Machine) -> Card | None:
    """The card that minirl uses: the first that CUDA shows, if torch's build has code for it."""
    if not machine.cards or not (machine.torch_cuda or machine.torch_hip):
        return None
    return machine.cards[0] if _has_code(machine.kernels, machine.cards[0]) else None


def _has_code(kernels: tuple[str, ...], card: Card) -> bool:
    """Compiled code serves later cards of its generation; PTX (``compute_90``) any later card.

    An empty list is not known, or AMD's (``gfx942``), and no reason against a card.
    """
    known = [(m[1], int(m[2]), int(m[3])) for k in kernels if (m := _KERNEL.match(k))]
    major, minor = card.capability
    return not known or any(
        (major == their_major and minor >= their_minor)
        or (kind == "compute" and (major, minor) >= (their_major, their_minor))
        for kind, their_major, their_minor in known
    )


_KERNEL = re.compile(r"^(sm|compute)_(\d+)(\d)[af]?$")


def hide_other_cards(machine: Machine, index: int) -> str:
    """The beginning of a command line that leaves only one card: ``machine.cards[index]``."""
    mask = [m.strip() for m in (machine.visible or "").split(",") if m.strip()]
    name = mask[index] if index < len(mask) else str(index)
    if machine.system == "Windows":
        return f"set CUDA_VISIBLE_DEVICES={name}  (then the same command again)"
    return f"CUDA_VISIBLE_DEVICES={name} minirl ..."


def no_card(machine: Machine) -> Finding | None:
    """Why no card is used although this machine has one, or seems to; None for plain CPUs."""
    if usable_card(machine) or machine.torch_hip or not (machine.has("torch")):
        return None
    if machine.torch_error:
        return Finding(
            "error",
            f"torch is installed but cannot be imported: {machine.torch_error}",
            f"pip install --force-reinstall {pins('torch')}",
        )
    names = ", ".join(machine.present) or "the NVIDIA card"
    if machine.cards and machine.torch_cuda:
        return _no_code(machine, machine.cards[0])
    if (
        machine.present
        and (machine.visible or "").strip() in ("", "-1")
        and machine.visible is not None
    ):
        return Finding(
            "note",
            f"CUDA_VISIBLE_DEVICES={machine.visible!r} hides {names}: the CPU is used",
            "unset CUDA_VISIBLE_DEVICES",
        )
    if machine.driver is None:
        return _no_driver(machine, names)
    if machine.torch_cuda is None:
        return Finding(
            "warning",
            f"torch is a CPU build, so that {names} stays idle "
            f"(its driver, {machine.driver}, is installed)",
            f"pip uninstall -y torch && pip install {pins('torch')} installs the CUDA build on "
            f"Linux; on Windows take the command from {_BUILDS}",
        )
    return _driver_too_old(machine, names) or _no_start(machine, names)


def _no_start(machine: Machine, names: str) -> Finding:
    what = f"the driver {machine.driver} is installed, but torch cannot start CUDA on {names}"
    if machine.driver_error:
        what += f"; nvidia-smi says: {machine.driver_error}"
    fix = "reboot if the driver was just updated; in a container, start it with --gpus all"
    if machine.visible is not None:
        what += f"; CUDA_VISIBLE_DEVICES is {machine.visible!r}"
        fix = f"unset CUDA_VISIBLE_DEVICES, which may name no card of this machine; {fix}"
    return Finding("warning", what, f"{fix}; nvidia-smi must list the card")


def _no_code(machine: Machine, card: Card) -> Finding:
    newest = max((int(n) for k in machine.kernels for n in re.findall(r"\d+", k)), default=0)
    older = card.capability[0] * 10 + card.capability[1] < newest
    return Finding(
        "warning",
        f"torch's build for CUDA {machine.torch_cuda} has no code for {card}: the CPU is used",
        # torch/cuda/__init__.py, PYTORCH_RELEASES_CODE_CC: 5.0 to 9.0 in the builds for CUDA 12.6
        f"install torch's build for CUDA 12.6, which has code for older cards: {_BUILDS}"
        if older
        else f"pip install --upgrade {pins('torch')}",
    )


def _no_driver(machine: Machine, names: str) -> Finding | None:
    install = f"install its driver from {_DRIVERS} (Ubuntu: sudo ubuntu-drivers install) and reboot"
    if machine.driver_error:
        return Finding(
            "warning",
            f"the NVIDIA driver does not answer: {machine.driver_error}",
            f"reboot if the driver was just updated; else {install}",
        )
    if machine.present:
        return Finding("warning", f"{names} has no driver: the CPU is used", install)
    if machine.torch_cuda:
        return Finding(
            "note",
            f"torch is built for CUDA {machine.torch_cuda}, but there is no NVIDIA driver: the CPU "
            "is used",
            f"with an NVIDIA card, {install}; without one, nothing",
        )
    return None


def _driver_too_old(machine: Machine, names: str) -> Finding | None:
    needed = MINIMUM_DRIVER.get(_major(machine.torch_cuda), 0)
    found = _major(machine.driver)
    if found >= needed:
        return None
    other = f", or torch's build for CUDA 12.6: {_BUILDS}" if found >= MINIMUM_DRIVER[12] else ""
    return Finding(
        "warning",
        f"the NVIDIA driver {machine.driver} is too old for torch's build for CUDA "
        f"{machine.torch_cuda}, which needs {needed} or later: {names} stays idle",
        f"install driver {needed} or later from {_DRIVERS}{other}",
    )


def _major(text: str | None) -> int:
    return int((text or "0").partition(".")[0])


# unsloth ------------------------------------------------------------------------------------------


def against_unsloth(machine: Machine) -> Obstacle | None:
    """The first thing that keeps unsloth from running here; None where it can."""
    if machine.system not in ("Linux", "Windows"):
        # unsloth/__init__.py has another trainer, for Apple's MLX, which minirl does not drive.
        return Obstacle(
            f"it needs Linux or Windows, and this is {machine.system}", _USE_TRANSFORMERS
        )
    if not machine.has("torch"):
        return Obstacle("torch is not installed", install_unsloth(), kind=MissingExtraError)
    card = usable_card(machine)
    if card is None:
        why = no_card(machine)
        return Obstacle(
            why.what if why else "there is no NVIDIA card",
            (why and why.fix) or _USE_TRANSFORMERS,
            expected="an NVIDIA card that torch can use",
        )
    if machine.torch_hip:
        return Obstacle(
            f"minirl drives it on NVIDIA cards only, not on {card.name}", _USE_TRANSFORMERS
        )
    if card.capability < (7, 0):
        # unsloth/device_type.py trains there without torch.compile, so without most of its gain.
        return Obstacle(
            f"{card} is too old for it",
            _USE_TRANSFORMERS,
            expected="compute capability 7.0 or later (Volta, Turing, Ampere, ...)",
        )
    missing = [p for p in ("unsloth", "unsloth_zoo") if not machine.has(p)]
    if missing:
        return Obstacle(
            f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} not installed "
            f"({card.name} could use it: faster, and less memory)",
            install_unsloth(),
            kind=MissingExtraError,
        )
    return _unfit_packages(machine)


def _unfit_packages(machine: Machine) -> Obstacle | None:
    """Installed packages with which ``import unsloth`` fails, or does something untested."""
    strict = [m for m in mismatches(machine) if m.strict]
    if strict:
        return Obstacle(
            f"{', '.join(map(str, strict))}, and unsloth, trl, transformers and peft fit each "
            "other in the supported versions only",
            install_unsloth(),
            level="warning",
            told=frozenset(m.package for m in strict),
        )
    if not machine.has("triton"):
        name = "triton-windows" if machine.system == "Windows" else "triton"
        return Obstacle(
            "triton, which its kernels are written in, is not installed",
            f"pip install {name}",
            level="warning",
            kind=MissingExtraError,
        )
    torch, vision = version(machine, "torch"), version(machine, "torchvision")
    if torch and not (2, 4) <= torch.release[:2] < (2, 15):  # what its package asks for
        return Obstacle(
            f"it needs torch from 2.4 on and before 2.15, and torch is {torch}",
            f"pip install {pins('torch', 'torchvision')}",
            level="warning",
            told=frozenset({"torch"}),
        )
    # unsloth/import_fixes.py, torchvision_compatibility_check: torch 2.x goes with 0.(x + 15).
    if torch and vision and torch.major == 2 and vision.release[:2] < (0, torch.minor + 15):
        return Obstacle(
            f"torchvision {vision} is too old for torch {torch}, and it refuses the two together",
            f"pip install {pins('torch', 'torchvision')}",
            level="warning",
            told=frozenset({"torch", "torchvision"}),
        )
    return None


def version(machine: Machine, package: str) -> Version | None:
    """An installed version, comparable; None for a missing package or an odd version."""
    try:
        return Version(machine.packages.get(package) or "")
    except InvalidVersion:
        return None


# vLLM ---------------------------------------------------------------------------------------------

_LARGEST_RANK = 512  # unsloth_zoo/vllm_utils.py, get_lora_supported_ranks


def against_vllm(model: ModelConfig, machine: Machine, unsloth: Obstacle | None) -> Obstacle | None:
    """The first thing that keeps vLLM from writing rollouts here; None where it can.

    Args:
        unsloth: why unsloth, through which minirl drives vLLM, does not run the model.
    """
    if unsloth:
        return Obstacle(
            f"minirl drives it through unsloth, which does not run here: {unsloth.why}", unsloth.fix
        )
    if machine.system != "Linux":
        return Obstacle(
            f"it needs Linux, and this is {machine.system}",
            f"{_USE_OWN_ENGINE}, or run minirl in WSL 2",
        )
    card = usable_card(machine)
    if card and "GB10" in card.name.upper():
        return Obstacle(f"unsloth refuses it on {card.name}", _USE_OWN_ENGINE)  # models/loader.py
    plugin = ("vllm_bnb_plugin",) if model.load_in_4bit else ()
    install = f"pip install {together('vllm', *plugin)}"
    if not machine.has("vllm"):
        return Obstacle("it is not installed", install, kind=MissingExtraError)
    if machine.unmet:
        needs = "; ".join(machine.unmet)
        return Obstacle(
            f"vLLM {machine.packages['vllm']} requires {needs}", install, level="warning"
        )
    found = version(machine, "vllm")
    # unsloth_zoo/vllm_utils.py: from 0.28 on, 4-bit weights are a plugin's business.
    if plugin and found and found >= Version("0.28") and not machine.has("vllm_bnb_plugin"):
        return Obstacle(
            "4-bit weights need vllm-bnb-plugin, which is not installed",
            install,
            level="warning",
            kind=MissingExtraError,
        )
    if model.lora_r > _LARGEST_RANK:
        return Obstacle(
            f"it serves LoRA ranks up to {_LARGEST_RANK}, and model.lora_r is {model.lora_r}",
            f"--set model.lora_r={_LARGEST_RANK}, or {_USE_OWN_ENGINE}",
        )
    return None
