"""What runs a recipe on which machine: the choices, and the laws that all of them obey.

What is said where something is wrong stands in test_fallbacks.py, and what is refused in
test_refusals.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import (
    CUDA,
    GTX_1080,
    H100,
    KERNELS,
    KERNELS_12_6,
    L4,
    MX450,
    P100,
    RTX_4060,
    RTX_5090,
    T4,
    V100,
    VLLM,
    installed,
    laptop,
    pick,
    summary,
    with_card,
)

from minirl.config import ModelConfig, SamplingConfig
from minirl.errors import MinirlError
from minirl.models.backend import Choice, Finding, choose, cuda_precision
from minirl.models.machine import Machine
from minirl.models.supported import STRICT, supported_versions

CPU = "transformers cpu auto torch"


def only(choice: Choice) -> Finding:
    assert len(choice.findings) == 1, choice.findings
    return choice.findings[0]


# Where there is nothing to say --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "expected", "attention"),
    [
        (laptop(), CPU, "sdpa"),
        (laptop(system="Darwin"), CPU, "sdpa"),
        (laptop(system="Windows"), CPU, "sdpa"),
        (with_card(T4), "unsloth cuda fp16 generate", "xformers"),
        (with_card(V100, kernels=KERNELS_12_6), "unsloth cuda fp16 generate", "xformers"),
        (with_card(RTX_4060), "unsloth cuda bf16 generate", "xformers"),
        (with_card(L4, versions=VLLM), "unsloth cuda bf16 vllm", "xformers"),
        (with_card(H100, versions=VLLM), "unsloth cuda bf16 vllm", "xformers"),
        (with_card(RTX_5090, versions=VLLM), "unsloth cuda bf16 vllm", "xformers"),
        (with_card(RTX_4060, system="Windows"), "unsloth cuda bf16 generate", "xformers"),
        # PTX is compiled for cards that came after torch
        (
            with_card(replace(L4, capability=(13, 0)), versions=VLLM),
            "unsloth cuda bf16 vllm",
            "xformers",
        ),
    ],
    ids=lambda v: v.cards[0].name if isinstance(v, Machine) and v.cards else str(v)[:30],
)
def test_a_machine_in_order_is_used_without_a_word(machine, expected, attention):
    choice = pick(machine)
    assert (summary(choice), choice.attention) == (expected, attention)
    assert choice.findings == ()
    assert choice.standby is (choice.engine == "vllm")


# vLLM ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "standby"),
    [("0.9.2", True), ("0.10.2", False), ("0.11.0", True), ("0.14.1", False), ("0.15.1", True)],
)
def test_versions_of_vllm_that_crash_asleep_are_kept_awake(version, standby):
    choice = pick(with_card(L4, versions={"vllm": version}))
    assert (choice.engine, choice.standby) == ("vllm", standby)


def test_older_versions_of_vllm_bring_4_bits_with_them():
    plugin = {"vllm_bnb_plugin": "0.0.3"}
    for versions in ({"vllm": "0.27.1"}, {**VLLM, **plugin}):
        assert pick(with_card(L4, versions=versions), load_in_4bit=True).engine == "vllm"
    choice = pick(with_card(L4, versions=VLLM), load_in_4bit=True)
    assert choice.engine == "generate"
    assert "vllm-bnb-plugin" in only(choice).what


@pytest.mark.parametrize("card", [T4, RTX_4060])
def test_who_insists_gets_vllm_with_a_warning(card):
    choice = pick(with_card(card, versions=VLLM), engine="vllm")
    assert choice.engine == "vllm"
    assert only(choice).level == "warning"
    assert only(choice).fix == "--set sampling.engine=auto"


def test_engine_torch_is_the_backends_own_generation():
    assert pick(with_card(L4, versions=VLLM), engine="torch").engine == "generate"
    assert pick(with_card(L4), engine="torch").findings == ()
    assert pick(laptop(), engine="torch").engine == "torch"


# Attention, precision -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "versions", "attention"),
    [
        (L4, {"flash_attn": "2.8.3"}, "flash_attention_2"),
        (T4, {"flash_attn": "2.8.3"}, "xformers"),  # flash-attention needs Ampere
        (L4, {"xformers": None}, "sdpa"),
        (RTX_5090, {"xformers": "0.0.32.post2"}, "sdpa"),
        (RTX_5090, {"xformers": "0.0.33"}, "xformers"),
        (H100, {"xformers": "0.0.32.post2"}, "xformers"),
    ],
)
def test_the_attention_that_unsloth_takes(card, versions, attention):
    assert pick(with_card(card, versions=versions)).attention == attention


@pytest.mark.parametrize("wanted", ["bf16", "fp16", "fp32"])
def test_a_named_number_format_is_kept(wanted):
    for machine in (laptop(), with_card(L4)):
        assert pick(machine, precision=wanted).precision == wanted


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((5, 2), "fp32"),
        ((6, 0), "fp16"),
        ((6, 1), "fp32"),
        ((7, 0), "fp16"),
        ((7, 5), "fp16"),
        ((8, 0), "bf16"),
        ((12, 0), "bf16"),
    ],
)
def test_the_number_format_of_a_card(capability, precision):
    assert cuda_precision(capability) == precision


# Laws ---------------------------------------------------------------------------------------------

some_card = st.sampled_from([P100, GTX_1080, V100, T4, MX450, RTX_4060, L4, H100, RTX_5090])
right_or_wrong = {p: st.sampled_from([supported_versions()[p], None, "0.20.0"]) for p in CUDA}
packages = st.fixed_dictionaries(
    right_or_wrong,
    optional={
        "triton": st.just("3.9.0"),
        "xformers": st.just("0.0.35"),
        "vllm": st.sampled_from(["0.10.0", "0.31.0"]),
        "vllm_bnb_plugin": st.just("0.0.3"),
    },
)
in_order = st.just({**installed(*CUDA), "triton": "3.9.0", "vllm": "0.27.0"})
machines = st.builds(
    Machine,
    system=st.sampled_from(["Linux", "Linux", "Windows", "Darwin"]),
    python=st.just("3.12.3"),
    cores=st.just(4),
    ram=st.just(16_000_000_000),
    cards=st.lists(some_card, max_size=2).map(tuple),
    driver=st.sampled_from([None, "470.82.01", "550.54.14", "580.95.05"]),
    torch_cuda=st.sampled_from([None, "12.6", "13.0"]),
    packages=packages | in_order,
    torch_hip=st.sampled_from([None, None, None, "6.4"]),
    torch_error=st.sampled_from([None, None, None, "no libcudart"]),
    kernels=st.sampled_from([(), KERNELS, KERNELS_12_6]),
    present=st.sampled_from([(), ("NVIDIA L4",)]),
    driver_error=st.sampled_from([None, "NVIDIA-SMI has failed"]),
    visible=st.sampled_from([None, "", "0", "1,0"]),
    unmet=st.sampled_from([(), ("torch==2.14.0, and finds 2.13.0",)]),
)
models = st.builds(
    ModelConfig,
    backend=st.sampled_from(["auto", "unsloth", "transformers"]),
    precision=st.sampled_from(["auto", "bf16", "fp16", "fp32"]),
    load_in_4bit=st.booleans(),
    lora_r=st.sampled_from([16, 1024]),
)
engines = st.builds(SamplingConfig, engine=st.sampled_from(["auto", "torch", "vllm"]))


def unsloth_can_run(machine: Machine) -> bool:
    """The conditions, written down a second time."""
    if not machine.cards or machine.torch_hip or not machine.torch_cuda:
        return False
    major, minor = machine.cards[0].capability
    code = {"sm_75": (7, 5), "sm_70": (7, 0), "sm_80": (8, 0), "sm_90": (9, 0), "sm_120": (12, 0)}
    served = not machine.kernels or any(
        code[k][0] == major and code[k][1] <= minor for k in machine.kernels if k in code
    )
    exact = all(machine.packages.get(p) == supported_versions()[p] for p in STRICT)
    torch, vision = (machine.packages.get(p) for p in ("torch", "torchvision"))
    fitting = torch != "0.20.0" and not (torch == "2.13.0" and vision == "0.20.0")
    return (
        machine.system in ("Linux", "Windows")
        and major >= 7
        and served
        and exact
        and machine.packages.get("triton") is not None
        and fitting
    )


def chosen_or_refused(*asked: Any) -> tuple[Choice | None, str | None]:
    try:
        return choose(*asked), None
    except MinirlError as refusal:
        return None, refusal.fix


@given(models, engines, machines)
def test_what_is_chosen_can_run(model, sampling, machine):
    asked = model.backend == "unsloth" or model.precision == "bf16" or model.load_in_4bit
    if asked or sampling.engine == "vllm":
        choice, fix = chosen_or_refused(model, sampling, machine)
        if choice is None:
            assert fix
            assert "minirl[" not in fix
            return
    else:
        choice = choose(model, sampling, machine)  # where nothing is insisted on, it never refuses
    if choice.backend == "unsloth":
        assert unsloth_can_run(machine)
        assert model.backend != "transformers"
    elif model.backend == "auto":
        assert not unsloth_can_run(machine)
    if choice.device == "cuda":
        assert machine.cards
        assert choice.precision != "auto"
        assert choice.precision != "bf16" or machine.cards[0].bf16
    if choice.engine == "vllm":
        assert choice.backend == "unsloth"
        assert machine.system == "Linux"
        assert machine.has("vllm")
        assert not machine.unmet
    assert choice.standby <= (choice.engine == "vllm")
    assert (choice.engine == "torch") == (choice.backend == "transformers")
    for finding in choice.findings:
        assert finding.level != "ok"
        assert finding.fix
        assert "minirl[" not in finding.fix
    assert len({f.what for f in choice.findings}) == len(choice.findings)
