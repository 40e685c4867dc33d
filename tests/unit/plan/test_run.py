"""Plans of whole recipes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirl.config import TOKEN_BUDGET, Recipe, change
from minirl.envs import Environment, make_env
from minirl.errors import ConfigError, EnvironmentFault
from minirl.plan import any_card, card_target, cpu_target, find_card, plan_run
from minirl.plan.lengths import estimate, prompt_length
from minirl.plan.memory import PARTS
from minirl.plan.workload import stack_of
from minirl.types import Message

GIB = 2**30
ENV = make_env("arithmetic")


def recipe(name: str = "Qwen/Qwen3-4B", **settings) -> Recipe:
    base = Recipe.model_validate({"env": {"name": "arithmetic"}, "model": {"name": name}})
    return change(base, {k.replace("__", "."): v for k, v in settings.items()})


def plan(name: str = "Qwen/Qwen3-4B", *, on=None, **settings):
    return plan_run(recipe(name, **settings), target=on or any_card(12), env=ENV)


MODELS = ["smollm2-135m", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B", "unsloth/gemma-3-1b-it"]
TARGETS = [
    card_target(find_card("T4")),
    card_target(find_card("RTX 3060")),
    card_target(find_card("GTX 1660 Ti")),
    card_target(find_card("P100")),
    any_card(80),
    cpu_target(6 * GIB, cores=2),
]
SETTINGS = st.fixed_dictionaries(
    {
        "train.prompts_per_step": st.integers(1, 12),
        "train.group_size": st.integers(2, 16),
        "sampling.batch": st.integers(1, 256),
        "sampling.max_tokens": st.integers(8, 4096),
        "train.gradient_checkpointing": st.booleans(),
        "train.shared_prefix": st.booleans(),
        "model.load_in_4bit": st.booleans(),
    }
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from(TARGETS), SETTINGS)
def test_laws_of_every_plan(name, target, chosen):
    asked = change(recipe(name), chosen)
    found = plan_run(asked, target=target, env=ENV)
    assert tuple(found.parts) == PARTS
    assert found.total == sum(found.parts.values())
    assert found.fits == (max(found.total, found.evaluation) <= target.usable)
    # What was settled is what was planned: planning it again changes nothing.
    again = plan_run(change(asked, found.settled), target=target, env=ENV)
    assert (again.total, again.fits) == (found.total, found.fits)
    assert not again.settled.keys() & {"train.micro_batch", "train.token_budget"}
    if found.stack.backend == "unsloth" or not asked.train.shared_prefix:
        rows = asked.train.prompts_per_step * asked.train.group_size
        assert rows % found.settled["train.micro_batch"] == 0
        assert "train.token_budget" not in found.settled | (found.changes or {})
    else:
        assert 64 <= found.settled["train.token_budget"] <= TOKEN_BUDGET[target.device]
        assert "train.micro_batch" not in found.settled | (found.changes or {})
    if found.fits:
        assert found.advice == ()
        assert found.changes is None
    else:
        assert len(found.advice) == 1
    if found.changes:
        assert plan_run(change(asked, found.changes), target=target, env=ENV).fits


def test_the_micro_batch_is_the_largest_that_fits():
    target = card_target(find_card("RTX 3060"))
    options = {"model__load_in_4bit": True, "sampling__max_tokens": 512}
    micro = plan(on=target, **options).settled["train.micro_batch"]
    assert 1 < micro < 32
    assert plan(on=target, train__micro_batch=micro, **options).fits
    assert not plan(on=target, train__micro_batch=2 * micro, **options).fits


P100 = card_target(find_card("P100"))  # too old for unsloth


def test_the_token_budget_is_the_largest_that_fits():
    options = {"train__prompts_per_step": 256, "train__group_size": 16}  # more than any budget
    assert plan("smollm2-135m", on=cpu_target(64 * GIB), **options).settled == {
        "train.token_budget": 2048
    }
    assert plan("smollm2-135m", on=P100, **options).settled == {"train.token_budget": 8192}
    found = plan("Qwen/Qwen3-0.6B", on=replace(P100, memory=8 * GIB), **options)
    budget = found.settled["train.token_budget"]
    assert found.fits
    assert 64 < budget < 8192
    over = plan("Qwen/Qwen3-0.6B", on=found.target, train__token_budget=2 * budget, **options)
    assert not over.fits
    assert over.changes == {"train.token_budget": budget}
    assert budget <= found.room["train.token_budget"] < 2 * budget
    assert "train.micro_batch" not in found.room


def test_where_no_token_budget_helps_the_passes_stay_large():
    """Below one conversation a smaller budget saves nothing."""
    found = plan("Qwen/Qwen3-0.6B", on=replace(P100, memory=5 * GIB), sampling__max_tokens=1500)
    assert not found.fits
    assert 1024 <= found.settled["train.token_budget"] <= 2048


def test_a_step_that_is_one_pass_leaves_the_token_budget_out_of_the_room():
    assert "train.token_budget" not in plan("smollm2-135m", on=P100).room


def test_attention_sinks_are_trained_by_trls_pass():
    """The tree's attention has none, so micro_batch bounds the pass."""
    found = plan("openai/gpt-oss-20b", on=cpu_target(256 * GIB), model__precision="bf16")
    assert found.settled == {"train.micro_batch": 32}


def test_prompts_are_computed_once_a_pass():
    """The pace follows: with room for two replies a pass, each prompt is computed four times."""
    options = {"train__group_size": 8, "sampling__max_tokens": 100}
    whole = plan("smollm2-135m", on=P100, **options)
    prompt, reply = whole.prompt.tokens, 0.7 * 100
    cut = plan("smollm2-135m", on=P100, train__token_budget=prompt + 150, **options)
    rows = plan("smollm2-135m", on=P100, train__shared_prefix=False, **options)
    ratio = cut.pace.training / whole.pace.training
    assert ratio == pytest.approx((4 * prompt + 8 * reply) / (prompt + 8 * reply))
    ratio = rows.pace.training / whole.pace.training
    assert ratio == pytest.approx(8 * (prompt + reply) / (prompt + 8 * reply))


def test_a_batch_that_fits_is_left_alone_and_one_that_does_not_is_lowered():
    assert "sampling.batch" not in plan("smollm2-135m").settled
    found = plan(on=any_card(6), model__load_in_4bit=True, sampling__max_tokens=1024)
    assert found.settled["sampling.batch"] < 64


def test_the_conversation_is_as_long_as_prompt_and_reply():
    found = plan("smollm2-135m", sampling__max_tokens=500)
    assert found.settled["model.max_seq_length"] >= found.prompt.tokens + 500
    assert found.settled["model.max_seq_length"] % 64 == 0
    stated = plan("smollm2-135m", sampling__max_tokens=500, model__max_seq_length=256)
    assert "model.max_seq_length" not in stated.settled
    assert stated.completion == 256 - stated.prompt.tokens
    assert stated.total < found.total


def test_advice_says_what_to_set_and_holds():
    found = plan("Qwen/Qwen3-8B", on=any_card(12), sampling__max_tokens=1024)
    assert not found.fits
    assert found.headroom < 0
    [line] = found.advice
    assert "--set model.load_in_4bit=true" in line
    assert all(f"--set {key}=" in line for key in found.changes)


def test_where_nothing_helps_it_says_so():
    found = plan("Qwen/Qwen3-32B", on=any_card(8))
    assert found.changes is None
    assert "smaller model" in found.advice[0]


def test_room_is_the_edge():
    found = plan("smollm2-135m", on=any_card(8), train__micro_batch=4)
    asked = {"train__micro_batch": 4, "sampling__batch": found.room["sampling.batch"]}
    assert plan("smollm2-135m", on=any_card(8), train__group_size=1024, **asked).phases["sampling"]
    longest = found.room["context"] - found.prompt.tokens
    assert (
        plan(
            "smollm2-135m", on=any_card(8), train__micro_batch=4, sampling__max_tokens=longest
        ).total
        <= any_card(8).usable
    )


def test_vram_overrides_the_card():
    card = find_card("RTX 3060")
    options = {"model__load_in_4bit": True, "train__micro_batch": 16}
    assert plan(on=card_target(card, vram=80), **options).fits
    assert not plan(on=card_target(card, vram=4), **options).fits


def test_stacks():
    t4, cpu = card_target(find_card("T4")), cpu_target(8 * GIB)
    assert stack_of(recipe(), t4) == stack_of(recipe(model__backend="unsloth"), t4)
    assert stack_of(recipe(), t4).precision == "fp16"
    assert stack_of(recipe(), any_card(8)).precision == "bf16"
    assert stack_of(recipe(), replace(t4, capability=(6, 1))).precision == "fp32"
    assert stack_of(recipe(), replace(t4, capability=(6, 1))).backend == "transformers"
    assert stack_of(recipe(model__precision="fp32"), cpu).precision == "fp32"
    assert stack_of(recipe(), cpu).engine == "torch"
    assert stack_of(recipe(sampling__engine="vllm"), t4).engine == "vllm"
    assert stack_of(recipe(model__backend="transformers"), t4).backend == "transformers"


@pytest.mark.parametrize(
    "wrong",
    [{"model__backend": "unsloth"}, {"sampling__engine": "vllm"}],
)
def test_what_a_cpu_cannot_do_is_told(wrong):
    with pytest.raises(ConfigError, match="auto"):
        plan_run(recipe(**wrong), target=cpu_target(8 * GIB), env=ENV)


def test_vllm_takes_its_share_and_standby_gives_it_back():
    target = card_target(find_card("RTX 3090"))
    options = {"sampling__engine": "vllm", "model__load_in_4bit": True, "train__micro_batch": 2}
    slept = plan(on=target, **options)
    share = 0.5 * target.memory
    sampling = slept.phases["sampling"]
    taken = sampling["weights"] + sampling["quantisation"] + sampling["sampling"] / 1.1
    assert taken == pytest.approx(share, rel=0.01)
    awake = plan(on=replace(target, standby=False), **options)
    assert awake.phases["training"]["sampling"] > 0
    assert slept.phases["training"]["sampling"] == 0


def test_stored_4_bit_weights_count_as_such():
    stored = plan("unsloth/Qwen3-4B-bnb-4bit", train__micro_batch=4)
    assert stored.parts == plan(train__micro_batch=4, model__load_in_4bit=True).parts


def test_the_pace_is_known_where_the_card_is():
    assert plan(on=any_card(12)).pace is None
    slow = plan(on=card_target(find_card("T4")), train__micro_batch=1).pace
    fast = plan(on=card_target(find_card("RTX 4090")), train__micro_batch=1).pace
    assert 0 < fast.step < slow.step
    assert slow.run == pytest.approx(slow.steps * (slow.sampling + slow.training))


# Prompts ------------------------------------------------------------------------------------------


def test_prompts_are_tokenized_where_the_tokenizer_is_here(tiny_cache):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_cache / "tiny")
    tokens = [
        tokenizer.apply_chat_template(
            [m.as_dict() for m in ENV.task("train", i).prompt],
            add_generation_prompt=True,
            tokenize=False,
        )
        for i in range(32)
    ]
    exact = max(len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in tokens)
    found = prompt_length(ENV, "tiny")
    assert (found.tokens, "tokenized" in found.how) == (exact, True)


def test_prompts_are_estimated_where_it_is_not():
    found = prompt_length(ENV, "Qwen/Qwen3-4B")
    assert "estimated" in found.how
    assert 40 < found.tokens < 120
    assert estimate([Message("user", "x" * 300)]) == 110


def test_an_environment_that_fails_is_told_as_such():
    class Broken(Environment):
        name = "broken"

        def task(self, split, index):
            raise ZeroDivisionError("boom")

    with pytest.raises(EnvironmentFault, match="boom"):
        prompt_length(Broken(Broken.Config()), "tiny")


def test_several_turns_leave_room_for_replies():
    class Long(type(ENV)):
        max_turns = 3

    long = Long(ENV.config)
    one = plan_run(recipe("tiny"), target=any_card(8), env=ENV)
    three = plan_run(recipe("tiny"), target=any_card(8), env=long)
    assert three.completion > 3 * one.completion
    assert three.settled["model.max_seq_length"] >= one.prompt.tokens + three.completion


PLAN = """
import sys
from minirl.plan import cpu_target, plan_run, this_machine
from minirl.config import find_recipe, load_recipe
plan = plan_run(load_recipe(find_recipe("quickstart")), target=cpu_target())
this_machine()
print(plan.total > 0, sorted({"torch", "transformers", "trl", "peft"} & set(sys.modules)))
"""


def test_planning_imports_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", PLAN], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "True []", done.stderr
