"""The steps of the loop as the commands run them: train, then evaluate; each writes into the run
directory.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minirl.cli.session import Session
    from minirl.config import Recipe
    from minirl.models.load import LoadedModel
    from minirl.report.console import Output
    from minirl.rundir import RunDir


def run_recipe(
    recipe_name: str,
    *,
    overrides: list[str] | None,
    env: str | None,
    seed: int | None,
    name: str | None,
    runs: Path,
    resume: bool,
    force: bool,
    auto_fit: bool,
    as_json: bool,
    evaluation: bool,
    probe: bool,
    strict: bool,
) -> None:
    """Probe (where asked to), train by a recipe and, with ``evaluation``, compare base and tuned on
    held-out tasks.
    """
    from minirl.cli.session import check, claim, load, read_recipe, run_path
    from minirl.config import find_recipe
    from minirl.report.console import notices
    from minirl.rundir import RunDir

    began = time.monotonic()
    recipe = read_recipe(recipe_name, overrides=overrides or [], env=env, seed=seed)
    run = RunDir(run_path(name or find_recipe(recipe_name).stem, runs))
    session = check(recipe, run, evaluation=evaluation, resume=resume, force=force)
    console = notices()
    with run.locked():
        claim(recipe, run, resume=resume, force=force)  # another process may have been first
        trained = resume and run.trained
        if trained and (not evaluation or run.eval.exists()):
            console.say(f"{run.path}: nothing left to do")
        else:
            if trained:
                with interruptible(lambda: "interrupted before the evaluation; nothing is lost"):
                    loaded = load(session, console, adapter=run.adapter)
            else:
                session, loaded = _train(
                    session,
                    recipe,
                    console,
                    resume=resume,
                    force=force,
                    auto_fit=auto_fit,
                    probe=probe,
                    strict=strict,
                )
            if evaluation and not run.eval.exists():
                again = "the same command with --resume evaluates it"
                with interruptible(lambda: f"evaluation interrupted; the adapter is kept: {again}"):
                    evaluate_step(session, loaded, console)
    show_result(session, as_json=as_json, seconds=time.monotonic() - began)


def _train(
    session: Session,
    stated: Recipe,
    console: Output,
    *,
    resume: bool,
    force: bool,
    auto_fit: bool,
    probe: bool,
    strict: bool,
) -> tuple[Session, LoadedModel]:
    """Load, probe and train; with ``auto_fit``, after memory ran out, go on with less."""
    from minirl.cli.session import (
        describe_machine,
        load,
        only_probed,
        precision_name,
        with_settings,
    )
    from minirl.cli.settle import memory_advised, settle
    from minirl.errors import OutOfMemory
    from minirl.models.memory import peak, release
    from minirl.plan import next_lower
    from minirl.rundir import RunDir, write_json

    run = session.run
    kept = "what was there is untouched" if resume or run.exists else "nothing was written"

    def before() -> str:
        return f"interrupted before the work began; {kept}"

    if resume or (only_probed(run) and not force):
        heed_probe(run, console, strict=strict)  # before a model is loaded for nothing
    while True:
        with interruptible(before), memory_advised(session):
            if not session.settled:
                session = settle(session, console, auto_fit=auto_fit)
            loaded = load(session, console)
        if session.recipe.model.precision == "auto":
            session = with_settings(session, {"model.precision": precision_name(loaded.dtype)})
        if not resume:  # only now: a model that cannot be loaded costs no old run
            config = stated.model_dump(mode="json")
            RunDir.create(
                run.path, recipe_toml=stated.to_toml(), config=config, force=force, keep=not force
            )
        machine = describe_machine(session, loaded)
        write_json(run.environment, machine)
        if probe and not run.begun and not run.probe.exists():
            _probe_first(session, loaded, console)
            heed_probe(run, console, strict=strict)
        try:
            with memory_advised(session):
                train_step(session, loaded, console, resume=resume)
            write_json(run.environment, machine | {"peak_memory": peak(loaded.device)})
            return session, loaded
        except OutOfMemory as error:
            lower = next_lower(
                session.recipe, backend=loaded.choice.backend, device=loaded.choice.device
            )
            if not auto_fit or lower is None or loaded.choice.engine == "vllm":
                raise
            lowered = ", ".join(f"{key} = {value}" for key, value in lower.items())
            console.say(f"warning: {error.message}; going on with {lowered}")
        del loaded
        release()
        session, resume = with_settings(session, lower), True


def _probe_first(session: Session, loaded: LoadedModel, console: Output) -> None:
    from minirl.cli.probe import probe_step
    from minirl.cli.settle import memory_advised

    told = (
        "probe interrupted; what was sampled is kept: the same command goes on, --no-probe leaves "
        "it out"
    )
    with interruptible(lambda: told), memory_advised(session, sampling=True):
        probe_step(session, loaded, console)


def heed_probe(run: RunDir, console: Output, *, strict: bool) -> None:
    """Say what the run's probe found, where there is one; loudly, where it is against training.

    Raises:
        NothingToLearn: it is, and ``strict``.
    """
    from minirl.cli.probe import AGAINST
    from minirl.errors import NothingToLearn
    from minirl.report.probe_table import TITLES
    from minirl.rundir import read_json

    if not run.probe.exists():
        return
    found = read_json(run.probe)
    said = f"{TITLES[found['verdict']]}: {found['reason']}"
    if found["verdict"] not in AGAINST:
        console.say(f"probe: {said}")
        return
    where = "minirl probe RECIPE --levels all finds a level to start at"
    todo = "; ".join([where, *found["recommend"]["why"]])
    if strict:
        raise NothingToLearn(f"the probe is against this training. {said}", fix=todo)
    console.print("\nWARNING: the probe is against this training.", style="bold red")
    console.say(f"{said}\n  fix:      {todo}\n")


@contextlib.contextmanager
def interruptible(told: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C into an ending that says what is on disk and how to go on."""
    from minirl.errors import Interrupted

    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(told()) from stop


def train_step(session: Session, loaded: LoadedModel, console: Output, *, resume: bool) -> None:
    """GRPO with a live view."""
    from minirl.report.console import TrainingView, progress_bar

    recipe, run = session.recipe, session.run

    def stopped() -> str:
        last = max(run.checkpoint_steps(), default=0)
        return (
            f"stopped; the last whole checkpoint is that of step {last} of {recipe.train.steps}\n"
            "  fix:      the same command with --resume (and without --force) goes on from there"
            if last
            else "stopped before the first checkpoint\n"
            "  fix:      the same command with --resume (and without --force) begins again"
        )

    console.say(
        f"training on {session.env.label} for {recipe.train.steps} steps of "
        f"{recipe.train.prompts_per_step} tasks x {recipe.train.group_size} rollouts; "
        f"metrics in {run.metrics}"
    )
    with interruptible(stopped), progress_bar(console) as progress:
        from minirl.train.grpo import train  # takes seconds, in which Ctrl-C may come

        view = TrainingView(console, recipe.train.steps, progress)
        train(
            recipe,
            run,
            loaded,
            session.env,
            resume=resume,
            on_step=view.step,
            on_rollouts=view.rollouts,
            on_stop=view.stopping,
            on_note=lambda note: console.say(f"note: {note}"),
        )


def evaluate_step(session: Session, loaded: LoadedModel, console: Output) -> None:
    """Base against tuned with a progress bar."""
    from minirl.cli.settle import memory_advised
    from minirl.measure.evaluate import evaluate
    from minirl.report.console import progress_bar

    config = session.recipe.eval
    console.say(f"evaluating base and tuned on {config.tasks} held-out tasks")
    with progress_bar(console) as progress, memory_advised(session, sampling=True):
        bars: dict[str, Any] = {}

        def show(policy: str, done: int, total: int) -> None:
            if policy not in bars:
                bars[policy] = progress.add_task(policy, total=total, note="")
            progress.update(bars[policy], completed=done)

        evaluate(session.recipe, loaded, session.env, session.run, on_progress=show)


def show_result(session: Session, *, as_json: bool, seconds: float) -> None:
    """What came of it: a table for people on stdout, or JSON."""
    from minirl.rundir import read_json

    run = session.run
    evaluation = read_json(run.eval) if run.eval.exists() else None
    if as_json:
        record = {"run": str(run.path), "adapter": str(run.adapter), "eval": evaluation}
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        return
    from minirl.report.console import evaluation_table, evaluation_verdict, results
    from minirl.report.text import duration

    console = results()
    if evaluation:
        console.print(evaluation_table(evaluation), markup=False)
        console.say(evaluation_verdict(evaluation))
    taken = read_json(run.environment).get("peak_memory") if run.environment.exists() else None
    memory = f"   peak memory: {taken / 1e9:.1f} GB" if taken else ""
    console.say(f"adapter: {run.adapter}   time: {duration(seconds)}{memory}")
    console.say(f"what training did: minirl prove {run.path}   on a page: minirl report {run.path}")
    console.say(f"take it elsewhere: minirl export {run.path}")
