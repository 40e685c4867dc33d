"""The gradient of one step equals that of TRL's own trainer on the same rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer

from minirl.config import Recipe
from minirl.envs import make_env
from minirl.models.catalogue import resolve_model
from minirl.rundir import RunDir
from minirl.train import logprob_head
from minirl.train.settings import grpo_settings
from minirl.train.stream import TaskStream
from minirl.train.trainer import Trainer

pytestmark = pytest.mark.filterwarnings("ignore:You are using 'rollout_func'")

VOCABULARY, EOS = 100, 2
P, G = 3, 4


def _rollouts(seed: int = 0) -> dict[str, list[Any]]:
    """Ragged prompts and completions, one cut off, environment tokens in between, an idle group."""
    g = torch.Generator().manual_seed(seed)

    def ids(n: int) -> list[int]:
        return torch.randint(4, VOCABULARY, (n,), generator=g).tolist()

    out: dict[str, list[Any]] = {
        k: [] for k in ("prompt_ids", "completion_ids", "logprobs", "env_mask", "score_value")
    }
    for task, prompt_length in enumerate((17, 5, 29)):
        prompt = ids(prompt_length)
        for k in range(G):
            turns = [([*ids(2 + (3 * k + task) % 7), EOS], 1)]
            if k % 2:  # a second turn after what the environment said
                turns += [(ids(4 + k), 0), ([*ids(3), EOS], 1)]
            tokens = [t for turn, _ in turns for t in turn]
            if k == 3:
                tokens = tokens[:-1]  # cut off before its end
            out["prompt_ids"].append(prompt)
            out["completion_ids"].append(tokens)
            out["env_mask"].append([m for turn, m in turns for _ in turn][: len(tokens)])
            out["logprobs"].append([0.0] * len(tokens))
            out["score_value"].append(float(task < 2 and (k + task) % 3 == 0))  # the third is idle
    return out


class _Grab(TrainerCallback):
    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        named = kwargs["model"].named_parameters()
        self.gradients = {n: p.grad.clone() for n, p in named if p.grad is not None}


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


def _model(make: Any) -> Any:
    torch.manual_seed(0)
    model = get_peft_model(make(), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    g = torch.Generator().manual_seed(1)
    for name, p in model.named_parameters():
        if "lora_B" in name:  # a fresh adapter's A gets no gradient, and so could hide an error
            p.data = 0.05 * torch.randn(p.shape, generator=g)
    return model


def _gradients(tmp_path: Path, recipe: Recipe, make: Any, *, ours: bool) -> dict[str, torch.Tensor]:
    """LoRA gradients of the first optimiser step on :func:`_rollouts`."""
    logprob_head.install(torch.device("cpu"))
    run = RunDir(tmp_path / ("ours" if ours else "theirs"))
    settings = grpo_settings(
        recipe,
        output_dir=run.checkpoints / ".partial",
        device=torch.device("cpu"),
        dtype=torch.float32,
        max_turns=2,
    )
    grab = _Grab()
    shared: dict[str, Any] = {
        "model": _model(make),
        "reward_funcs": lambda score_value, **_: score_value,
        "args": GRPOConfig(**settings),
        "train_dataset": Dataset.from_dict({"prompt": ["-"] * P}),
        "processing_class": AutoTokenizer.from_pretrained(resolve_model("tiny").location),
        "rollout_func": lambda prompts, trainer: _rollouts(),
        "callbacks": [grab],
    }
    if ours:
        stream = TaskStream(make_env("arithmetic:2"), recipe.stream, seed=0)
        trainer: Any = Trainer(**shared, run=run, stream=stream, keep=1, shared_prefix=True)
        assert trainer.shares_prefix
    else:
        trainer = GRPOTrainer(**shared)
        if "ref" in trainer.model.peft_config:  # minirl's reference is the base
            trainer.model.delete_adapter("ref")
    trainer.train()
    return grab.gradients


def _recipe(**train: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "env": {"name": "arithmetic:2"},
            "sampling": {"max_tokens": 16, "temperature": 0.9},
            "train": {
                "steps": 1,
                "prompts_per_step": P,
                "group_size": G,
                "max_grad_norm": 1e9,
                **train,
            },
        }
    )


CASES: dict[str, dict[str, Any]] = {
    "dr_grpo": {"loss_type": "dr_grpo"},
    "grpo": {"loss_type": "grpo", "scale_rewards": "group"},
    "dapo": {"loss_type": "dapo", "scale_rewards": "batch"},
    "bnpo": {"loss_type": "bnpo"},
    "cispo": {"loss_type": "cispo"},
    "gspo": {"loss_type": "grpo", "importance_sampling_level": "sequence"},
    "kl": {"loss_type": "dr_grpo", "beta": 0.1},
    "accumulated": {"loss_type": "dapo", "micro_batch": 4},
    "truncated kept": {"loss_type": "dapo", "mask_truncated": False},
    "off-policy": {"loss_type": "grpo", "iterations": 2, "steps": 2, "learning_rate": 1e-2},
}


@pytest.mark.parametrize("case", CASES)
def test_step_gradient_equals_trls(tmp_path: Path, case: str) -> None:
    _assert_equal(tmp_path, _recipe(**CASES[case]), _llama)


@pytest.mark.parametrize("make", [_qwen3, _gemma3])
def test_other_architectures(tmp_path: Path, make: Any) -> None:
    _assert_equal(tmp_path, _recipe(loss_type="dapo"), make)


def _assert_equal(tmp_path: Path, recipe: Recipe, make: Any) -> None:
    ours = _gradients(tmp_path, recipe, make, ours=True)
    theirs = _gradients(tmp_path, recipe, make, ours=False)
    assert ours.keys() == theirs.keys()
    a, b = (torch.cat([x[k].flatten() for k in sorted(x)]) for x in (ours, theirs))
    assert b.norm() > 1e-6
    relative = float((a - b).norm() / b.norm())
    print(f"relative difference {relative:.1e}")
    assert relative < 1e-4
