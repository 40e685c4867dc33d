"""One process of the contract tests: does the same work on one backend, and writes down what came
of it. Unsloth patches transformers, peft and trl for good, so each backend has its own process.

    python worker.py unsloth|transformers DIRECTORY [PART ...]

DIRECTORY holds the models (made by ``small_models.py``) and gets ``BACKEND.pt``: part -> result, or
the traceback of a part that failed. With a card, both backends run on it; without one, Unsloth runs
on the CPU (``unsloth_on_cpu.py``).
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
BACKEND, HOME = sys.argv[1], Path(sys.argv[2])

import torch  # noqa: E402

ON_CARD = torch.cuda.is_available()
if BACKEND == "unsloth":  # before anything below imports transformers
    if ON_CARD:
        from minirl.models.unsloth import import_unsloth

        import_unsloth()
    else:
        import unsloth_on_cpu

        unsloth_on_cpu.enable(str(HOME / "compiled"))

import grpo_batch  # noqa: E402
import pytest  # noqa: E402
from small_models import GROUP, PROMPTS, steps  # noqa: E402

import minirl.models.load as loading  # noqa: E402
import minirl.models.machine as machine  # noqa: E402
from minirl.config import TOKEN_BUDGET, Recipe  # noqa: E402
from minirl.envs import make_env  # noqa: E402
from minirl.models.load import LoadedModel, Use, load_model  # noqa: E402
from minirl.models.machine import Card, Machine, inspect  # noqa: E402
from minirl.models.policy import ModelPolicy  # noqa: E402
from minirl.models.sampler import SamplingParams  # noqa: E402
from minirl.models.supported import supported_versions  # noqa: E402
from minirl.rundir import RunDir, read_json, read_jsonl  # noqa: E402
from minirl.types import Request, Task  # noqa: E402


def _precision() -> str:
    """What the comparison is exact in: 32 bits where there is no card, else what the card has."""
    if not ON_CARD:
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


PRECISION = _precision()


def machine_with_a_card() -> Machine:
    """This machine, if it had a card, and exactly the supported versions: what the contract tests
    try is the code, whatever versions are installed.
    """
    card = Card("a card that is not there", 16 << 30, 16 << 30, (8, 0))
    real = inspect()
    return replace(
        real,
        cards=(card,),
        driver="580.65.06",
        torch_cuda="13.0",
        kernels=("sm_80",),
        packages={**real.packages, **supported_versions()},
    )


def load(model: str, precision: str, four_bits: bool, **train: Any) -> tuple[Recipe, LoadedModel]:
    recipe = grpo_batch.recipe(
        {
            "name": str(HOME / model),
            "backend": BACKEND,
            "precision": precision,
            "load_in_4bit": four_bits,
            "max_seq_length": 256,
        },
        **{"prompts_per_step": len(PROMPTS), "group_size": GROUP, **train},
    )
    use = Use(recipe.sampling, recipe.train.gradient_checkpointing)
    adapter = HOME / f"{model}-adapter"
    return recipe, load_model(recipe.model, seed=0, adapter=adapter, use=use)


def step(model: str, precision: str, four_bits: bool, case: str) -> dict[str, Any]:
    """Loss and adapter gradients of one optimiser step on the fixed batch."""
    from datasets import Dataset

    from minirl.train import logprob_head
    from minirl.train.settings import grpo_config, grpo_settings
    from minirl.train.stream import TaskStream
    from minirl.train.trainer import SharedPrefixTrainer, Trainer

    changes = dict(grpo_batch.CASES[case])
    if "micro_batch" in changes:
        changes["micro_batch"] = GROUP
    recipe, loaded = load(model, precision, four_bits, **changes)
    if BACKEND == "transformers":
        logprob_head.install(loaded.device)
    run = RunDir(Path(tempfile.mkdtemp()) / "run")
    settings = grpo_settings(
        recipe,
        output_dir=run.checkpoints / ".partial",
        device=loaded.device,
        dtype=loaded.dtype,
        max_turns=2,
    )
    grab = grpo_batch.GradientGrab()
    kind: Any = Trainer
    if BACKEND == "transformers":
        budget = recipe.train.token_budget or TOKEN_BUDGET[loaded.device.type]
        kind = partial(SharedPrefixTrainer, token_budget=budget)
    trainer = kind(
        model=loaded.model,
        reward_funcs=lambda score_value, **_: score_value,
        args=grpo_config(settings),
        train_dataset=Dataset.from_dict({"prompt": ["-"] * len(PROMPTS)}),
        processing_class=loaded.tokenizer,
        rollout_func=lambda prompts, trainer: grpo_batch.rollouts(PROMPTS, GROUP),
        callbacks=[grab],
        run=run,
        stream=TaskStream(make_env("arithmetic:2"), recipe.stream, seed=0),
        keep=1,
    )
    trainer.train()
    patched = any(c.__module__.startswith("Unsloth") for c in type(trainer).__mro__)
    gradients = {name: g.float().cpu() for name, g in grab.gradients.items()}
    half = bool(getattr(loaded.model, "_unsloth_forced_float32", False))
    return {"loss": grab.loss, "gradients": gradients, "patched": patched, "half": half}


def sampled(model: str, temperature: float) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
    """What the policy writes after ragged prompts, with and without the adapter."""
    _, loaded = load(model, PRECISION, False)
    task = Task("contract", "train", 0, ())
    requests = [Request(tuple(range(4, 4 + n)), 3, 5 + n % 2, task) for n in (11, 3, 7)]
    out = []
    for use_adapter in (True, False):
        policy = ModelPolicy.of(
            loaded, SamplingParams(temperature), batch=9, use_adapter=use_adapter
        )
        drawn = policy.sample(requests, seed=5)
        out += [(s.ids, s.logprobs) for group in drawn for s in group]
    return out


def scored(model: str) -> list[float]:
    """Errors of the log-probabilities that sampling reported, against a plain forward pass."""
    _, loaded = load(model, PRECISION, False)
    request = [Request(tuple(range(4, 4 + n)), 2, 6, Task("c", "train", 0, ())) for n in (9, 4)]
    policy = ModelPolicy.of(loaded, SamplingParams(0.8), batch=4)
    drawn = policy.sample(request, seed=3)
    errors = []
    for asked, group in zip(request, drawn, strict=True):
        for s in group:
            ids = torch.tensor([[*asked.prompt_ids, *s.ids]], device=loaded.device)
            with torch.no_grad():
                logits = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            logp = torch.log_softmax(logits[0, len(asked.prompt_ids) - 1 : -1].float() / 0.8, -1)
            exact = logp.cpu().gather(1, torch.tensor(s.ids)[:, None])[:, 0]
            errors.append(float((exact - torch.tensor(s.logprobs)).abs().max()))
    return errors


def recipe_file() -> dict[str, Any]:
    """The shipped recipe `tiny` through the command line: a whole run, and one that went no further
    than its first checkpoint and is resumed.
    """
    from minirl.cli.main import main

    changes = {
        "model.backend": BACKEND,
        "train.steps": 2,
        "train.prompts_per_step": 1,
        "train.group_size": 3,
        "train.save_every": 1,
        "train.learning_rate": 1e-2,  # two steps that show
        "stream.resample_rounds": 0,
        "eval.tasks": 3,
    }
    words = ["run", "tiny", "--no-probe", "--json", "--seed", SEED]
    words += ["--runs", str(HOME / f"{BACKEND}-runs")]
    words += [w for key, value in changes.items() for w in ("--set", f"{key}={value}")]
    out = io.StringIO()
    runs = {name: RunDir(HOME / f"{BACKEND}-runs" / name) for name in ("unbroken", "broken")}
    with contextlib.redirect_stdout(out):
        for name, run in runs.items():
            if name == "broken":
                _break_after_step_1(runs["unbroken"].path, run)
            with pytest.raises(SystemExit) as end:
                main([*words, "--name", name, *(["--resume"] if name == "broken" else [])])
            assert end.value.code == 0
    whole = runs["unbroken"]
    return {
        "stdout": out.getvalue(),
        "metrics": {name: read_jsonl(run.metrics) for name, run in runs.items()},
        "rollouts": {name: read_jsonl(run.rollouts) for name, run in runs.items()},
        "samples": {name: read_jsonl(run.samples) for name, run in runs.items()},
        "adapter": sorted(p.name for p in whole.adapter.iterdir()),
        "environment": read_json(whole.environment),
    }


SEED = "2"  # on two cores of ours, both of its steps have groups with signal


def _break_after_step_1(done: Path, run: RunDir) -> None:
    """A copy of a run as it was when its first checkpoint was whole."""
    shutil.copytree(done, run.path)
    for path in (run.adapter, run.checkpoint(2)):
        shutil.rmtree(path)
    for file in (run.eval, run.samples):
        file.unlink()


def configs() -> dict[str, dict[str, str]]:
    """Every field of the trainer's config, for every loss and what interacts with it."""
    from minirl.train.settings import grpo_config, grpo_settings

    found = {}
    for loss, scale, beta, level, mask in itertools.product(
        ("grpo", "dapo", "dr_grpo", "bnpo", "cispo"),
        ("group", "batch", "none"),
        (0.0, 0.05),
        ("token", "sequence"),
        (True, False),
    ):
        recipe = grpo_batch.recipe(
            loss_type=loss,
            scale_rewards=scale,
            beta=beta,
            importance_sampling_level=level,
            mask_truncated=mask,
        )
        settings = grpo_settings(
            recipe,
            output_dir=Path("runs/x/train/checkpoints/.partial"),
            device=torch.device("cpu"),
            dtype=torch.float32,
        )
        with contextlib.redirect_stdout(io.StringIO()):
            config = grpo_config(settings)
        found[f"{loss} {scale} {beta} {level} {mask}"] = {
            k: str(v) for k, v in vars(config).items()
        }
    return found


def parts() -> dict[Any, Callable[[], Any]]:
    todo: dict[Any, Callable[[], Any]] = {"configs": configs, "recipe file": recipe_file}
    for key in steps(precision=PRECISION):
        todo["step", *key] = lambda key=key: step(*key)
    for model in ("llama", "qwen3"):
        todo["greedy", model] = lambda model=model: sampled(model, 0.0)
        todo["drawn", model] = lambda model=model: sampled(model, 1.0)
        todo["scored", model] = lambda model=model: scored(model)
    if BACKEND == "unsloth":
        import triton_kernels

        todo |= triton_kernels.parts()
    return todo


def main() -> None:
    os.chdir(tempfile.mkdtemp())  # what a library drops where it is run lands here
    if BACKEND == "unsloth" and not ON_CARD:
        pretended = machine_with_a_card()
        loading.inspect = machine.inspect = lambda: pretended
    results: dict[Any, Any] = {}
    chosen = sys.argv[3:]
    for key, part in parts().items():
        if chosen and str(key) not in chosen:
            continue
        start = time.perf_counter()
        try:
            results[key] = part()
        except Exception:
            results[key] = {"failed": traceback.format_exc()}
        print(f"{time.perf_counter() - start:6.1f} s  {key}", file=sys.stderr, flush=True)
    results["dropped"] = sorted(p.name for p in Path().iterdir())
    torch.save(results, HOME / f"{BACKEND}.pt")


if __name__ == "__main__":
    main()
