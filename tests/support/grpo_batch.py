"""One fixed batch of rollouts, and the settings under which its gradient is compared: minirl's
against TRL's (``tests/unit/train``) and Unsloth's against minirl's (``tests/cuda``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import TrainerCallback

from minirl.config import Recipe

VOCABULARY, EOS = 100, 2
P, G = 3, 4
PROMPTS = (17, 5, 29)


def rollouts(prompts: Sequence[int] = PROMPTS, group: int = G) -> dict[str, list[Any]]:
    """Ragged prompts and completions, one cut off, environment tokens in between; with three
    prompts, an idle group.

    Args:
        prompts: their lengths in tokens.
        group: rollouts of each.
    """
    g = torch.Generator().manual_seed(0)

    def ids(n: int) -> list[int]:
        return torch.randint(4, VOCABULARY, (n,), generator=g).tolist()

    out: dict[str, list[Any]] = {
        k: [] for k in ("prompt_ids", "completion_ids", "logprobs", "env_mask", "score_value")
    }
    for task, prompt_length in enumerate(prompts):
        prompt = ids(prompt_length)
        for k in range(group):
            turns = [([*ids(2 + (3 * k + task) % 7), EOS], 1)]
            if k % 2:  # a second turn after what the environment said
                turns += [(ids(4 + k), 0), ([*ids(3), EOS], 1)]
            tokens = [t for turn, _ in turns for t in turn]
            if k == group - 1:
                tokens = tokens[:-1]  # cut off before its end
            out["prompt_ids"].append(prompt)
            out["completion_ids"].append(tokens)
            out["env_mask"].append([m for turn, m in turns for _ in turn][: len(tokens)])
            out["logprobs"].append([0.0] * len(tokens))
            out["score_value"].append(float(task < 2 and (k + task) % 3 == 0))  # the third is idle
    return out


class GradientGrab(TrainerCallback):
    """Keeps the gradients and the loss of the last optimiser step."""

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}
        self.loss = float("nan")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        named = kwargs["model"].named_parameters()
        self.gradients = {n: p.grad.clone() for n, p in named if p.grad is not None}

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any
    ) -> None:
        self.loss = float(logs.get("loss", self.loss))


def recipe(model: dict[str, Any] | None = None, **train: Any) -> Recipe:
    """A recipe of one step on :func:`rollouts`; ``model`` and ``train`` change its sections."""
    return Recipe.model_validate(
        {
            "env": {"name": "arithmetic:2"},
            "model": model or {},
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
    "dr_grpo scaled": {"loss_type": "dr_grpo", "scale_rewards": "group"},
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


def joined(gradients: dict[str, torch.Tensor]) -> torch.Tensor:
    """All of them as one vector, in the order of their names."""
    return torch.cat([gradients[k].flatten().float() for k in sorted(gradients)])


def relative_difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """|ours - theirs| / |theirs|, over the whole adapter; both must name the same weights."""
    assert ours.keys() == theirs.keys()
    a, b = joined(ours), joined(theirs)
    assert b.norm() > 1e-6
    return float((a - b).norm() / b.norm())
