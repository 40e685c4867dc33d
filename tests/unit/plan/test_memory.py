"""The counting itself: against what autograd keeps, and the laws that any such count obeys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.plan.architecture import from_config
from minirl.plan.known import KNOWN
from minirl.plan.memory import (
    NF4_BYTES,
    PARTS,
    Workload,
    attended_bytes,
    kv_bytes,
    layer_bytes,
    packed_bytes,
    peak,
    phases,
    static,
)

BASE = Workload(
    arch=KNOWN["smollm2-135m"],
    stack="transformers",
    device="cpu",
    number=2,
    four_bit=False,
    kept=2,
    lora_r=16,
    targets="all-linear",
    state=8,
    rows=8,
    distinct=2,
    prompt=76,
    completion=32,
    checkpointing=False,
    shared_prefix=True,
    head="chunked",
    engine="torch",
    sampled=16,
    sampled_prompts=2,
    token_budget=1024,
)
KINDS = [
    BASE,
    replace(BASE, checkpointing=True),
    replace(BASE, shared_prefix=False),
    replace(BASE, shared_prefix=False, checkpointing=True),
    replace(BASE, number=4, kept=4),
    replace(BASE, four_bit=True),
    replace(BASE, device="cuda"),
    replace(BASE, device="cuda", shared_prefix=False, checkpointing=True, head="full"),
    replace(BASE, stack="unsloth", device="cuda", head="unsloth", engine="generate"),
    replace(
        BASE,
        stack="unsloth",
        device="cuda",
        head="unsloth",
        engine="vllm",
        checkpointing=True,
        pool=10**9,
        arch=KNOWN["gpt-oss-20b"],
    ),
]


def total(work: Workload) -> int:
    return sum(peak(work).values())


def training(work: Workload) -> int:
    return sum(phases(work)["training"].values())


LAYERS = 2


def small_model(family: str, precision: str, targets: str | list[str]) -> tuple[Any, Workload]:
    """A model of two layers with its adapter, and a workload of it."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    config = getattr(transformers, family)(
        hidden_size=96,
        intermediate_size=160,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=50,
        attn_implementation="sdpa",
    )
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = transformers.AutoModelForCausalLM.from_config(config).to(dtype)
    model = get_peft_model(model, LoraConfig(r=4, target_modules=targets))
    number = dtype.itemsize
    work = replace(BASE, number=number, kept=number, lora_r=4, targets=targets)
    return model, replace(work, arch=from_config(config.to_dict()))


def kept(model: Any, precision: str, **inputs: Any) -> dict[int, int]:
    """Where the tensors lie that a forward pass keeps for the backward pass -> their bytes.

    Left out: parameters, and what is as small as a number a token.
    """
    import torch

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, int] = {}
    alive = []  # else their places would be used again

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and tensor.size(-1) > 1:
            seen[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"),
    ):
        model.get_base_model().base_model(**inputs, use_cache=False)
    return seen


families = pytest.mark.parametrize("family", ["LlamaConfig", "Qwen3Config"])
targeted = pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
precisions = pytest.mark.parametrize("precision", ["bf16", "fp32"])


@families
@targeted
@precisions
def test_a_layers_bytes_are_what_autograd_keeps(precision, targets, family):
    """Storages that a real layer's forward pass saves, and how they grow with the tokens."""
    import torch

    model, work = small_model(family, precision, targets)

    def of(tokens: int) -> int:
        ids = torch.arange(2 * tokens).view(2, tokens) % 50
        mask = torch.ones_like(ids)
        mask[0, :3] = 0  # padding: with it, attention keeps its mask and repeated keys and values
        # The mask and the sums over it grow with the square: not a layer's own.
        return sum(kept(model, precision, input_ids=ids, attention_mask=mask).values())

    work = replace(work, shared_prefix=False)
    predicted = layer_bytes(work) + 2 * work.arch.q_width * work.number
    measured = (of(24) - of(16)) / (8 * 2 * LAYERS)
    assert predicted == pytest.approx(measured, rel=0.06)


@pytest.mark.parametrize(
    ("prompt", "reply", "rows", "distinct"), [(76, 24, 16, 2), (300, 12, 16, 2), (10, 1500, 3, 1)]
)
@families
@targeted
@precisions
def test_a_trees_layer_is_what_autograd_keeps(
    precision, targets, family, prompt, reply, rows, distinct
):
    """The same of minirl's own pass, whose attention copies keys and values block by block."""
    from minirl.models.attention import Along, own_attention
    from minirl.models.fused_lora import fused_lora
    from minirl.models.tree import token_tree

    model, work = small_model(family, precision, targets)
    work = replace(
        work, rows=rows, distinct=distinct, prompt=prompt, completion=reply, token_budget=10**6
    )
    tree = token_tree(
        [
            [1 + i % distinct] * prompt + [3 + i, *((3 * i + j) % 47 for j in range(1, reply))]
            for i in range(rows)
        ]
    )
    assert len(tree) == work.tree == work.tokens  # replies of one prompt differ from the start
    base = model.get_base_model()
    with own_attention(base), fused_lora(base):
        found = kept(
            model,
            precision,
            input_ids=tree.tokens[None],
            position_ids=tree.depth[None],
            minirl_pass=Along(tree),
        )
    # Masks are the tree's and not a layer's, and of a real model's size less than a hundredth.
    masks = {m.untyped_storage().data_ptr() for m in tree._masks.values() if m is not None}
    measured = sum(size for place, size in found.items() if place not in masks) / LAYERS
    predicted = layer_bytes(work) * work.tokens + attended_bytes(work)
    assert predicted == pytest.approx(measured, rel=0.05)


def test_a_pass_holds_no_more_than_its_budget():
    """However many rows there are; but a whole row at least."""
    many = replace(BASE, rows=640, distinct=20)
    assert many.tokens == 1024
    assert training(replace(many, rows=320, distinct=10)) == training(many)
    assert training(replace(many, token_budget=512)) < training(many)
    least = replace(many, token_budget=64)
    assert least.tokens == least.length == 108
    assert training(replace(many, token_budget=108)) == training(least)
    assert training(replace(many, checkpointing=True)) < training(many)
    few = replace(BASE, token_budget=8192)
    assert few.tokens == few.tree == 2 * 76 + 8 * 32


@pytest.mark.parametrize("work", KINDS, ids=range(len(KINDS)))
def test_the_peak_is_the_larger_phase_and_the_sum_of_its_parts(work):
    both = phases(work)
    assert all(tuple(parts) == PARTS for parts in both.values())
    assert total(work) == max(sum(parts.values()) for parts in both.values())
    assert min(min(parts.values()) for parts in both.values()) >= 0
    for part in ("weights", "quantisation", "adapter", "optimizer", "runtime"):
        assert both["sampling"][part] == both["training"][part] == static(work)[part]


GROWING = {
    "rows": st.integers(1, 512),
    "distinct": st.integers(1, 64),
    "prompt": st.integers(1, 20_000),
    "completion": st.integers(1, 60_000),
    "lora_r": st.integers(1, 256),
    "sampled": st.integers(1, 512),
    "sampled_prompts": st.integers(1, 64),
    "state": st.sampled_from([2, 8]),
    "pool": st.integers(0, 10**11),
    "token_budget": st.integers(1, 20_000),
}


@pytest.mark.parametrize("name", GROWING)
@given(data=st.data(), work=st.sampled_from(KINDS))
def test_more_of_anything_never_needs_less(name, data, work):
    fixed = {k: data.draw(v, label=k) for k, v in GROWING.items() if k != name}
    low, high = sorted([data.draw(GROWING[name]), data.draw(GROWING[name])])
    if name == "completion":  # longer replies share a budget among fewer: less copies of prompts
        fixed["token_budget"] = 2**30
    work = replace(work, **fixed)
    assert total(replace(work, **{name: low})) <= total(replace(work, **{name: high}))


@given(work=st.sampled_from(KINDS), rows=st.integers(2, 64), reply=st.integers(64, 4096))
def test_what_saves_memory_does(work, rows, reply):
    work = replace(work, rows=rows, completion=reply)
    bare = replace(work, shared_prefix=False, checkpointing=False)
    saved = training(bare) - training(replace(bare, checkpointing=True))
    # On a CPU small passes go into the holes that sampling leaves, whatever they keep.
    assert saved > 0 if work.device == "cuda" else saved >= 0
    assert (
        static(replace(work, four_bit=True))["weights"]
        < static(replace(work, four_bit=False))["weights"]
    )
    assert total(replace(work, state=2)) < total(replace(work, state=8))


def test_formulas_that_papers_state():
    llama = KNOWN["llama-3.1-8b"]
    # 2 (K and V) x 2 bytes x 32 layers x 1,024 columns a token: Unsloth's blog on long context GRPO
    assert kv_bytes(llama, 20_480, 2) == 2 * 2 * 32 * 20_480 * 1024
    # QLoRA, section 3: 0.5 bits a weight of scales become 0.127
    assert abs(NF4_BYTES - (4 + 0.127) / 8) < 1e-4


def test_a_sliding_layer_keeps_its_window():
    gemma = KNOWN["gemma-3-1b"]
    assert gemma.kv_elements(512) == 2 * 256 * 26 * 512
    assert gemma.kv_elements(4096) == 2 * 256 * (22 * 512 + 4 * 4096)


def test_the_merged_copy_is_made_of_plain_weights_only():
    more = (
        phases(BASE)["sampling"]["sampling"]
        - phases(replace(BASE, four_bit=True))["sampling"]["sampling"]
    )
    assert more == 2 * BASE.arch.linear_parameters()


def test_on_a_cpu_fp32_weights_lie_there_in_16_bits_too():
    """All the time, and instead of the merged copy; 512 inputs at least to each matrix."""
    wide = replace(BASE, number=4, kept=4, completion=1)
    arch = wide.arch
    inputs = {576: 1024, 1536: 1536}
    each = [*arch.attention_layers().values(), *arch.mlp_layers().values()]
    packed = 2 * (arch.layers * sum(inputs[a] * b for a, b in each) + 1024 * arch.vocab)
    assert packed_bytes(wide) == packed
    assert phases(wide)["training"]["sampling"] >= packed
    merged = 4 * arch.linear_parameters()
    without = phases(replace(wide, device="cuda"))["sampling"]["sampling"] / 1.10 - merged
    assert phases(wide)["sampling"]["sampling"] == pytest.approx(without + packed)
    for other in ({"number": 2}, {"four_bit": True}, {"device": "cuda"}, {"engine": "none"}):
        assert packed_bytes(replace(wide, **other)) == 0


def test_a_rows_cache_doubles_and_each_prompts_is_there_once():
    def cache(**fields: int) -> float:
        found = phases(replace(BASE, device="cuda", four_bit=True, **fields))
        return found["sampling"]["sampling"] / 1.10

    assert cache(completion=33) == cache(completion=2)  # the last token's is never asked for
    token = kv_bytes(BASE.arch, 1, BASE.number)
    grown = cache(completion=34) - cache(completion=33)
    assert grown == pytest.approx(16 * (32 + 64 / 2 / BASE.arch.layers) * token, rel=1e-6)
    longer = cache(sampled_prompts=1, prompt=1000) - cache(sampled_prompts=1, prompt=500)
    wide = (3 * BASE.arch.intermediate + 4 * BASE.arch.hidden) * BASE.number
    assert 500 * token <= longer <= 500 * (token + wide)


def test_standby_gives_the_cache_back():
    work = KINDS[-1]
    assert phases(work)["training"]["sampling"] == 0
    assert phases(replace(work, standby=False))["training"]["sampling"] >= work.pool
