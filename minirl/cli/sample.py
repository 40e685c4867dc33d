"""`minirl sample`: a few rollouts with their scores, by a model or by a script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minirl.cli import options as o

if TYPE_CHECKING:
    from minirl.cli.served import Served
    from minirl.config import Recipe
    from minirl.envs.base import Environment
    from minirl.rollout.policy import Policy

EXAMPLE = (
    "Example:  minirl sample quickstart --policy base --tasks 2 -n 4\n\n"
    "A served model:  minirl sample quickstart --endpoint http://localhost:8000 --model NAME"
)


def command(
    target: Annotated[
        str,
        typer.Argument(metavar="RUN|RECIPE", help="A run (its adapter), or a recipe (its base)."),
    ],
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help="tuned, base, gold, random or cheater; tuned where there is an adapter.",
        ),
    ] = None,
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks.")] = 3,
    n: Annotated[int, typer.Option("-n", min=1, help="Rollouts of each task.")] = 2,
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
    first: Annotated[int, typer.Option(min=0, help="Index of the first task.")] = 0,
    overrides: o.Set = None,
    env: o.Env = None,
    seed: o.Seed = None,
    runs: o.Runs = o.RUNS,
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
    """Show rollouts with their scores."""
    import sys

    from minirl.cli.served import served_model
    from minirl.cli.session import guarded, open_env, read_recipe, reopen, run_path
    from minirl.errors import ConfigError, UnknownNameError
    from minirl.rollout.engine import play
    from minirl.rundir import RunDir
    from minirl.types import SPLITS, json_line

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
    if served and policy:
        raise ConfigError("--policy and --endpoint contradict each other", fix="give one of them")
    where = RunDir(run_path(target, runs))
    if where.exists:
        if env is not None:
            raise ConfigError(
                f"{target} is a run, and a run keeps its environment",
                fix="leave --env out, or name a recipe",
            )
        session = reopen(target, runs, overrides or [], sections=("sampling",))
        recipe, environment, run = session.recipe, session.env, session.run
    else:
        try:
            recipe = read_recipe(target, overrides=overrides or [], env=env, seed=seed)
        except UnknownNameError as error:
            raise UnknownNameError(
                f"no run at {where.path}, and {error.message}",
                expected=error.expected,
                fix=error.fix,
            ) from None
        environment, run = open_env(recipe), None
    adapter = run.adapter if run and run.trained else None
    chosen = policy or ("tuned" if adapter and not served else "base")
    if chosen not in POLICIES:
        raise ConfigError(f"no policy {chosen!r}", expected=" or ".join(POLICIES))
    if chosen == "tuned" and adapter is None:
        raise ConfigError(f"{target} has no adapter", fix="--policy base, or train it first")
    matching = [s for s in SPLITS if s == split]
    if not matching:
        raise ConfigError(f"no split {split!r}", expected=" or ".join(SPLITS))
    asked = [
        guarded(environment, "task", environment.task, matching[0], first + i) for i in range(tasks)
    ]
    groups = play(
        _asked(served, recipe) if served else _policy(chosen, recipe, environment, adapter),
        environment,
        asked,
        n,
        max_tokens=100_000 if chosen in SCRIPTS else recipe.sampling.max_tokens,
        seed=recipe.seed if seed is None else seed,
    )
    rollouts = [r for g in groups for r in g.rollouts]
    if as_json:
        sys.stdout.writelines(json_line(r.as_record()) + "\n" for r in rollouts)
        return
    from minirl.report.console import results, rollout_text
    from minirl.stats import clustered_rate

    console = results()
    for rollout in rollouts:
        console.print(rollout_text(rollout.as_record()), soft_wrap=True)
    rate = clustered_rate([(g.solved, len(g.rollouts)) for g in groups])
    console.say(f"{served.server.model if served else chosen}: solved {rate}")


SCRIPTS = ("gold", "random", "cheater")
POLICIES = ("tuned", "base", *SCRIPTS)


def _asked(served: Served, recipe: Recipe) -> Policy:
    from minirl.endpoint import Sampling
    from minirl.report.console import notices

    s = recipe.sampling
    return served.policy(Sampling(s.temperature, s.top_p, s.top_k), None, notices())


def _policy(chosen: str, recipe: Recipe, env: Environment[Any], adapter: Path | None) -> Policy:
    from minirl.report.console import notices
    from minirl.rollout.scripted import ScriptedPolicy

    if chosen in SCRIPTS:
        return ScriptedPolicy(env, chosen)  # type: ignore[arg-type]  # it checks the name itself
    from minirl.models.load import Use, load_model
    from minirl.models.policy import ModelPolicy
    from minirl.models.sampler import SamplingParams

    loaded = load_model(
        recipe.model,
        seed=recipe.seed,
        adapter=adapter,
        progress=notices().say,
        use=Use(recipe.sampling),
    )
    s = recipe.sampling
    return ModelPolicy.of(
        loaded,
        SamplingParams(s.temperature, s.top_p, s.top_k),
        batch=s.batch,
        use_adapter=chosen == "tuned",
    )
