"""What minirl takes for granted about Unsloth, TRL and Triton, checked on the real packages.

Without a card: ``unsloth_on_cpu.py`` says how, and what cannot be shown that way. Where a test here
fails after a version was changed, its name says what broke; ``python tests/cuda/matrix.py`` tries
several versions.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from grpo_batch import relative_difference
from small_models import steps

pytestmark = pytest.mark.slow

Results = dict[Any, Any]

# Against the transformers backend, over the whole adapter: |difference| / |gradient|. In 16 bits
# the backends round at other places; with NF4 Unsloth multiplies by weights that it dequantizes.
GRADIENT = {("fp32", False): 5e-6, ("fp16", False): 6e-3, ("fp16", True): 2e-2}
HALF_GEMMA = 2e-2
LOSS = {"fp32": 1e-6, "fp16": 1e-3}
KERNEL = {"float32": 1e-6, "float16": 1e-3}

# Fields of the config that Unsloth adds or changes and that training does not read here.
OTHER_FIELDS = {
    "eval_accumulation_steps",  # there is no evaluation inside training
    "per_device_eval_batch_size",
    "torch_empty_cache_steps",  # frees cached blocks now and then
    "unsloth_logit_chunk_multiplier",
    "unsloth_num_chunks",
    "vllm_sampling_params",
}


def whole(results: Results, key: Any) -> Any:
    """A part's result; its own traceback where it failed."""
    result = results[key]
    if isinstance(result, dict) and "failed" in result:
        pytest.fail(f"{key} failed:\n{result['failed']}", pytrace=False)
    return result


@pytest.mark.parametrize(("model", "precision", "four_bits", "case"), steps())
def test_a_step_is_the_same_on_both_backends(
    unsloth: Results, stock: Results, model: str, precision: str, four_bits: bool, case: str
) -> None:
    key = ("step", model, precision, four_bits, case)
    theirs, ours = whole(unsloth, key), whole(stock, key)
    assert theirs["patched"]
    assert not ours["patched"]
    relative = relative_difference(theirs["gradients"], ours["gradients"])
    print(f"{key[1:]}: loss {theirs['loss']:.6f}, gradients differ by {relative:.1e}")
    assert theirs["loss"] == pytest.approx(ours["loss"], rel=LOSS[precision], abs=1e-6)
    # Unsloth keeps Gemma 3 in fp32 where there is no bf16, and multiplies it in fp16 all the same.
    assert theirs["half"] == (model == "gemma3")
    assert relative < (HALF_GEMMA if theirs["half"] else GRADIENT[precision, four_bits])


def test_the_comparison_notices_a_mask(unsloth: Results, stock: Results) -> None:
    """Leaving out truncated rollouts is a small change; the tolerance must not hide it."""
    theirs = whole(unsloth, ("step", "llama", "fp32", False, "truncated kept"))
    ours = whole(stock, ("step", "llama", "fp32", False, "dapo"))
    assert relative_difference(theirs["gradients"], ours["gradients"]) > 0.05


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("kernel", ["rms_norm", "rms_norm (Gemma)", "rope", "swiglu"])
def test_a_kernel_computes_what_torch_computes(unsloth: Results, kernel: str, kind: str) -> None:
    errors = whole(unsloth, ("kernel", kernel, kind))
    assert max(errors.values()) < KERNEL[kind], errors


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_nf4_weights_are_read_as_bitsandbytes_wrote_them(unsloth: Results, kind: str) -> None:
    errors = whole(unsloth, ("kernel", "nf4", kind))
    assert errors["against bitsandbytes"] == 0
    assert errors["against the weight"] > 0.01  # it was quantized at all


@pytest.mark.parametrize("model", ["llama", "qwen3"])
@pytest.mark.parametrize("how", ["greedy", "drawn"])
def test_unsloths_decoding_writes_what_ours_writes(
    unsloth: Results, stock: Results, how: str, model: str
) -> None:
    """Ragged prompts, several limits, with and without the adapter: token for token."""
    theirs, ours = whole(unsloth, (how, model)), whole(stock, (how, model))
    assert [ids for ids, _ in theirs] == [ids for ids, _ in ours]
    assert len({ids for ids, _ in theirs}) > 3
    for (_, a), (_, b) in zip(theirs, ours, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


@pytest.mark.parametrize("model", ["llama", "qwen3"])
def test_the_logprobs_of_sampling_are_those_of_a_forward_pass(unsloth: Results, model: str) -> None:
    assert max(whole(unsloth, ("scored", model))) < 1e-5


def test_the_trainers_config_holds_what_was_asked_for(unsloth: Results, stock: Results) -> None:
    theirs, ours = whole(unsloth, "configs"), whole(stock, "configs")
    assert theirs.keys() == ours.keys()
    differing = {
        field
        for name in ours
        for field in theirs[name].keys() | ours[name].keys()
        if theirs[name].get(field) != ours[name].get(field)
    }
    assert differing == OTHER_FIELDS


def test_one_recipe_file_drives_both(unsloth: Results, stock: Results) -> None:
    """`minirl run tiny`: the same tokens, scores and losses from other code."""
    theirs, ours = whole(unsloth, "recipe file"), whole(stock, "recipe file")
    made = [r["environment"] for r in (theirs, ours)]
    assert [(e["backend"], e["engine"]) for e in made] == [
        ("unsloth", "generate"),
        ("transformers", "torch"),
    ]
    for a, b in zip(*(r["rollouts"]["unbroken"] for r in (theirs, ours)), strict=True):
        assert (a["completion_ids"], a["value"]) == (b["completion_ids"], b["value"])
    steps = list(zip(*(r["metrics"]["unbroken"] for r in (theirs, ours)), strict=True))
    assert [a["step"] for a, _ in steps] == [1, 2]
    for a, b in steps:
        assert a["grad_norm"] > 1e-3
        for name in ("reward", "solved", "signal", "loss", "grad_norm", "completions/mean_length"):
            assert a[name] == pytest.approx(b[name], rel=1e-4, abs=1e-6), name


def test_a_broken_run_goes_on_as_if_it_had_not_been(unsloth: Results) -> None:
    run = whole(unsloth, "recipe file")
    unbroken, broken = (
        [{k: v for k, v in record.items() if k != "time"} for record in run["metrics"][name]]
        for name in ("unbroken", "broken")
    )
    assert broken == unbroken
    assert run["rollouts"]["broken"] == run["rollouts"]["unbroken"]
    assert run["samples"]["broken"] == run["samples"]["unbroken"]


def test_the_trained_adapter_is_saved_and_played(unsloth: Results, stock: Results) -> None:
    run = whole(unsloth, "recipe file")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(run["adapter"])
    theirs, ours = (
        [(s["policy"], s["task"], s["completion_ids"]) for s in r["samples"]["unbroken"]]
        for r in (run, whole(stock, "recipe file"))
    )
    assert theirs == ours
    played = {name: [ids for p, _, ids in theirs if p == name] for name in ("base", "tuned")}
    assert len(played["base"]) == 3
    assert played["base"] != played["tuned"]


def test_stdout_stays_free_for_results(unsloth: Results) -> None:
    lines = whole(unsloth, "recipe file")["stdout"].splitlines()
    assert [json.loads(line)["eval"]["tuned"]["solved"]["n"] for line in lines] == [3, 3]


def test_nothing_is_dropped_where_the_user_is(unsloth: Results) -> None:
    assert unsloth["dropped"] == []


def test_the_names_that_minirl_relies_on(unsloth: Results) -> None:
    assert whole(unsloth, "names") == {}
