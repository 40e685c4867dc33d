"""`minirl eval`: base against tuned on held-out tasks, for a run that has been trained."""

from __future__ import annotations

from typing import Annotated

import typer

from minirl.cli import options as o

EXAMPLE = "Example:  minirl eval quickstart --set eval.samples=4 --force"


def command(
    run: o.RunArg,
    overrides: o.Set = None,
    runs: o.Runs = o.RUNS,
    force: Annotated[
        bool, typer.Option("--force", help="Evaluate again, replacing eval.json and samples.jsonl.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Compare base and tuned on the same held-out tasks, with intervals."""
    import time

    from minirl.cli.session import guarded, load, reopen
    from minirl.cli.steps import evaluate_step, interruptible, show_result
    from minirl.errors import ConfigError, RunDirError
    from minirl.measure.tasks import held_out
    from minirl.report.console import notices

    began = time.monotonic()
    session = reopen(run, runs, overrides or [], sections=("eval", "sampling.batch"))
    if not session.run.trained:
        raise RunDirError(
            f"{session.run.path} has no adapter yet",
            fix=f"finish its training: minirl train RECIPE --name {session.run.path.name} --resume",
        )
    if session.run.eval.exists() and not force:
        if overrides:
            raise ConfigError(
                f"{session.run.eval} exists already",
                fix="--force evaluates again with your options",
            )
    else:
        guarded(session.env, "task", held_out, session.env, session.recipe.eval.tasks)
        console = notices()
        kept = "evaluation interrupted; what was there is untouched"
        with session.run.locked(), interruptible(lambda: kept):
            evaluate_step(session, load(session, console, adapter=session.run.adapter), console)
    show_result(session, as_json=as_json, seconds=time.monotonic() - began)
