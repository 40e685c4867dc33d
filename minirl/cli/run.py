"""`minirl run`, the whole loop of a recipe, and `minirl train`, its training alone."""

from __future__ import annotations

from collections.abc import Callable

from minirl.cli import options as o


def _command(*, evaluation: bool) -> Callable[..., None]:
    """The two commands take the same options and differ in whether an evaluation follows."""

    def command(
        recipe: o.RecipeArg,
        overrides: o.Set = None,
        env: o.Env = None,
        seed: o.Seed = None,
        name: o.Name = None,
        runs: o.Runs = o.RUNS,
        resume: o.Resume = False,
        force: o.Force = False,
        auto_fit: o.AutoFit = False,
        as_json: o.Json = False,
    ) -> None:
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
            evaluation=evaluation,
        )

    return command


run = _command(evaluation=True)
run.__doc__ = "Train by a recipe, then compare base and tuned on held-out tasks."
train = _command(evaluation=False)
train.__doc__ = "Train an adapter by a recipe, without evaluating it."
RUN_EXAMPLE = "Example:  minirl run quickstart --seed 1 --name second"
TRAIN_EXAMPLE = "Example:  minirl train quickstart --set train.steps=50 --name longer"
