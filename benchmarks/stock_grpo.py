"""The stock side of `benchmarks.grpo`: a TRL script as TRL's documentation shows one.

    python -m benchmarks.stock_grpo ORDER   (benchmarks.grpo starts it)

A dataset of chat messages, a reward function, a ``GRPOConfig``, a ``LoraConfig`` and a
``GRPOTrainer``. Every setting that minirl makes is made here to the same value, and nothing else is
changed, but for two things. TRL 1.15's head for log-probabilities is a Triton kernel and runs on
CUDA only: elsewhere minirl's stands in for it, without which there would be nothing to compare. And
the model is told what ends a turn, as minirl tells it, for its tokenizer does not say so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from benchmarks.worker import Step, Worker, digest, facts, idle_share, mean, peak_bytes
from minirl.config import Recipe
from minirl.envs import Environment, make_env, task_rng
from minirl.models import stock
from minirl.models.catalogue import resolve_model
from minirl.models.load import set_special_tokens
from minirl.train import logprob_head
from minirl.train.stream import TaskStream

EPSILON_HIGH = {"dapo": 0.28, "cispo": 5.0}  # where the recipe leaves it to the loss


def grpo_config(recipe: Recipe, folder: str, device: str, dtype: str) -> GRPOConfig:
    """The recipe in TRL's words."""
    t, s = recipe.train, recipe.sampling
    rows = t.prompts_per_step * t.group_size
    micro = t.micro_batch or rows
    return GRPOConfig(
        output_dir=folder,
        seed=recipe.seed,
        max_steps=t.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=rows // micro,
        num_generations=t.group_size,
        num_iterations=t.iterations,
        shuffle_dataset=False,
        max_completion_length=s.max_tokens,
        temperature=s.temperature,
        top_p=s.top_p,
        top_k=s.top_k,
        learning_rate=t.learning_rate,
        lr_scheduler_type=t.schedule,
        warmup_steps=t.warmup_steps,
        weight_decay=t.weight_decay,
        optim=t.optim,
        max_grad_norm=t.max_grad_norm,
        loss_type=t.loss_type,
        scale_rewards=t.scale_rewards,
        beta=t.beta,
        epsilon=t.epsilon,
        epsilon_high=t.epsilon_high or EPSILON_HIGH.get(t.loss_type, t.epsilon),
        importance_sampling_level=t.importance_sampling_level,
        mask_truncated_completions=t.mask_truncated,
        gradient_checkpointing=t.gradient_checkpointing,
        use_cpu=device == "cpu",
        bf16=dtype == "bfloat16",
        fp16=device == "cuda" and dtype == "float16",
        logging_steps=1,
        disable_tqdm=True,
        report_to="none",
        save_strategy="no",
    )


class Notes:
    """What the step in progress has seen."""

    def __init__(self) -> None:
        self.rollouts = 0.0
        self.prompts: list[list[int]] = []
        self.completions: list[list[int]] = []
        self.rewards: list[float] = []
        self.solved: list[bool] = []
        self.tasks: list[int] = []


class WatchedTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer with a clock around its rollouts: it writes, and it scores."""

    notes: Notes

    def _generate(self, prompts: list[Any]) -> Any:
        start = time.perf_counter()
        out = super()._generate(prompts)
        self.notes.rollouts += time.perf_counter() - start
        self.notes.prompts += out[0]
        self.notes.completions += out[1]
        return out

    def _calculate_rewards(self, *args: Any) -> Any:
        start = time.perf_counter()
        out = super()._calculate_rewards(*args)
        self.notes.rollouts += time.perf_counter() - start
        return out


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Tells of each step, and waits for the next."""

    def __init__(self, worker: Worker, trainer: WatchedTrainer, device: str) -> None:
        self._worker = worker
        self._trainer = trainer
        self._device = device

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if "loss" not in logs:  # the summary after the last step
            return
        seconds = self._worker.elapsed()
        seen, g = self._trainer.notes, args.num_generations
        self._trainer.notes = Notes()
        written = sum(map(len, seen.completions))
        self._worker.report(
            Step(
                seconds=seconds,
                rollouts=seen.rollouts,
                written=written,
                row_tokens=sum(map(len, seen.prompts)) + written,
                rows=len(seen.prompts),
                prompt_tokens=mean([len(p) for p in seen.prompts]),
                reward=mean(seen.rewards),
                solved=mean(seen.solved),
                idle=idle_share(seen.rewards, g),
                peak_bytes=peak_bytes(self._device),
                tasks=tuple(seen.tasks[::g]),
                prompts=digest(seen.prompts[::g]),
            )
        )
        self._worker.wait()


def dataset(recipe: Recipe, env: Environment[Any]) -> Dataset:
    """The prompts of all steps, in the order in which minirl's stream draws them."""
    stream = TaskStream(env, recipe.stream, seed=recipe.seed)
    tasks = [
        task
        for step in range(recipe.train.steps)
        for task in stream.draw(recipe.train.prompts_per_step, step=step + 1)
    ]
    return Dataset.from_dict(
        {
            "prompt": [[m.as_dict() for m in task.prompt] for task in tasks],
            "index": [task.index for task in tasks],
            "step": [i // recipe.train.prompts_per_step + 1 for i in range(len(tasks))],
        }
    )


def main() -> None:
    worker = Worker()
    recipe = Recipe.model_validate_json(worker.order["recipe"])
    device, dtype = worker.order["device"], worker.order["dtype"]
    env = make_env(recipe.env.name, recipe.env.options)
    where = resolve_model(recipe.model.name).location
    tokenizer = stock.load_tokenizer(recipe.model, where)
    model = AutoModelForCausalLM.from_pretrained(where, dtype=getattr(torch, dtype)).to(device)
    set_special_tokens(model, tokenizer)
    logprob_head.install(torch.device(device))
    worker.ready(**facts(device, dtype))
    targets = recipe.model.lora_targets

    def reward(
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        index: Sequence[int],
        step: Sequence[int],
        **_: Any,
    ) -> list[float]:
        tasks = [env.task("train", i) for i in index]
        scores = env.score_many(
            [(task, c[0]["content"]) for task, c in zip(tasks, completions, strict=True)]
        )
        whole = [ids[-1] in trainer.eos_token_ids for ids in completion_ids]
        solved = [s.solved and w for s, w in zip(scores, whole, strict=True)]
        if recipe.train.rewards == "coin":
            values = coins(recipe, [task.id for task in tasks], step[0])
        else:  # what was cut off is not solved, as minirl's engine has it
            values = [s.value * w for s, w in zip(scores, whole, strict=True)]
        trainer.notes.rewards += values
        trainer.notes.solved += solved
        trainer.notes.tasks += index
        return values

    worker.wait()
    trainer = WatchedTrainer(
        model=model,
        reward_funcs=reward,
        args=grpo_config(recipe, worker.order["folder"], device, dtype),
        train_dataset=dataset(recipe, env),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=recipe.model.lora_r,
            lora_alpha=recipe.model.lora_alpha,
            lora_dropout=0.0,
            target_modules=targets if isinstance(targets, str) else list(targets),
        ),
    )
    trainer.notes = Notes()
    trainer.add_callback(Reporter(worker, trainer, device))
    trainer.train()


def coins(recipe: Recipe, tasks: Sequence[str], step: int) -> list[float]:
    """The coin flips that minirl's side gets (`minirl.train.coin`), for rows of whole groups."""
    g = recipe.train.group_size
    return [
        float(rng.random() < 0.5)
        for task in tasks[::g]
        for rng in [task_rng("coin", recipe.seed, step, 0, task)]
        for _ in range(g)
    ]


if __name__ == "__main__":
    main()
