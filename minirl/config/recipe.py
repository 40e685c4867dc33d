"""A recipe as typed data. The docstring under each field is its help."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LossType = Literal["grpo", "dapo", "dr_grpo", "bnpo", "cispo"]
Tracker = Literal["trackio", "wandb", "tensorboard", "mlflow"]
Names = Annotated[tuple[str, ...], Field(strict=False)]

# `train.token_budget` by device, where nobody says and it fits: on a CPU more tokens at once are
# hardly faster, but prompts that are kept from the rollouts need room.
TOKEN_BUDGET: Mapping[str, int] = {"cpu": 2048, "cuda": 8192}


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        strict=True,  # `true` is no number of steps; a TOML list may be a tuple, field by field
    )


class ModelConfig(_Section):
    name: str = "smollm2-135m"
    """A catalogue name (`minirl models ls`), a local directory, or a hub id."""
    backend: Literal["auto", "unsloth", "transformers"] = "auto"
    """What runs the model. `auto`: unsloth where there is an NVIDIA card that it serves and the
    extra `cuda` is installed, else transformers; `minirl doctor` says which, and why.
    """
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Number format of the weights; `auto` measures what this machine multiplies fastest."""
    load_in_4bit: bool = False
    """Keep the base weights in NF4 (needs the extra `4bit`; works on a CPU too)."""
    thinking: bool = False
    """Let a model that can (Qwen3, SmolLM3) think aloud before it answers; it needs far more
    `sampling.max_tokens`.
    """
    max_seq_length: int | None = Field(None, ge=16)
    """Longest conversation in tokens, prompt and replies included; none means as long as this
    recipe's turns can get.
    """
    lora_r: int = Field(16, ge=1, le=1024)
    """Rank of the LoRA adapter."""
    lora_alpha: int = Field(32, ge=1)
    """LoRA's alpha: the update is scaled by alpha / r."""
    lora_targets: Literal["all-linear"] | Names = "all-linear"
    """Which linear layers get an adapter: `all-linear`, or a list of module names such as
    `["q_proj"]`.
    """


class EnvSection(_Section):
    name: str
    """`NAME`, `NAME:LEVEL`, or a file and a class: `./my_env.py:MyEnv`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The environment's own options (`minirl envs show NAME` lists them)."""

    @field_validator("options")
    @classmethod
    def _finite(cls, options: dict[str, Any]) -> dict[str, Any]:
        json.dumps(options, allow_nan=False, default=str)  # what config.json can hold
        return options


class SamplingConfig(_Section):
    temperature: float = Field(1.0, ge=0.0, le=10.0)
    """Softmax temperature while training; 0 is greedy."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus sampling; 1 is off."""
    top_k: int = Field(0, ge=0)
    """Keep the k likeliest tokens; 0 is off."""
    max_tokens: int = Field(64, ge=1)
    """Longest turn, in tokens; a longer one is cut off."""
    batch: int = Field(64, ge=1)
    """How many sequences are sampled at once; less needs less memory."""
    engine: Literal["auto", "torch", "vllm"] = "auto"
    """What writes the rollouts. `auto`: vLLM where the backend is unsloth, vLLM is installed and
    the card can run it; else the backend's own generation.
    """
    gpu_memory_utilization: float = Field(0.5, gt=0.0, lt=1.0)
    """vLLM's share of the card's memory."""


class TrainConfig(_Section):
    steps: int = Field(30, ge=1)
    """Optimiser steps."""
    prompts_per_step: int = Field(4, ge=1)
    """Tasks (groups) in one step."""
    group_size: int = Field(8, ge=2)
    """G: rollouts of each task. At least 2, since a group's advantages compare its members."""
    micro_batch: int | None = Field(None, ge=1)
    """Rollouts per forward and backward pass, with unsloth or without `shared_prefix`; none means
    as many as fit. Must divide prompts_per_step x group_size. Elsewhere `token_budget` bounds the
    memory, and a smaller batch tears apart rollouts that begin alike: leave it open.
    """
    token_budget: int | None = Field(None, ge=1)
    """Tokens per forward and backward pass of the transformers backend with `shared_prefix`, those
    that rollouts share counted once: less needs less memory. Prompts kept from the rollouts, on a
    CPU, are among them. One rollout may exceed it. None means as many as fit, at most 2048 on a CPU
    and 8192 on a card.
    """
    learning_rate: float = Field(5e-5, gt=0)
    """Peak learning rate of the adapter."""
    schedule: Literal["constant", "constant_with_warmup", "linear", "cosine"] = "constant"
    """Learning-rate schedule."""
    warmup_steps: int = Field(0, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's weight decay on the adapter."""
    optim: Literal["adamw_torch", "adamw_8bit", "paged_adamw_8bit"] = "adamw_torch"
    """AdamW's states in 32 or in 8 bits (these need the extra `4bit`)."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Clip the gradient's norm to this."""
    loss_type: LossType = "dr_grpo"
    """TRL's name of the loss."""
    scale_rewards: Literal["group", "batch", "none"] = "none"
    """Divide advantages by the standard deviation of the group, of the batch, or not at all."""
    beta: float = Field(0.0, ge=0)
    """Weight of the KL penalty against the base model."""
    epsilon: float = Field(0.2, gt=0)
    """Lower clipping bound of the probability ratio (matters only off-policy)."""
    epsilon_high: float | None = Field(None, gt=0)
    """Upper clipping bound; none means TRL's habit for the loss: .28 for dapo, 5 for cispo, else
    epsilon.
    """
    importance_sampling_level: Literal["token", "sequence"] = "token"
    """`sequence` with loss_type `grpo` is GSPO."""
    iterations: int = Field(1, ge=1)
    """Optimiser passes over each batch of rollouts (TRL's num_iterations)."""
    mask_truncated: bool = True
    """Leave rollouts that hit the token limit out of the loss."""
    shared_prefix: bool = True
    """Compute once what rollouts begin with alike, and leave out those without advantage (the same
    gradient, less work). Off: TRL's own pass.
    """
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, slower. With unsloth, its own kind,
    which keeps them in the machine's memory.
    """
    save_every: int = Field(10, ge=1)
    """Write a checkpoint every so many steps (and at the end)."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many checkpoints stay on disk."""
    rewards: Literal["verifier", "coin"] = "verifier"
    """`coin` trains on coin flips instead of the verifier's scores: the control that shows how much
    of a gain is form (`minirl prove --random-reward`).
    """
    report_to: Annotated[tuple[Tracker, ...], Field(strict=False)] = ()
    """TRL's trackers to report to besides metrics.jsonl."""


class StreamConfig(_Section):
    strategy: Literal["uniform", "curriculum"] = "uniform"
    """`uniform` takes train tasks in order; `curriculum` prefers those whose solved rate looks
    nearest 1/2.
    """
    pool: int = Field(256, ge=1)
    """How many tasks the curriculum chooses among."""
    resample_rounds: int = Field(1, ge=0)
    """How often groups without signal (all rewards equal) are replaced in one step; 0 keeps
    them.
    """


class EvalConfig(_Section):
    tasks: int = Field(200, ge=1)
    """Held-out tasks, the same ones for base and tuned."""
    samples: int = Field(1, ge=1)
    """Samples a task."""
    temperature: float = Field(1.0, ge=0.0, le=10.0)
    """Temperature of the evaluation; 0 is greedy."""


class ProbeConfig(_Section):
    groups: int = Field(256, ge=24, multiple_of=8)
    """Most groups of `train.group_size` rollouts to play; it stops where the answer is clear."""
    screen: int = Field(32, ge=1)
    """Where there is little to reinforce, go on to so many samples of a task that nothing solved,
    and then
    """
    escalate: int = Field(300, ge=1)
    """to so many: none of 300 solved means less than 1 %, with 95 % confidence."""
    escalate_tasks: int = Field(1, ge=0)
    """How many such tasks; 0 leaves that out."""


class ProveConfig(_Section):
    tasks: int = Field(100, ge=2)
    """Held-out tasks, the same ones for every policy."""
    samples: int = Field(64, ge=2)
    """Samples a task and policy; the largest k of pass@k."""
    temperature: float = Field(1.0, gt=0.0, le=10.0)
    """Temperature of the samples."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus sampling; 1 is off."""
    checkpoint_samples: int = Field(8, ge=0)
    """Samples a task for each checkpoint on disk (`train.keep_checkpoints`) and for a run that was
    trained on coin flips; 0 leaves checkpoints out.
    """
    regressions: Names = ()
    """Environments on which nothing should be lost (`NAME:LEVEL`); empty chooses sibling levels and
    one that is unrelated.
    """
    regression_tasks: int = Field(50, ge=0)
    """Tasks of each of them; 0 leaves them out."""
    regression_samples: int = Field(4, ge=1)
    """Samples of each of those tasks and policy."""


class Recipe(_Section):
    """One run, whole."""

    description: str = ""
    """What it trains, on what hardware, for how long, and what to expect."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seeds tasks, sampling and the adapter's start."""
    env: EnvSection
    model: ModelConfig = Field(default_factory=ModelConfig)
    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    stream: StreamConfig = Field(default_factory=StreamConfig)
    eval: EvalConfig = Field(default_factory=EvalConfig)
    probe: ProbeConfig = Field(default_factory=ProbeConfig)
    prove: ProveConfig = Field(default_factory=ProveConfig)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        rows = self.train.prompts_per_step * self.train.group_size
        micro = self.train.micro_batch
        if micro is not None and rows % micro:
            fits = next(d for d in range(min(micro, rows), 0, -1) if rows % d == 0)
            raise ValueError(
                f"train.micro_batch: {micro} does not divide a step's {rows} rollouts "
                f"(prompts_per_step {self.train.prompts_per_step} x "
                f"group_size {self.train.group_size}); the next smaller that does: {fits}"
            )
        if self.sampling.temperature == 0:
            raise ValueError(
                "sampling.temperature: 0 makes every rollout of a group the same, so nothing can "
                "be learned; use 1.0 (evaluation has its own eval.temperature)"
            )
        return self

    def to_toml(self) -> str:
        """The whole recipe, defaults included, as TOML that :func:`load_recipe` reads back."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))
