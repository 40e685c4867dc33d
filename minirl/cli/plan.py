"""`minirl plan`: what a recipe will take of memory, before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from minirl.cli import options as o

if TYPE_CHECKING:
    from minirl.config import Recipe
    from minirl.plan import Plan, Target

EXAMPLE = 'Example:  minirl plan quickstart --set model.name=Qwen/Qwen3-4B --gpu "RTX 3060"'


def command(
    recipe: o.RecipeArg,
    overrides: o.Set = None,
    env: o.Env = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            "--gpu", metavar="CARD", help='Plan for this card: "RTX 3060", T4, A100 40GB.'
        ),
    ] = None,
    vram: Annotated[
        float | None,
        typer.Option("--vram", metavar="GB", help="Plan for a card with this much memory."),
    ] = None,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Plan for this machine's processors, card or no card.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Predict a run's peak memory, part by part, and what would fit, here or on a card."""
    import json

    from minirl.cli.session import open_env, read_recipe
    from minirl.plan import plan_run

    target = _target(gpu, vram, cpu)
    parsed = read_recipe(recipe, overrides=overrides or [], env=env, seed=None)
    plan = plan_run(parsed, target=target, env=open_env(parsed))
    record = as_record(recipe, parsed, plan)
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    from minirl.report.console import results
    from minirl.report.plan_table import plan_table, plan_text

    console = results()
    console.print(plan_table(record), markup=False)
    for line in plan_text(record):
        console.say(line)


def _target(gpu: str | None, vram: float | None, cpu: bool) -> Target:
    from minirl.errors import ConfigError
    from minirl.plan import any_card, card_target, cpu_target, find_card, this_machine

    if cpu:
        if gpu is not None or vram is not None:
            raise ConfigError("--cpu contradicts --gpu and --vram", fix="give one of them")
        return cpu_target()
    if gpu is not None:
        return card_target(find_card(gpu), vram=vram)
    return this_machine() if vram is None else any_card(vram)


def as_record(name: str, recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """The plan as JSON: bytes and seconds, whole."""
    from minirl.plan.pace import ROUGH

    pace = plan.pace
    return {
        "recipe": name,
        "model": recipe.model.name,
        "parameters": plan.arch.parameters(),
        "licence": plan.arch.licence,
        "target": {
            "name": plan.target.name,
            "device": plan.target.device,
            "memory": plan.target.memory,
            "usable": plan.target.usable,
        },
        "backend": plan.stack.backend,
        "engine": plan.stack.engine,
        "precision": plan.stack.precision,
        "fits": plan.fits,
        "total": plan.total,
        "headroom": plan.headroom,
        "parts": plan.parts,
        "phases": plan.phases,
        "evaluation": plan.evaluation,
        "settled": plan.settled,
        "room": plan.room,
        "prompt": {"tokens": plan.prompt.tokens, "how": plan.prompt.how},
        "completion": plan.completion,
        "changes": plan.changes,
        "advice": list(plan.advice),
        "pace": pace
        and {
            "note": ROUGH,
            "step": pace.step,
            "sampling": pace.sampling,
            "training": pace.training,
            "run": pace.run,
            "steps": pace.steps,
        },
    }
