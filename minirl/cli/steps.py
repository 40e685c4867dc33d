"""The steps of the loop as the commands run them: train, then evaluate; each writes into the run
directory.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from minirl.cli.session import Session
    from minirl.models.load import LoadedModel


def stderr_console() -> Console:
    """Progress goes to stderr, so that stdout holds results alone."""
    from rich.console import Console

    return Console(stderr=True)


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
    as_json: bool,
    evaluation: bool,
) -> None:
    """Train by a recipe and, with ``evaluation``, compare base and tuned on held-out tasks."""
    from minirl.cli.session import load, read_recipe, run_path, start

    began = time.monotonic()
    recipe = read_recipe(recipe_name, overrides=overrides or [], env=env, seed=seed)
    path = run_path(name or Path(recipe_name).stem, runs)
    session = start(recipe, path, resume=resume, force=force, needs_eval=evaluation)
    console = stderr_console()
    with session.run.locked():
        trained = session.run.trained
        if trained and (not evaluation or session.run.eval.exists()):
            console.print(f"{path}: nothing left to do", highlight=False, markup=False)
        else:
            loaded = load(session, console, adapter=session.run.adapter if trained else None)
            if not trained:
                train_step(session, loaded, console, resume=resume)
            if evaluation and not session.run.eval.exists():
                evaluate_step(session, loaded, console)
    show_result(session, as_json=as_json, seconds=time.monotonic() - began)


def train_step(session: Session, loaded: LoadedModel, console: Console, *, resume: bool) -> None:
    """GRPO with a live view."""
    from minirl.report.console import TrainingView, progress_bar
    from minirl.train.grpo import Stopped, train

    recipe, run = session.recipe, session.run
    console.print(
        f"training on {session.env.label} for {recipe.train.steps} steps of "
        f"{recipe.train.prompts_per_step} tasks x {recipe.train.group_size} rollouts; "
        f"metrics in {run.metrics}",
        highlight=False,
        markup=False,
    )
    with progress_bar(console) as progress:
        view = TrainingView(console, recipe.train.steps, progress)
        try:
            train(
                recipe,
                run,
                loaded,
                session.env,
                resume=resume,
                on_step=view.step,
                on_rollouts=view.rollouts,
            )
        except Stopped:
            done = run.checkpoint_steps()[-1]
            raise Stopped(
                f"stopped after step {done} of {recipe.train.steps}; the same command with "
                "--resume goes on from there"
            ) from None


def evaluate_step(session: Session, loaded: LoadedModel, console: Console) -> None:
    """Base against tuned with a progress bar."""
    from minirl.measure.evaluate import evaluate
    from minirl.report.console import progress_bar

    config = session.recipe.eval
    console.print(
        f"evaluating base and tuned on {config.tasks} held-out tasks", highlight=False, markup=False
    )
    with progress_bar(console) as progress:
        bars: dict[str, Any] = {}

        def show(policy: str, done: int, total: int) -> None:
            bar = bars.setdefault(policy, progress.add_task(policy, total=total, note=""))
            progress.update(bar, completed=done)

        evaluate(session.recipe, loaded, session.env, session.run, on_progress=show)


def show_result(session: Session, *, as_json: bool, seconds: float) -> None:
    """What came of it: a table for people on stdout, or JSON."""
    run = session.run
    evaluation = json.loads(run.eval.read_text(encoding="utf-8")) if run.eval.exists() else None
    if as_json:
        record = {"run": str(run.path), "adapter": str(run.adapter), "eval": evaluation}
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        return
    from rich.console import Console

    from minirl.report.console import evaluation_table, evaluation_verdict
    from minirl.report.text import duration

    console = Console()
    if evaluation:
        console.print(evaluation_table(evaluation), markup=False)
        console.print(evaluation_verdict(evaluation), highlight=False, markup=False)
    console.print(
        f"adapter: {run.adapter}   time: {duration(seconds)}", highlight=False, markup=False
    )
