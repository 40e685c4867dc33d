"""`minirl eval`: base against tuned on held-out tasks, for a run that has been trained; or a served
model by itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minirl.cli import options as o

if TYPE_CHECKING:
    from minirl.cli.served import Served
    from minirl.cli.session import Session
    from minirl.config import Recipe
    from minirl.report.console import Output

EXAMPLE = (
    "Example:  minirl eval quickstart --set eval.samples=4 --force\n\n"
    "A served model:  minirl eval quickstart --endpoint http://localhost:8000 --model NAME"
)


def command(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|RECIPE", help="A trained run; with --endpoint, a recipe, for its tasks."
        ),
    ],
    overrides: o.Set = None,
    env: o.Env = None,
    seed: o.Seed = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="With --endpoint: the run's name; RECIPE-MODEL without it."),
    ] = None,
    runs: o.Runs = o.RUNS,
    force: Annotated[
        bool, typer.Option("--force", help="Evaluate again, replacing eval.json and samples.jsonl.")
    ] = False,
    endpoint: o.Endpoint = None,
    model: o.Model = None,
    concurrency: o.Concurrency = o.CONCURRENCY,
    choices: o.Choices = o.CHOICES,
    timeout: o.Timeout = o.TIMEOUT,
    retries: o.Retries = o.RETRIES,
    max_requests: o.MaxRequests = None,
    max_tokens_total: o.MaxTokensTotal = None,
    max_cost: o.MaxCost = None,
    price_in: o.PriceIn = None,
    price_out: o.PriceOut = None,
    as_json: o.Json = False,
) -> None:
    """Compare base and tuned on the same held-out tasks, with intervals; or measure a served model
    on them.
    """
    from minirl.cli.served import served_model
    from minirl.cli.session import read_recipe
    from minirl.config import find_recipe
    from minirl.errors import ConfigError

    served = served_model(
        endpoint,
        model,
        concurrency=concurrency,
        choices=choices,
        timeout=timeout,
        retries=retries,
        max_requests=max_requests,
        max_tokens_total=max_tokens_total,
        max_cost=max_cost,
        price_in=price_in,
        price_out=price_out,
    )
    if served:
        recipe = served.recipe(read_recipe(run, overrides=overrides or [], env=env, seed=seed))
        place = name or served.run_name(find_recipe(run).stem)
        _evaluate_served(recipe, served, place, runs, force=force, as_json=as_json)
        return
    for option, value in (("--env", env), ("--seed", seed), ("--name", name)):
        if value is not None:
            raise ConfigError(
                f"{option} goes with --endpoint: a run keeps what it was trained with",
                fix="leave it out",
            )
    _evaluate_run(run, overrides or [], runs, force=force, as_json=as_json)


def _evaluate_run(
    run: str, overrides: list[str], runs: Path, *, force: bool, as_json: bool
) -> None:
    import time

    from minirl.cli.session import guarded, load, reopen
    from minirl.cli.steps import evaluate_step, interruptible, show_result
    from minirl.errors import ConfigError, RunDirError
    from minirl.measure.tasks import held_out
    from minirl.report.console import notices

    began = time.monotonic()
    session = reopen(run, runs, overrides, sections=("eval", "sampling.batch"))
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


def _evaluate_served(
    recipe: Recipe, served: Served, name: str, runs: Path, *, force: bool, as_json: bool
) -> None:
    from minirl.cli.session import Session, guarded, open_env, run_path
    from minirl.cli.steps import interruptible
    from minirl.measure.tasks import held_out
    from minirl.report.console import notices
    from minirl.rundir import RunDir

    env = open_env(recipe)
    guarded(env, "task", held_out, env, recipe.eval.tasks)
    session = Session(recipe, RunDir(run_path(name, runs)), env)
    console = notices()
    with session.run.locked():
        _claim_served(session, force=force)
        if session.run.eval.exists() and not force:
            console.say(f"{session.run.eval} is there already; --force evaluates again")
        else:
            kept = "interrupted; what was answered is kept: the same command goes on"
            with interruptible(lambda: kept):
                _ask(session, served, console, force=force)
    _show_served(session, as_json=as_json)


def _claim_served(session: Session, *, force: bool) -> None:
    """Check that the run may hold this evaluation; changes nothing.

    Raises:
        RunDirError: something else is in the way.
        ConfigError: it holds a probe, or an evaluation, of another recipe or model.
    """
    from minirl.cli.served import EVAL_ANSWERS
    from minirl.cli.session import differences, only_probed
    from minirl.errors import ConfigError, RunDirError

    run = session.run
    if not run.exists:
        run.ensure_free(force=False)
        return
    if run.begun:
        raise RunDirError(
            f"{run.path} has been trained; it is evaluated without --endpoint",
            fix="choose another --name for the served model",
        )
    going_on = not force and (run.eval.exists() or (run.path / EVAL_ANSWERS).exists())
    stored, asked = run.read_config(), session.recipe.model_dump(mode="json")
    counts = {"env", "model", "sampling", "seed"} if going_on or only_probed(run) else set()
    counts |= {"eval"} if going_on else set()
    counts |= {"probe", "train"} if only_probed(run) else set()
    changed = [
        f"{key}: {old!r} in the run, {new!r} now"
        for key, old, new in differences(
            {k: stored[k] for k in counts}, {k: asked[k] for k in counts}
        )
    ]
    if changed:
        raise ConfigError(
            f"{run.path} is of another recipe:\n" + "\n".join(f"  - {line}" for line in changed),
            fix="choose another --name"
            + ("" if only_probed(run) else ", or --force to start anew"),
        )


def _ask(session: Session, served: Served, console: Output, *, force: bool) -> None:
    """Ask the server, and write eval.json."""
    from minirl.cli.served import (
        EVAL_ANSWERS,
        answers_kept,
        describe_client,
        endpoint_record,
        watched,
    )
    from minirl.endpoint import Sampling
    from minirl.measure.served import evaluate_alone
    from minirl.report.console import progress_bar
    from minirl.rundir import RunDir, write_json

    run, recipe = session.run, session.recipe
    if force:
        for path in (run.eval, run.samples, run.path / EVAL_ANSWERS):
            path.unlink(missing_ok=True)
    config = recipe.model_dump(mode="json")
    RunDir.create(
        run.path, recipe_toml=recipe.to_toml(), config=config, force=False, keep=run.exists
    )
    write_json(run.environment, describe_client(session, served))
    policy = served.policy(Sampling(recipe.eval.temperature), run.path / EVAL_ANSWERS, console)
    console.say(f"evaluating {served.server.model} on {recipe.eval.tasks} held-out tasks")
    with answers_kept(policy, console), progress_bar(console) as progress:
        bar = progress.add_task("samples", total=recipe.eval.tasks * recipe.eval.samples, note="")
        spending = watched(policy, lambda note: progress.update(bar, note=note))
        evaluate_alone(
            policy,
            session.env,
            recipe,
            run,
            describe=lambda: {
                "endpoint": endpoint_record(policy),
                "spent": policy.spent.as_record(policy.prices),
            },
            on_progress=lambda _, done, total: progress.update(
                bar, completed=done, total=total, note=spending(_left(progress, bar))
            ),
        )


def _left(progress: Any, bar: Any) -> str:
    """The time left, from the bar's own pace."""
    from minirl.report.text import duration

    left = progress.tasks[bar].time_remaining
    return "" if left is None else f"{duration(left)} left"


def _show_served(session: Session, *, as_json: bool) -> None:
    from minirl.rundir import read_json

    run = session.run
    evaluation = read_json(run.eval)
    if as_json:
        record = {"run": str(run.path), "adapter": None, "eval": evaluation}
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    from minirl.report.console import evaluation_table, results

    console = results()
    console.print(evaluation_table(evaluation), markup=False)
    console.say(f"evaluation: {run.eval}   samples: {run.samples}")
