"""minirl's side of `benchmarks.grpo`: the real :func:`minirl.train.grpo.train`, a step at a time.

python -m benchmarks.minirl_grpo ORDER   (benchmarks.grpo starts it)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.worker import Step, Worker, digest, facts, idle_share, mean, peak_bytes
from minirl.config import Recipe
from minirl.envs import make_env
from minirl.models.chat import ChatCodec
from minirl.models.load import Use, load_model
from minirl.rundir import RunDir, read_jsonl
from minirl.train.grpo import train


def main() -> None:
    worker = Worker()
    recipe = Recipe.model_validate_json(worker.order["recipe"])
    env = make_env(recipe.env.name, recipe.env.options)
    use = Use(recipe.sampling, recipe.train.gradient_checkpointing)
    loaded = load_model(recipe.model, seed=recipe.seed, use=use)
    codec = ChatCodec(loaded.tokenizer, thinking=loaded.thinking)
    device = loaded.device.type
    worker.ready(**facts(device, str(loaded.dtype).removeprefix("torch.")))
    run = RunDir(Path(worker.order["folder"]))

    def on_step(record: dict[str, Any]) -> None:
        seconds = worker.elapsed()
        played = [r for r in read_jsonl(run.rollouts) if r["step"] == record["step"]]
        trained = [r for r in played if r["trained"]]
        tasks = tuple(int(r["task"].rpartition("/")[2]) for r in trained)
        prompts = [codec.encode_open(env.task("train", i).prompt) for i in tasks]
        g = recipe.train.group_size
        first = played[: len(trained)]  # as the stream drew them
        worker.report(
            Step(
                seconds=seconds,
                rollouts=record["time"]["rollouts"],
                written=sum(r["tokens"] for r in played),
                row_tokens=sum(map(len, prompts)) + sum(len(r["loss_mask"]) for r in trained),
                rows=len(trained),
                prompt_tokens=mean([len(p) for p in prompts]),
                reward=mean([r["value"] for r in first]),
                solved=mean([r["solved"] for r in first]),
                idle=idle_share([r["value"] for r in trained], g),
                peak_bytes=peak_bytes(device),
                tasks=tasks[::g],
                prompts=digest(prompts[::g]),
            )
        )
        worker.wait()

    worker.wait()
    train(recipe, run, loaded, env, on_step=on_step)


if __name__ == "__main__":
    main()
