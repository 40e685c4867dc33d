"""GRPO on a LoRA adapter: sets TRL up, feeds it from the engine, writes the run directory."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from minirl.config import TOKEN_BUDGET, Recipe
from minirl.envs.base import Environment
from minirl.models.load import LoadedModel
from minirl.models.policy import ModelPolicy
from minirl.models.repeatable import repeatable
from minirl.models.sampler import SamplingParams, TorchSampler
from minirl.models.unsloth import chatter_aside
from minirl.rundir import RunDir, append_jsonl, disk_errors, keep_steps, read_json
from minirl.train import logprob_head
from minirl.train.bridge import RolloutBridge, reward_function
from minirl.train.settings import grpo_config, grpo_settings
from minirl.train.stream import TaskStream
from minirl.train.trainer import SharedPrefixTrainer, Trainer

Listener = Callable[[dict[str, Any]], None]

# TRL's keys that measure time; in metrics.jsonl they stand under "time", apart from what a seed
# decides.
_TIMES = {"step_time"}
_NOT_METRICS = {"epoch"}


class Stopped(KeyboardInterrupt):
    """Training was asked to stop, and has written a checkpoint."""


def train(
    recipe: Recipe,
    run: RunDir,
    loaded: LoadedModel,
    env: Environment[Any],
    *,
    resume: bool = False,
    on_step: Listener | None = None,
    on_rollouts: Callable[[int, int], None] | None = None,
    on_stop: Callable[[], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> None:
    """Train the adapter for ``recipe.train.steps`` steps and save it as ``run.adapter``.

    Args:
        recipe: what to train, and how.
        run: where metrics, rollouts, checkpoints and the adapter go.
        loaded: the model, adapter attached.
        env: the environment.
        resume: go on from the last whole checkpoint, with optimiser, schedule, random state and
            task stream as they were; without one, from the start.
        on_step: called with each record of metrics.jsonl.
        on_rollouts: called with (finished, all) episodes while a step is played.
        on_stop: called when Ctrl-C was heard; the step in progress is still finished.
        on_note: told what the user should know before the first step.

    Raises:
        Stopped: Ctrl-C was pressed; a checkpoint of the last whole step is on disk.
        EnvironmentFault: the environment's code failed.
        RunDirError: the run directory cannot be written.
    """
    from datasets import Dataset

    on_unsloth = loaded.choice.backend == "unsloth"
    if not on_unsloth:
        logprob_head.install(loaded.device)
    sampling = recipe.sampling
    policy = ModelPolicy.of(
        loaded,
        SamplingParams(sampling.temperature, sampling.top_p, sampling.top_k),
        batch=sampling.batch,
    )
    stream = TaskStream(env, recipe.stream, seed=recipe.seed)
    if recipe.stream.strategy == "curriculum" and run.probe.exists():
        stream.begin_from(read_json(run.probe))
    bridge = RolloutBridge(policy, env, stream, recipe, run, on_rollouts)
    checkpoint = _prepare(run, stream, resume=resume)
    settings = grpo_settings(
        recipe,
        output_dir=run.checkpoints / ".partial",
        device=loaded.device,
        dtype=loaded.dtype,
        max_turns=env.max_turns,
        vllm=loaded.choice.engine == "vllm",
    )
    kind: Callable[..., Trainer] = Trainer
    if recipe.train.shared_prefix and not on_unsloth:
        budget = recipe.train.token_budget or TOKEN_BUDGET[loaded.device.type]
        kind = partial(SharedPrefixTrainer, token_budget=budget)
    with _quiet(), chatter_aside() if on_unsloth else nullcontext():
        config = grpo_config(settings)
        stopper = _Stopper(on_stop)
        trainer = kind(
            model=loaded.model,
            reward_funcs=reward_function(env.name, bridge),
            args=config,
            train_dataset=Dataset.from_dict({"prompt": ["-"] * recipe.train.prompts_per_step}),
            processing_class=loaded.tokenizer,
            rollout_func=bridge,
            callbacks=[_Metrics(run, bridge, on_step), stopper],
            run=run,
            stream=stream,
            keep=recipe.train.keep_checkpoints,
        )
        trainer.remove_callback(PrinterCallback)
        recording: AbstractContextManager[None] = nullcontext()
        if isinstance(trainer, SharedPrefixTrainer):
            if on_note and trainer.why_not:
                on_note(f"TRL's own training pass runs, which is slower: {trainer.why_not}")
            if isinstance(policy.sampler, TorchSampler):
                recording = policy.sampler.recording(trainer.kept)
        with stopper.listening(), repeatable(loaded.device), recording:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    shutil.rmtree(run.checkpoints / ".partial", ignore_errors=True)  # TRL makes it at its start
    if stopper.asked:
        raise Stopped
    save_adapter(loaded, run.adapter)


def _prepare(run: RunDir, stream: TaskStream, *, resume: bool) -> Path | None:
    """Bring the run directory to the state of its last whole checkpoint; returns that
    checkpoint.
    """
    shutil.rmtree(run.checkpoints / ".partial", ignore_errors=True)
    steps = run.checkpoint_steps() if resume else []
    last = steps[-1] if steps else 0
    keep_steps(run.metrics, last)
    keep_steps(run.rollouts, last)
    if not steps:
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        return None
    checkpoint = run.checkpoint(last)
    stream.restore(json.loads((checkpoint / "stream.json").read_text(encoding="utf-8")))
    return checkpoint


def save_adapter(loaded: LoadedModel, path: Path) -> None:
    """Save the adapter (and tokenizer) under a hidden name, then rename it into place."""
    partial = path.with_name(f".{path.name}.partial")
    with disk_errors(path):
        shutil.rmtree(partial, ignore_errors=True)
        loaded.model.save_pretrained(partial, selected_adapters=["default"])
        loaded.tokenizer.save_pretrained(partial)
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)


class _Metrics(TrainerCallback):  # type: ignore[misc]
    """Writes a line of metrics.jsonl a step, under TRL's names."""

    def __init__(self, run: RunDir, bridge: RolloutBridge, on_step: Listener | None) -> None:
        self._run = run
        self._bridge = bridge
        self._on_step = on_step
        self._last = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._last = time.perf_counter()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if not logs or "loss" not in logs:  # the summary after the last step
            return
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        bridge = self._bridge.last
        record: dict[str, Any] = {"step": int(state.global_step)}
        record.update({k: _finite(v) for k, v in logs.items() if k not in _TIMES | _NOT_METRICS})
        record["time"] = {
            "step": seconds,
            "rollouts": bridge.seconds,
            "training": seconds - bridge.seconds,
            "tokens_per_second": bridge.tokens / bridge.seconds if bridge.seconds else None,
        }
        append_jsonl(self._run.metrics, [record])
        if self._on_step:
            self._on_step(record)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Stopper(TrainerCallback):  # type: ignore[misc]
    """Ctrl-C ends training after the step in progress, with a checkpoint; a second one ends it at
    once.
    """

    def __init__(self, on_stop: Callable[[], None] | None) -> None:
        self.asked = False
        self._on_stop = on_stop

    @contextmanager
    def listening(self) -> Iterator[None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True
            if self._on_stop:
                self._on_stop()

        try:
            before = signal.signal(signal.SIGINT, handle)
        except ValueError:  # not the main thread, as in a notebook: Ctrl-C is the caller's there
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if self.asked:
            control.should_save = True
            control.should_training_stop = True
        return control


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what TRL and transformers print about choices that are ours (the experimental
    rollout_func, …).
    """
    from transformers.utils import logging

    before = os.environ.get("TRL_EXPERIMENTAL_SILENCE")
    verbosity = logging.get_verbosity()
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", module=r"(trl|transformers|accelerate|peft|torch)(\.|$)"
            )
            yield
    finally:
        logging.set_verbosity(verbosity)
        if before is None:
            del os.environ["TRL_EXPERIMENTAL_SILENCE"]
        else:
            os.environ["TRL_EXPERIMENTAL_SILENCE"] = before
