"""From a recipe and a target to a :class:`~minirl.plan.memory.Workload`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from minirl.config import Recipe
from minirl.errors import ConfigError
from minirl.plan.architecture import Architecture
from minirl.plan.fit import budget_of
from minirl.plan.memory import Workload, static
from minirl.plan.models import prequantized
from minirl.plan.target import UNSLOTH_FROM, Precision, Target

OPTIMIZER_STATE = {"adamw_torch": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2}  # bytes a parameter

REPLY = 128  # tokens allowed for each reply of an environment, which no prompt foretells


@dataclass(frozen=True, slots=True)
class Stack:
    """What will run the model on a target."""

    backend: Literal["unsloth", "transformers"]
    engine: Literal["torch", "generate", "vllm"]
    precision: Literal["bf16", "fp16", "fp32"]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the longest prompt, and turns of an episode."""

    prompt: int
    turns: int = 1

    def completion(self, max_tokens: int) -> int:
        """Tokens of the longest episode after its opening, the environment's replies included."""
        return max_tokens * self.turns + REPLY * (self.turns - 1)


def stack_of(recipe: Recipe, target: Target) -> Stack:
    """What the recipe's ``auto`` comes to on the target.

    Raises:
        ConfigError: the recipe asks for what the target cannot do.
    """
    able = target.device == "cuda" and target.capability >= UNSLOTH_FROM
    backend = recipe.model.backend if target.backend == "auto" else target.backend
    if backend == "auto":
        backend = "unsloth" if able else "transformers"
    if backend == "unsloth" and not able:
        raise ConfigError(
            f"model.backend is unsloth, which does not run on {target.name}",
            expected=f"an NVIDIA card from compute capability {'.'.join(map(str, UNSLOTH_FROM))}",
            fix="--set model.backend=auto",
        )
    engine = recipe.sampling.engine if target.engine == "auto" else target.engine
    if engine == "vllm" and backend != "unsloth":
        raise ConfigError(
            f"sampling.engine is vllm, which minirl runs through unsloth, not on {target.name}",
            fix="--set sampling.engine=auto",
        )
    if engine != "vllm":
        engine = "generate" if backend == "unsloth" else "torch"
    return Stack(backend, engine, _precision(recipe.model.precision, target))


def _precision(asked: Precision, target: Target) -> Literal["bf16", "fp16", "fp32"]:
    wanted = asked if asked != "auto" else target.precision
    if wanted != "auto":
        return wanted
    if target.capability >= (8, 0):
        return "bf16"
    half = target.capability >= (7, 0) or target.capability == (6, 0)
    return "fp16" if half else "fp32"


def workload(
    recipe: Recipe,
    arch: Architecture,
    lengths: Lengths,
    target: Target,
    *,
    evaluation: bool = False,
) -> Workload:
    """The workload of the recipe's training, or of its evaluation's sampling.

    Replies count as long as the recipe allows them: a plan for shorter ones would end the first
    time that the model does not.
    """
    stack = stack_of(recipe, target)
    train, sampling = recipe.train, recipe.sampling
    steps_rows = train.prompts_per_step * train.group_size
    rows = train.micro_batch or steps_rows
    number = 4 if stack.precision == "fp32" else 2
    longest = min(recipe.model.max_seq_length or arch.max_positions, arch.max_positions)
    prompt = min(lengths.prompt, longest - 1)
    tried = recipe.eval.tasks * recipe.eval.samples if evaluation else steps_rows
    prompts = recipe.eval.tasks if evaluation else train.prompts_per_step
    sampled = min(sampling.batch, tried)
    budget = budget_of(recipe, backend=stack.backend, device=target.device)
    work = Workload(
        arch=arch,
        stack=stack.backend,
        device=target.device,
        number=number,
        four_bit=recipe.model.load_in_4bit or prequantized(recipe.model.name),
        kept=number,
        lora_r=recipe.model.lora_r,
        targets=recipe.model.lora_targets,
        state=OPTIMIZER_STATE[train.optim],
        rows=rows,
        # TRL shuffles a step's rollouts, so a micro-batch may hold one of each prompt.
        distinct=min(train.prompts_per_step, rows),
        prompt=prompt,
        completion=max(1, min(lengths.completion(sampling.max_tokens), longest - prompt)),
        checkpointing=train.gradient_checkpointing,
        # With attention sinks TRL's own pass runs (models/attention.py).
        shared_prefix=budget is not None and not arch.sinks,
        token_budget=budget or 0,
        records=budget is not None
        and not evaluation
        and rows == steps_rows
        and not train.gradient_checkpointing,
        head="unsloth" if stack.backend == "unsloth" else "chunked",
        engine=stack.engine,
        sampled=sampled,
        sampled_prompts=min(prompts, sampled),
        standby=target.standby or stack.engine != "vllm",
    )
    if stack.engine != "vllm":
        return work
    held = static(work)
    share = int(sampling.gpu_memory_utilization * target.memory)
    return replace(work, pool=max(0, share - held["weights"] - held["quantisation"]))
