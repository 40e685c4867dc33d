"""`minirl prove`: what training did to a model, with many samples a task and a verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minirl.cli import options as o

if TYPE_CHECKING:
    from minirl.cli.session import Session
    from minirl.report.console import Output
    from minirl.rundir import RunDir

EXAMPLE = "Example:  minirl prove quickstart --tasks 50 --samples 32"


def command(
    run: o.RunArg,
    tasks: Annotated[
        int | None, typer.Option(min=2, help="Held-out tasks (the recipe's prove.tasks).")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=2, help="Samples a task, the largest k (the recipe's prove.samples)."),
    ] = None,
    random_reward: Annotated[
        str | None,
        typer.Option(
            "--random-reward",
            metavar="RUN",
            help="Compare with a run that was trained with `--set train.rewards=coin`.",
        ),
    ] = None,
    overrides: o.Set = None,
    runs: o.Runs = o.RUNS,
    force: Annotated[
        bool, typer.Option("--force", help="Prove anew, replacing prove.json and its samples.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Sample base and tuned many times on held-out tasks, and say what training did: pass@k,
    coverage, diversity, regressions, with intervals.
    """
    from minirl.cli.session import reopen, run_path
    from minirl.cli.settle import memory_advised
    from minirl.cli.steps import interruptible
    from minirl.errors import RunDirError
    from minirl.report.console import notices
    from minirl.rundir import RunDir, read_json

    changes = list(overrides or [])
    changes += [f"prove.tasks={tasks}"] if tasks else []
    changes += [f"prove.samples={samples}"] if samples else []
    session = reopen(run, runs, changes, sections=("prove.", "sampling.batch"))
    if not session.run.trained:
        raise RunDirError(
            f"{session.run.path} has no adapter yet",
            fix=f"finish its training: minirl train RECIPE --name {session.run.path.name} --resume",
        )
    other = None
    if random_reward:
        other = _control(session, RunDir.open(run_path(random_reward, runs)))
    console = notices()
    # A control is put beside the samples that are there; with other settings, those are refused.
    if session.run.prove.exists() and not force and other is None:
        if changes:
            raise RunDirError(
                f"{session.run.prove} exists already",
                fix="--force proves anew with your options",
            )
        console.say(f"{session.run.prove} is there already; --force proves anew")
    else:
        kept = "interrupted; every sample so far is kept: the same command goes on"
        with (
            session.run.locked(),
            interruptible(lambda: kept),
            memory_advised(session, sampling=True),
        ):
            if force:
                _clear(session.run)
            prove_step(session, other, console)
    record = read_json(session.run.prove)
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        show(record)


def _clear(run: RunDir) -> None:
    import shutil

    run.prove.unlink(missing_ok=True)
    shutil.rmtree(run.prove_samples, ignore_errors=True)


def _control(session: Session, other: RunDir) -> RunDir:
    """A finished run that differs from this one in its rewards alone.

    Raises:
        ConfigError: it is another one.
    """
    from minirl.cli.session import differences
    from minirl.errors import ConfigError

    mine, theirs = session.run.read_config(), other.read_config()
    told = ("env", "model", "sampling", "train")
    changed = [
        f"{key}: {a!r} in {session.run.path}, {b!r} in {other.path}"
        for key, a, b in differences({k: mine[k] for k in told}, {k: theirs[k] for k in told})
        if key != "train.rewards"
    ]
    if theirs["train"]["rewards"] != "coin":
        changed.insert(0, f"train.rewards: {theirs['train']['rewards']!r} in {other.path}")
    if changed or not other.trained:
        raise ConfigError(
            f"{other.path} is not this run's control"
            + ("" if other.trained else ": it has no adapter yet")
            + "".join(f"\n  - {line}" for line in changed),
            fix="train one: minirl train RECIPE --set train.rewards=coin --name OTHER",
        )
    return other


def prove_step(session: Session, other: RunDir | None, console: Output) -> None:
    """Prove with progress bars; the samples lie on disk as they come."""
    import time

    from minirl.cli.session import guarded, load
    from minirl.measure.prove.regressions import suites
    from minirl.measure.tasks import held_out
    from minirl.report.console import progress_bar
    from minirl.report.text import duration

    recipe, env = session.recipe, session.env
    config = recipe.prove
    # Both are cheap, and what is wrong with them is better told before the model loads.
    guarded(env, "task", lambda: held_out(env, config.tasks, key="prove.tasks"))
    for suite in guarded(env, "task", suites, recipe, env):
        if suite.env.notice:
            console.say(f"note: {suite.env.notice}")
    console.say(
        f"proving {session.run.path} on {config.tasks} held-out tasks of {env.label}, "
        f"{config.samples} samples each from base and tuned"
    )
    loaded = load(session, console, adapter=session.run.adapter)
    from minirl.measure.prove.prove import prove

    with progress_bar(console) as progress:
        bars: dict[str, tuple[Any, int, float]] = {}

        def show_progress(name: str, done: int, total: int) -> None:
            if name not in bars:
                bar = progress.add_task(name, total=total, note="")
                bars[name] = (bar, done, time.monotonic())
                if not console.is_terminal:
                    console.say(f"{name}: {total:,}" + (f", {done:,} at hand" if done else ""))
            bar, first, began = bars[name]
            rate = (done - first) / max(time.monotonic() - began, 1e-9)
            note = f"{rate:.0f}/s, {duration((total - done) / rate)} left" if rate else ""
            progress.update(bar, completed=done, total=total, note=note)

        prove(
            recipe,
            loaded,
            env,
            session.run,
            random_reward=other,
            on_progress=show_progress,
        )


def show(record: dict[str, Any]) -> None:
    """The verdict and its tables."""
    from minirl.report.console import results
    from minirl.report.prove_table import pass_table, prove_text, regression_table

    console = results()
    for line in prove_text(record):
        console.say(line)
    console.print(pass_table(record), markup=False)
    if record["regressions"]:
        console.print(regression_table(record), markup=False)
