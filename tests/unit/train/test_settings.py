"""Every GRPO field is explicit, and recipes arrive under TRL's names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import transformers
from trl import GRPOConfig

from minirl.config import Recipe
from minirl.train.settings import DEPRECATED, grpo_settings

CPU = torch.device("cpu")
# What Unsloth's patched config changes among the fields that TrainingArguments defines.
CHANGED_BY_UNSLOTH = {
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "optim",
    "warmup_steps",
    "weight_decay",
    "seed",
    "lr_scheduler_type",
    "max_grad_norm",
    "bf16",
    "fp16",
    "save_steps",
    "logging_steps",
    "report_to",
}


def _recipe(**train: object) -> Recipe:
    return Recipe.model_validate({"env": {"name": "arithmetic"}, "train": train})


def _settings(recipe: Recipe, **changes: object) -> dict[str, object]:
    options = {"output_dir": Path("r/train/checkpoints/.partial"), "device": CPU}
    return grpo_settings(recipe, dtype=torch.float32, **{**options, **changes})  # type: ignore[arg-type]


def test_every_field_that_grpo_adds_is_explicit() -> None:
    inherited = {f.name for f in dataclasses.fields(transformers.TrainingArguments)}
    own = {f.name for f in dataclasses.fields(GRPOConfig)} - inherited
    assert own - DEPRECATED <= set(_settings(_recipe()))
    assert set(_settings(_recipe())) >= CHANGED_BY_UNSLOTH


@pytest.mark.parametrize("loss", ["grpo", "dapo", "dr_grpo", "bnpo", "cispo"])
def test_trl_accepts_each_loss_and_keeps_what_was_asked(loss: str) -> None:
    recipe = _recipe(loss_type=loss, prompts_per_step=3, group_size=4, micro_batch=6, steps=7)
    config = GRPOConfig(**_settings(recipe))
    assert (config.loss_type, config.max_steps, config.num_generations) == (loss, 7, 4)
    assert (config.generation_batch_size, config.steps_per_generation) == (12, 2)
    assert config.epsilon_high == {"dapo": 0.28, "cispo": 5.0}.get(loss, 0.2)
    assert config.mask_truncated_completions is True
    assert config.scale_rewards == "none"


def test_an_explicit_epsilon_high_wins() -> None:
    assert _settings(_recipe(loss_type="dapo", epsilon_high=0.4))["epsilon_high"] == 0.4


def test_longest_completion_covers_all_turns() -> None:
    recipe = Recipe.model_validate({"env": {"name": "x"}, "sampling": {"max_tokens": 10}})
    assert _settings(recipe, max_turns=3)["max_completion_length"] == 30


@pytest.mark.parametrize(
    ("dtype", "bf16", "fp16"),
    [(torch.bfloat16, True, False), (torch.float16, False, True), (torch.float32, False, False)],
)
def test_mixed_precision_follows_the_weights_and_fp16_needs_cuda(
    dtype: torch.dtype, bf16: bool, fp16: bool
) -> None:
    out = Path("r/train/checkpoints/.partial")
    cuda = grpo_settings(_recipe(), output_dir=out, device=torch.device("cuda"), dtype=dtype)
    cpu = grpo_settings(_recipe(), output_dir=out, device=CPU, dtype=dtype)
    assert (cuda["bf16"], cuda["fp16"], cuda["use_cpu"]) == (bf16, fp16, False)
    assert (cpu["bf16"], cpu["fp16"], cpu["use_cpu"]) == (bf16, False, True)
