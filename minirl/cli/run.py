"""`minirl run`, the loop of a recipe, and `minirl train`, its training alone."""

from __future__ import annotations

from typing import Annotated

import typer

from minirl.cli import options as o

RUN_EXAMPLE = "Example:  minirl run quickstart --seed 1 --name second"
TRAIN_EXAMPLE = "Example:  minirl train quickstart --set train.steps=50 --name longer"


def run(
    recipe: o.RecipeArg,
    overrides: o.Set = None,
    env: o.Env = None,
    seed: o.Seed = None,
    name: o.Name = None,
    runs: o.Runs = o.RUNS,
    resume: o.Resume = False,
    force: o.Force = False,
    auto_fit: o.AutoFit = False,
    strict: o.Strict = False,
    no_probe: Annotated[
        bool, typer.Option("--no-probe", help="Train without probing the base model first.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Probe the base model, train by a recipe, then compare base and tuned on held-out tasks."""
    from minirl.cli.steps import run_recipe

    run_recipe(
        recipe,
        overrides=overrides,
        env=env,
        seed=seed,
        name=name,
        runs=runs,
        resume=resume,
        force=force,
        auto_fit=auto_fit,
        as_json=as_json,
        evaluation=True,
        probe=not no_probe,
        strict=strict,
    )


def train(
    recipe: o.RecipeArg,
    overrides: o.Set = None,
    env: o.Env = None,
    seed: o.Seed = None,
    name: o.Name = None,
    runs: o.Runs = o.RUNS,
    resume: o.Resume = False,
    force: o.Force = False,
    auto_fit: o.AutoFit = False,
    strict: o.Strict = False,
    as_json: o.Json = False,
) -> None:
    """Train an adapter by a recipe, without evaluating it. A probe of the run is heeded."""
    from minirl.cli.steps import run_recipe

    run_recipe(
        recipe,
        overrides=overrides,
        env=env,
        seed=seed,
        name=name,
        runs=runs,
        resume=resume,
        force=force,
        auto_fit=auto_fit,
        as_json=as_json,
        evaluation=False,
        probe=False,
        strict=strict,
    )
