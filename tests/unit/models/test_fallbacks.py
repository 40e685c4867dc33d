"""What is wrong with a machine gives one message with its fix, and the right way around it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machines import (
    CUDA,
    GTX_1080,
    H100,
    KERNELS_12_6,
    L4,
    MX450,
    P100,
    RTX_4060,
    RTX_5090,
    T4,
    V100,
    VLLM,
    idle,
    installed,
    laptop,
    pick,
    summary,
    with_card,
)

from minirl.models.machine import Machine
from minirl.models.supported import supported_versions

CPU = "transformers cpu auto torch"


FALLBACKS: dict[str, tuple[Machine, str, str, str, str]] = {
    # machine, choice, level, in the message, in the fix
    "unsloth is missing": (
        with_card(L4, versions={"unsloth": None, "unsloth_zoo": None}),
        "transformers cuda bf16 torch",
        "note",
        "unsloth and unsloth_zoo are not installed",
        'pip install -c constraints.txt -e ".[cuda]"',
    ),
    "unsloth_zoo is missing": (
        with_card(L4, versions={"unsloth_zoo": None}),
        "transformers cuda bf16 torch",
        "note",
        "unsloth_zoo is not installed",
        'pip install -c constraints.txt -e ".[cuda]"',
    ),
    "wrong version": (
        with_card(L4, versions={"trl": "1.14.0"}),
        "transformers cuda bf16 torch",
        "warning",
        f"trl is 1.14.0 (supported: {supported_versions()['trl']})",
        'pip install -c constraints.txt -e ".[cuda]"',
    ),
    "two wrong versions": (
        with_card(L4, versions={"transformers": "5.18.0", "unsloth": "2026.11.1"}),
        "transformers cuda bf16 torch",
        "warning",
        "unsloth is 2026.11.1 (supported: 2026.10.7), transformers is 5.18.0",
        'pip install -c constraints.txt -e ".[cuda]"',
    ),
    "torchvision of another torch": (
        with_card(L4, versions={"torchvision": "0.26.0"}),
        "transformers cuda bf16 torch",
        "warning",
        "torchvision 0.26.0 is too old for torch 2.13.0",
        "pip install torch==2.13.0 torchvision==0.28.0",
    ),
    "a torch from the future": (
        with_card(L4, versions={"torch": "2.15.0+cu130", "torchvision": "0.30.0"}),
        "transformers cuda bf16 torch",
        "warning",
        "needs torch from 2.4 on and before 2.15, and torch is 2.15.0",
        "pip install torch==2.13.0 torchvision==0.28.0",
    ),
    "no triton": (
        with_card(L4, versions={"triton": None}, system="Windows"),
        "transformers cuda bf16 torch",
        "warning",
        "triton, which its kernels are written in, is not installed",
        "pip install triton-windows",
    ),
    "Pascal, fast fp16": (
        with_card(P100, kernels=KERNELS_12_6),
        "transformers cuda fp16 torch",
        "note",
        "Tesla P100-PCIE-16GB (17 GB, compute capability 6.0) is too old",
        "--set model.backend=transformers",
    ),
    "Pascal, slow fp16": (
        with_card(GTX_1080, kernels=KERNELS_12_6),
        "transformers cuda fp32 torch",
        "note",
        "GTX 1080",
        "--set model.backend=transformers",
    ),
    "torch without code for an old card": (
        with_card(P100),
        CPU,
        "warning",
        "torch's build for CUDA 13.0 has no code for Tesla P100",
        "torch's build for CUDA 12.6",
    ),
    "torch without code for Volta": (
        with_card(V100),  # CUDA 13 begins with 7.5
        CPU,
        "warning",
        "has no code for Tesla V100",
        "torch's build for CUDA 12.6",
    ),
    "torch without code for a new card": (
        with_card(RTX_5090, kernels=("sm_80", "sm_90")),
        CPU,
        "warning",
        "has no code for NVIDIA GeForce RTX 5090",
        "pip install --upgrade torch==2.13.0",
    ),
    "no driver": (
        idle(driver=None),
        CPU,
        "warning",
        "NVIDIA L4 has no driver",
        "https://www.nvidia.com/drivers",
    ),
    "a driver that does not answer": (
        idle(
            driver=None, driver_error="Failed to initialize NVML: Driver/library version mismatch"
        ),
        CPU,
        "warning",
        "does not answer: Failed to initialize NVML: Driver/library version mismatch",
        "reboot",
    ),
    "no driver and no card": (
        idle(driver=None, present=()),
        CPU,
        "note",
        "torch is built for CUDA 13.0, but there is no NVIDIA driver",
        "without one, nothing",
    ),
    "old driver": (
        idle(driver="550.54.14"),
        CPU,
        "warning",
        "driver 550.54.14 is too old for torch's build for CUDA 13.0, which needs 580",
        "torch's build for CUDA 12.6",
    ),
    "very old driver": (
        idle(driver="470.82.01", torch_cuda="12.8"),
        CPU,
        "warning",
        "driver 470.82.01 is too old for torch's build for CUDA 12.8, which needs 525",
        "install driver 525 or later",
    ),
    "a driver, and CUDA does not start": (
        idle(driver_error="NVIDIA-SMI has failed"),
        CPU,
        "warning",
        "torch cannot start CUDA on NVIDIA L4; nvidia-smi says: NVIDIA-SMI has failed",
        "--gpus all",
    ),
    "a mask that names no card": (
        idle(visible="7"),
        CPU,
        "warning",
        "torch cannot start CUDA on NVIDIA L4; CUDA_VISIBLE_DEVICES is '7'",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    "CPU build of torch beside a card": (
        idle(torch_cuda=None, kernels=(), versions={"torch": "2.13.0+cpu"}),
        CPU,
        "warning",
        "torch is a CPU build, so that NVIDIA L4 stays idle",
        "pip uninstall -y torch && pip install torch==2.13.0",
    ),
    "hidden card": (
        idle(visible=""),
        CPU,
        "note",
        "CUDA_VISIBLE_DEVICES='' hides NVIDIA L4",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    "AMD": (
        with_card(
            replace(H100, name="AMD Instinct MI300X", capability=(9, 4)),
            torch_cuda=None,
            torch_hip="6.4",
            driver=None,
            kernels=("gfx942",),
            present=(),
        ),
        "transformers cuda bf16 torch",
        "note",
        "not on AMD Instinct MI300X",
        "--set model.backend=transformers",
    ),
    "small card": (
        with_card(MX450),
        "unsloth cuda fp16 generate",
        "warning",
        "NVIDIA GeForce MX450 has 2.1 GB of memory, too little",
        "minirl plan RECIPE",
    ),
    "a card that others use": (
        with_card(replace(T4, free=1_000_000_000)),
        "unsloth cuda fp16 generate",
        "error",
        "another process holds 14.8 of the 15.8 GB of Tesla T4, and 1.0 GB are free",
        "nvidia-smi lists the processes",
    ),
    "a large card that others use": (
        with_card(replace(H100, free=30_000_000_000), versions=VLLM),
        "unsloth cuda bf16 vllm",
        "warning",
        "another process holds 55.0 of the 85.0 GB",
        "minirl plan RECIPE",
    ),
    "no vLLM where it would help": (
        with_card(L4),
        "unsloth cuda bf16 generate",
        "note",
        "unsloth's own generation writes the rollouts, not vLLM: it is not installed",
        "pip install vllm==0.31.0 torch==2.13.0 unsloth==2026.10.7",
    ),
    "vLLM for another torch": (
        with_card(L4, versions=VLLM, unmet=("torch==2.14.0, and finds 2.13.0+cu130",)),
        "unsloth cuda bf16 generate",
        "warning",
        "vLLM 0.31.0 requires torch==2.14.0, and finds 2.13.0+cu130",
        "pip install vllm==0.31.0",
    ),
    "vLLM on a card without its fast kernels": (
        with_card(T4, versions=VLLM),
        "unsloth cuda fp16 generate",
        "note",
        "vLLM is not used: Tesla T4 has no kernels for it",
        "--set sampling.engine=vllm",
    ),
    "vLLM on a card with little memory": (
        with_card(RTX_4060, versions=VLLM),
        "unsloth cuda bf16 generate",
        "note",
        "vLLM is not used: 8.5 GB leave little memory",
        "--set sampling.engine=vllm",
    ),
    "vLLM on DGX Spark": (
        with_card(replace(L4, name="NVIDIA GB10", capability=(12, 1)), versions=VLLM),
        "unsloth cuda bf16 generate",
        "note",
        "unsloth refuses it on NVIDIA GB10",
        "--set sampling.engine=auto",
    ),
    "several cards": (
        with_card(T4, T4),
        "unsloth cuda fp16 generate",
        "note",
        "CUDA shows 2 cards, and minirl trains on one, the first: Tesla T4",
        "CUDA_VISIBLE_DEVICES=0 minirl",
    ),
    "a better card comes second": (
        with_card(RTX_4060, replace(L4, free=L4.memory)),
        "unsloth cuda bf16 generate",
        "note",
        "NVIDIA L4 (24 GB, compute capability 8.9) would do better",
        "CUDA_VISIBLE_DEVICES=1 minirl",
    ),
    "some of several cards": (
        with_card(RTX_4060, L4, visible="2,GPU-5f6a"),
        "unsloth cuda bf16 generate",
        "note",
        "NVIDIA L4 (24 GB, compute capability 8.9) would do better",
        "CUDA_VISIBLE_DEVICES=GPU-5f6a minirl",
    ),
    "a card without bf16 beside one with it": (
        # unsloth takes bf16 from all of them
        with_card(RTX_4060, replace(T4, memory=8_000_000_000, free=8_000_000_000)),
        "unsloth cuda fp16 generate",
        "note",
        "CUDA shows 2 cards",
        "CUDA_VISIBLE_DEVICES=0 minirl",
    ),
    "another torch": (
        with_card(RTX_4060, versions={"torch": "2.12.1+cu130", "torchvision": "0.27.1"}),
        "unsloth cuda bf16 generate",
        "warning",
        "torch is 2.12.1+cu130 (supported: 2.13.0), torchvision is 0.27.1 (supported: 0.28.0)",
        "pip install torch==2.13.0 torchvision==0.28.0",
    ),
    "another trl on a CPU": (
        laptop(packages=installed(*CUDA, trl="1.13.0", unsloth="2025.1.1")),
        CPU,
        "warning",
        "trl is 1.13.0 (supported: 1.15.0): minirl is not tested with that",
        "pip install trl==1.15.0",
    ),
    "no datasets": (
        laptop(packages=installed(*CUDA, datasets=None)),
        CPU,
        "error",
        "datasets is not installed (supported: 4.8.5): minirl does not run without",
        "pip install datasets==4.8.5",
    ),
    "a broken torch": (
        laptop(torch_error="libcudart.so.13: cannot open shared object file"),
        CPU,
        "error",
        "torch is installed but cannot be imported: libcudart.so.13",
        "pip install --force-reinstall torch==2.13.0",
    ),
}


@pytest.mark.parametrize("case", FALLBACKS)
def test_what_is_wrong_gives_one_message_and_the_right_choice(case):
    machine, expected, level, what, fix = FALLBACKS[case]
    choice = pick(machine)
    assert summary(choice) == expected
    assert len(choice.findings) == 1, choice.findings
    finding = choice.findings[0]
    assert finding.level == level
    assert what in finding.what
    assert fix in (finding.fix or "")


def test_who_asked_for_transformers_is_not_told_about_unsloth():
    for versions in ({"unsloth": None}, {"unsloth": "2025.1.1"}, {}):
        choice = pick(with_card(L4, versions=versions), backend="transformers")
        assert summary(choice) == "transformers cuda bf16 torch"
        assert choice.attention == "sdpa"
        assert choice.findings == ()


def test_transformers_takes_the_number_format_of_the_card_that_it_uses():
    machine = with_card(RTX_4060, replace(T4, memory=8_000_000_000, free=8_000_000_000))
    assert pick(machine, backend="transformers").precision == "bf16"
