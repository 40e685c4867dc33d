"""The gradient of one step equals that of TRL's own trainer on the same rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from grpo_batch import (
    CASES,
    PROMPTS,
    VOCABULARY,
    GradientGrab,
    P,
    recipe,
    relative_difference,
    rollouts,
)
from peft import LoraConfig, get_peft_model
from random_models import request
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from trl import GRPOConfig, GRPOTrainer

from minirl.config import Recipe
from minirl.envs import make_env
from minirl.errors import ModelError
from minirl.models.catalogue import resolve_model
from minirl.models.sampler import SamplingParams, TorchSampler
from minirl.rundir import RunDir
from minirl.train import logprob_head
from minirl.train.settings import grpo_settings
from minirl.train.stream import TaskStream
from minirl.train.trainer import SharedPrefixTrainer

pytestmark = pytest.mark.filterwarnings("ignore:You are using 'rollout_func'")


def _llama() -> Any:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    )


def _qwen3() -> Any:
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
        )
    )


def _gemma3() -> Any:
    """Alternating sliding-window layers, with a window shorter than the longest prompt."""
    return Gemma3ForCausalLM(
        Gemma3TextConfig(
            vocab_size=VOCABULARY,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=12,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention"] * 2,
            final_logit_softcapping=5.0,
        )
    )


def _smollm2() -> Any:
    """The real small model."""
    try:
        where = resolve_model("smollm2-135m").location
    except ModelError as error:
        pytest.skip(f"smollm2-135m is not here and cannot be fetched: {error.message}")
    return AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32)


def _model(make: Any) -> Any:
    torch.manual_seed(0)
    base = make().to(torch.bfloat16).float()  # weights of 16 bits, as models come
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    g = torch.Generator().manual_seed(1)
    for name, p in model.named_parameters():
        if "lora_B" in name:  # a fresh adapter's A gets no gradient, and so could hide an error
            p.data = 0.05 * torch.randn(p.shape, generator=g)
    return model


def _gradients(
    tmp_path: Path, recipe: Recipe, make: Any, *, ours: bool, **how: Any
) -> dict[str, torch.Tensor]:
    """LoRA gradients of the last optimiser step on :func:`rollouts`."""
    return _trained(tmp_path, recipe, make, ours=ours, **how)[0].gradients


def _logged(
    tmp_path: Path, recipe: Recipe, *, ours: bool, budget: int = 10_000
) -> list[dict[str, Any]]:
    """What is logged of each step."""
    history = _trained(tmp_path, recipe, _llama, ours=ours, budget=budget)[1].state.log_history
    times = ("step_time", "runtime", "per_second")
    return [
        {k: v for k, v in record.items() if not k.endswith(times)}
        for record in history
        if "loss" in record
    ]


def _trained(
    tmp_path: Path,
    recipe: Recipe,
    make: Any,
    *,
    ours: bool,
    budget: int = 10_000,
    sampled: bool = False,
    watch: Any = None,
) -> tuple[GradientGrab, Any]:
    """A trainer that has trained on :func:`rollouts`, and its gradients.

    Args:
        sampled: whether minirl's sampler computes the prompts first, as in a run.
        watch: told how many tokens each forward pass that autograd records computes.
    """
    logprob_head.install(torch.device("cpu"))
    run = RunDir(tmp_path / ("ours" if ours else "theirs"))
    settings = grpo_settings(
        recipe,
        output_dir=run.checkpoints / ".partial",
        device=torch.device("cpu"),
        dtype=torch.float32,
        max_turns=2,
    )
    grab = GradientGrab()

    def play(prompts: Any, trainer: Any) -> dict[str, list[Any]]:
        out = rollouts()
        if sampled:
            _prefill(trainer, out["prompt_ids"])
        return out

    shared: dict[str, Any] = {
        "model": _model(make),
        "reward_funcs": lambda score_value, **_: score_value,
        "args": GRPOConfig(**settings),
        "train_dataset": Dataset.from_dict({"prompt": ["-"] * P}),
        "processing_class": AutoTokenizer.from_pretrained(resolve_model("tiny").location),
        "rollout_func": play,
        "callbacks": [grab],
    }
    if ours:
        stream = TaskStream(make_env("arithmetic:2"), recipe.stream, seed=0)
        trainer: Any = SharedPrefixTrainer(
            **shared, run=run, stream=stream, keep=1, token_budget=budget
        )
        assert trainer.why_not is None
    else:
        trainer = GRPOTrainer(**shared)
        if "ref" in trainer.model.peft_config:  # minirl's reference is the base
            trainer.model.delete_adapter("ref")
    if watch is not None:

        def tell(_module: Any, _args: Any, kwargs: Any) -> None:
            if torch.is_grad_enabled():
                watch(kwargs["input_ids"].numel())

        backbone = trainer.model.get_base_model().base_model
        backbone.register_forward_pre_hook(tell, with_kwargs=True)
    trainer.train()
    return grab, trainer


def _prefill(trainer: Any, prompts: list[list[int]]) -> None:
    """Sample a token after each prompt, with the trainer's recorder in place; the idle group's
    prompt in a pass of its own, for beside the others it would have all of them forgotten.
    """
    distinct = [list(ids) for ids in dict.fromkeys(map(tuple, prompts))]
    sampler = TorchSampler()
    with (
        sampler.recording(trainer.kept),
        sampler.session(trainer.model, use_adapter=True, batch=8) as draw,
    ):
        for some in (distinct[:2], distinct[2:]):
            requests = [request(ids, max_tokens=1) for ids in some]
            rows = range(len(requests))
            draw(requests, rows, SamplingParams(), seed=0, eos_ids=frozenset(), pad_id=0)
    assert trainer.kept.tokens > 0 if trainer.kept else trainer.args.gradient_accumulation_steps > 1


@pytest.mark.parametrize("case", CASES)
def test_step_gradient_equals_trls(tmp_path: Path, case: str) -> None:
    _assert_equal(tmp_path, recipe(**CASES[case]), _llama)


@pytest.mark.parametrize("case", CASES)
def test_in_parts_of_few_tokens(tmp_path: Path, case: str) -> None:
    """A budget that cuts groups asunder, and is less than the longest row."""
    _assert_equal(tmp_path, recipe(**CASES[case]), _llama, budget=34)


recorded = pytest.mark.skipif(
    torch.backends.quantized.engine not in ("x86", "fbgemm"),
    reason="prompts are recorded where FBGEMM multiplies (minirl/models/decoding/halves.py)",
)


@recorded
@pytest.mark.parametrize("budget", [10_000, 80])
@pytest.mark.parametrize("case", CASES)
def test_prompts_that_sampling_has_computed(tmp_path: Path, case: str, budget: int) -> None:
    """80 tokens have room for two of three prompts, and cut the replies."""
    _assert_equal(tmp_path, recipe(**CASES[case]), _llama, budget=budget, sampled=True)


@recorded
@pytest.mark.parametrize("make", [_qwen3, _gemma3])
def test_prompts_that_sampling_has_computed_of_other_architectures(
    tmp_path: Path, make: Any
) -> None:
    _assert_equal(tmp_path, recipe(loss_type="dapo"), make, budget=60, sampled=True)


def _passes(prompts: Sequence[int]) -> list[int]:
    """Tokens of the passes in which :func:`_prefill` computes prompts of these lengths."""
    return [sum(prompts[:2]), sum(prompts[2:])]


@recorded
def test_what_sampling_has_computed_is_not_computed_again(tmp_path: Path) -> None:
    every_row = recipe(loss_type="dr_grpo", beta=0.1, mask_truncated=False)

    def computed(**how: Any) -> list[int]:
        seen: list[int] = []
        where = tmp_path / "-".join(map(str, how.values()))
        _trained(where, every_row, _llama, ours=True, watch=seen.append, **how)
        return seen

    prompts, replies = sum(PROMPTS), sum(map(len, rollouts()["completion_ids"]))
    (whole,) = computed(sampled=False)
    assert prompts + replies - 12 <= whole <= prompts + replies  # some begin alike
    assert computed(sampled=True) == [*_passes(PROMPTS), whole - prompts]
    # Three quarters of 24 tokens have room for one prompt, and a part of its replies stands beside.
    few = computed(sampled=True, budget=24)
    assert few[0] in PROMPTS
    assert prompts + replies < sum(few) < prompts + len(few) * max(PROMPTS) + replies


@pytest.mark.parametrize("make", [_qwen3, _gemma3])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_other_architectures(tmp_path: Path, make: Any, checkpointing: bool) -> None:
    _assert_equal(
        tmp_path, recipe(loss_type="dapo", gradient_checkpointing=checkpointing), make, budget=60
    )


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("case", ["dr_grpo", "grpo", "dapo", "bnpo", "cispo", "kl", "accumulated"])
def test_on_the_real_small_model(tmp_path: Path, case: str) -> None:
    _assert_equal(tmp_path, recipe(**CASES[case]), _smollm2, budget=300, sampled=True)


def _assert_equal(tmp_path: Path, recipe: Recipe, make: Any, **how: Any) -> None:
    relative = relative_difference(
        _gradients(tmp_path, recipe, make, ours=True, **how),
        _gradients(tmp_path, recipe, make, ours=False),
    )
    print(f"relative difference {relative:.1e}")
    assert relative < 1e-4


@pytest.mark.parametrize("budget", [10_000, 34])
@pytest.mark.parametrize("case", ["off-policy", "kl", "gspo", "truncated kept"])
def test_metrics_are_trls(tmp_path: Path, case: str, budget: int) -> None:
    """But for the entropy, which is that of the rows that train, and means over rows, which parts
    weigh by their tokens.
    """
    chosen = recipe(**CASES[case])
    ours = _logged(tmp_path, chosen, ours=True, budget=budget)
    theirs = _logged(tmp_path, chosen, ours=False)
    assert [record.keys() for record in ours] == [record.keys() for record in theirs]
    compared = {"loss", "grad_norm", "kl", "clip_ratio/low_min", "clip_ratio/high_max"}
    if case != "gspo":
        compared |= {f"clip_ratio/{name}_mean" for name in ("low", "high", "region")}
    for mine, wanted in zip(ours, theirs, strict=True):
        for key in compared & wanted.keys():
            assert mine[key] == pytest.approx(wanted[key], rel=1e-3, abs=1e-6), key
    assert any(record.get("clip_ratio/low_mean") for record in theirs) == (case == "off-policy")
