"""`minirl probe`: is there anything to reinforce, before a GPU is spent on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minirl.cli import options as o

if TYPE_CHECKING:
    from minirl.cli.served import Served
    from minirl.cli.session import Session
    from minirl.endpoint import EndpointPolicy
    from minirl.models.load import LoadedModel
    from minirl.report.console import Output
    from minirl.rollout.policy import Policy

EXAMPLE = (
    "Example:  minirl probe quickstart --levels all\n\n"
    "A served model:  minirl probe quickstart --endpoint http://localhost:8000 --model NAME"
)
AGAINST = ("cold_start", "saturated")


def command(
    recipe: o.RecipeArg,
    overrides: o.Set = None,
    env: o.Env = None,
    seed: o.Seed = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="The run's name; the recipe's without it, or RECIPE-MODEL if served."
        ),
    ] = None,
    runs: o.Runs = o.RUNS,
    levels: Annotated[
        str | None,
        typer.Option("--levels", metavar="all|A,B", help="Probe a ladder of levels instead."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Probe again, replacing what was probed.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where the verdict is against training.")
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
    """Sample the base model, or a served one, on train tasks until it is clear whether training can
    teach it anything.
    """
    from minirl.cli.served import same_source, served_model
    from minirl.cli.session import open_env, probe_session, read_recipe, run_path
    from minirl.cli.steps import interruptible
    from minirl.config import find_recipe
    from minirl.report.console import notices
    from minirl.rundir import RunDir, read_json

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
    parsed = read_recipe(recipe, overrides=overrides or [], env=env, seed=seed)
    stem = find_recipe(recipe).stem
    if served:
        parsed, stem = served.recipe(parsed), served.run_name(stem)
    run = RunDir(run_path(name or stem, runs))
    console = notices()
    session = probe_session(parsed, run, open_env(parsed), force=force)
    wanted = _levels(session, levels) if levels else None
    output = run.ladder if wanted else run.probe
    with run.locked():
        if output.exists() and not force:
            console.say(f"{output} is there already; --force probes again")
        else:
            if not force:
                same_source(run, served)
            kept = "interrupted; what was sampled is kept: the same command goes on"
            with interruptible(lambda: kept):
                if served:
                    _ask(session, served, wanted, console, force=force)
                else:
                    _load_and_sample(session, wanted, console, force=force)
    record = read_json(output)
    _show(record, as_json=as_json)
    if strict and not wanted and record["verdict"] in AGAINST:
        raise typer.Exit(1)


def _load_and_sample(
    session: Session, levels: list[str] | None, console: Output, *, force: bool
) -> None:
    from minirl.cli.session import describe_machine, load
    from minirl.cli.settle import memory_advised, settle

    with memory_advised(session, sampling=True):
        session = settle(session, console, auto_fit=False)
        loaded = load(session, console)
        open_run(session, lambda: describe_machine(session, loaded), force=force)
        if levels:
            sweep(session, _policy(session, loaded), levels, console)
        else:
            probe_step(session, loaded, console)


def _ask(
    session: Session, served: Served, levels: list[str] | None, console: Output, *, force: bool
) -> None:
    from minirl.cli.served import PROBE_ANSWERS, answers_kept, describe_client
    from minirl.endpoint import Sampling

    run, s = session.run, session.recipe.sampling
    open_run(session, lambda: describe_client(session, served), force=force)
    params = Sampling(s.temperature, s.top_p, s.top_k)
    policy = served.policy(params, run.path / PROBE_ANSWERS, console)
    with answers_kept(policy, console):
        if levels:
            sweep(session, policy, levels, console)
        else:
            _probe(session, policy, console, run.probe_journal, run.probe)


def open_run(session: Session, describe: Callable[[], dict[str, Any]], *, force: bool) -> None:
    """Make the run directory, or with ``force`` take out what was probed in it; a training that is
    there stays.

    Args:
        describe: what environment.json holds.
    """
    import shutil

    from minirl.cli.served import PROBE_ANSWERS
    from minirl.rundir import RunDir, write_json

    run, recipe = session.run, session.recipe
    if force and run.exists:
        for path in (run.probe, run.probe_journal, run.ladder, run.path / PROBE_ANSWERS):
            path.unlink(missing_ok=True)
        shutil.rmtree(run.ladder_probes, ignore_errors=True)
    if not run.begun:
        config = recipe.model_dump(mode="json")
        RunDir.create(
            run.path, recipe_toml=recipe.to_toml(), config=config, force=False, keep=run.exists
        )
        write_json(run.environment, describe())


def probe_step(session: Session, loaded: LoadedModel, console: Output) -> dict[str, Any]:
    """Probe the session's environment and write probe.json."""
    run = session.run
    return _probe(session, _policy(session, loaded), console, run.probe_journal, run.probe)


def sweep(
    session: Session, policy: Policy | EndpointPolicy, levels: list[str], console: Output
) -> None:
    """Probe level after level and write ladder.json; levels that are done are taken as they are."""
    from dataclasses import replace

    from minirl.cli.session import open_env
    from minirl.config import change
    from minirl.measure.ladder import starting_level
    from minirl.rundir import read_json, write_json

    run, rungs = session.run, []
    for level in levels:
        place = run.ladder_probes / f"{level}.json"
        if not place.exists():
            recipe = change(session.recipe, {"env.name": f"{session.env.name}:{level}"})
            rung = replace(session, recipe=recipe, env=open_env(recipe))
            _probe(rung, policy, console, place.with_suffix(".jsonl"), place)
        rungs.append({"level": level, **read_json(place)})
    start, reason = starting_level(rungs)
    ladder = {
        "format": 1,
        "env": session.env.name,
        "model": session.recipe.model.name,
        "levels": rungs,
        "start": start,
        "reason": reason,
    }
    write_json(run.ladder, ladder)


def _policy(session: Session, loaded: LoadedModel) -> Policy:
    from minirl.models.policy import ModelPolicy
    from minirl.models.sampler import SamplingParams

    s = session.recipe.sampling
    params = SamplingParams(s.temperature, s.top_p, s.top_k)
    return ModelPolicy.of(loaded, params, batch=s.batch, use_adapter=False)


def _probe(
    session: Session,
    policy: Policy | EndpointPolicy,
    console: Output,
    journal: Path,
    output: Path,
) -> dict[str, Any]:
    """Play on from the journal, conclude, and write ``output``."""
    import time

    from minirl.cli.price import price
    from minirl.cli.served import endpoint_record, watched
    from minirl.endpoint import EndpointPolicy
    from minirl.measure.probe import Played, play_probe
    from minirl.measure.probe_result import conclude
    from minirl.report.console import progress_bar
    from minirl.report.text import duration
    from minirl.rundir import append_jsonl, read_jsonl, write_json

    recipe, env = session.recipe, session.env
    console.say(
        f"probing {recipe.model.name} on {env.label}: groups of {recipe.train.group_size} on train "
        "tasks, until it is clear"
    )
    before = [Played.from_record(r) for r in read_jsonl(journal)]
    began, ready = time.monotonic(), sum(p.sampled for p in before)
    served = policy if isinstance(policy, EndpointPolicy) else None
    with progress_bar(console) as progress:
        bar = progress.add_task("samples, at most", total=None, note="")
        spending = watched(served, lambda note: progress.update(bar, note=note))

        def show(done: int, most: int) -> None:
            rate = (done - ready) / max(time.monotonic() - began, 1e-9)
            note = f"{rate:.0f}/s, at most {duration((most - done) / rate)} left" if rate else ""
            progress.update(bar, completed=done, total=most, note=spending(note))

        played = play_probe(
            policy,
            env,
            recipe,
            played=before,
            on_played=lambda new: append_jsonl(journal, [p.as_record() for p in new]),
            on_progress=show,
        )
    found = conclude(env, recipe, played)
    record = {
        "endpoint": endpoint_record(served) if served else None,
        **found.as_record(),
        # A server's speed says nothing of the training on this machine.
        "price": None if served else price(session, found),
        "spent": served.spent.as_record(served.prices) if served else None,
    }
    write_json(output, record)
    journal.unlink(missing_ok=True)
    return record


def _levels(session: Session, asked: str) -> list[str]:
    from minirl.errors import ConfigError

    known = list(session.env.levels)
    if not known:
        raise ConfigError(f"{session.env.name} has no levels", fix="leave --levels out")
    chosen = known if asked == "all" else [word.strip() for word in asked.split(",")]
    for level in chosen:
        if level not in known:
            raise ConfigError(
                f"{session.env.name} has no level {level!r}", expected=", ".join(known), got=asked
            )
    return chosen


def _show(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    from minirl.report.console import results
    from minirl.report.probe_table import ladder_table, probe_text, signal_table

    console = results()
    if "levels" in record:
        console.print(ladder_table(record), markup=False)
        console.say(record["reason"])
        return
    for line in probe_text(record):
        console.say(line)
    console.print(signal_table(record), markup=False)
    for line in record["recommend"]["why"]:
        console.say(f"  {line}")
