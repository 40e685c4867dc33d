"""The counting itself: against what autograd keeps, and the laws that any such count obeys."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.plan.architecture import from_config
from minirl.plan.known import KNOWN
from minirl.plan.memory import (
    NF4_BYTES,
    PARTS,
    Workload,
    kv_bytes,
    layer_bytes,
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
)
KINDS = [
    BASE,
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


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
@pytest.mark.parametrize("family", ["LlamaConfig", "Qwen3Config"])
def test_a_layers_bytes_are_what_autograd_keeps(precision, targets, family):
    """Storages that a real layer's forward pass saves, and how they grow with the tokens."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    config = getattr(transformers, family)(
        hidden_size=96,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=50,
        attn_implementation="sdpa",
    )
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = transformers.AutoModelForCausalLM.from_config(config).to(dtype)
    model = get_peft_model(model, LoraConfig(r=4, target_modules=targets))
    backbone = model.get_base_model().base_model
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def kept(tokens: int) -> int:
        seen: dict[int, int] = {}
        alive = []

        def pack(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own and tensor.size(-1) > 1:
                seen[storage.data_ptr()] = storage.nbytes()
                alive.append(tensor)
            return tensor

        ids = torch.arange(2 * tokens).view(2, tokens) % 50
        mask = torch.ones_like(ids)
        mask[0, :3] = 0  # padding: with it, attention keeps its mask and repeated keys and values
        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"),
        ):
            backbone(input_ids=ids, attention_mask=mask, use_cache=False)
        # The mask and the sums over it grow with the square: not a layer's own.
        return sum(seen.values())

    arch = from_config(config.to_dict())
    number = 2 if precision == "bf16" else 4
    work = replace(BASE, arch=arch, number=number, kept=number, lora_r=4, targets=targets)
    predicted = layer_bytes(work) + 2 * arch.q_width * number
    measured = (kept(24) - kept(16)) / (8 * 2 * arch.layers)
    assert predicted == pytest.approx(measured, rel=0.06)


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
}


@pytest.mark.parametrize("name", GROWING)
@given(data=st.data(), work=st.sampled_from(KINDS))
def test_more_of_anything_never_needs_less(name, data, work):
    fixed = {k: data.draw(v, label=k) for k, v in GROWING.items() if k != name}
    low, high = sorted([data.draw(GROWING[name]), data.draw(GROWING[name])])
    work = replace(work, **fixed)
    assert total(replace(work, **{name: low})) <= total(replace(work, **{name: high}))


@given(work=st.sampled_from(KINDS), rows=st.integers(2, 64), reply=st.integers(64, 4096))
def test_what_saves_memory_does(work, rows, reply):
    work = replace(work, rows=rows, completion=reply)
    training = lambda w: sum(phases(w)["training"].values())  # noqa: E731
    bare = replace(work, shared_prefix=False, checkpointing=False)
    assert training(replace(bare, checkpointing=True)) < training(bare)
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


def test_standby_gives_the_cache_back():
    work = KINDS[-1]
    assert phases(work)["training"]["sampling"] == 0
    assert phases(replace(work, standby=False))["training"]["sampling"] >= work.pool
