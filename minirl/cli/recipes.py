"""`minirl recipes`: list, show, copy and check recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minirl.cli import options as o

app = typer.Typer(
    help="List, show, copy and check recipes.",
    no_args_is_help=True,
    epilog="Example:  minirl recipes show quickstart",
)


@app.command("ls", epilog="Example:  minirl recipes ls")
def ls(as_json: o.Json = False) -> None:
    """List the shipped recipes."""
    import json

    from minirl.config import list_recipes, load_recipe

    rows = {name: load_recipe(path).description for name, path in list_recipes().items()}
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from rich.table import Table

    from minirl.report.console import results

    table = Table("name", "what")
    for name, description in rows.items():
        table.add_row(name, description)
    results().print(table, markup=False)


@app.command("show", epilog="Example:  minirl recipes show quickstart --explain")
def show(
    recipe: o.RecipeArg,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print every key with its default and meaning instead."),
    ] = False,
) -> None:
    """Print a recipe as it is written, or explain all keys."""
    from minirl.config import describe_fields, find_recipe

    path = find_recipe(recipe)
    if not explain:
        typer.echo(path.read_text(encoding="utf-8"), nl=False)
        return
    for key, default, text in describe_fields():
        typer.echo(f"{key} (default {default}): {text}")


@app.command("cp", epilog="Example:  minirl recipes cp quickstart my_recipe.toml")
def cp(
    recipe: o.RecipeArg,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Copy a recipe to a file of your own, to change it."""
    from minirl.config import find_recipe
    from minirl.errors import ConfigError
    from minirl.rundir import write_text

    source = find_recipe(recipe)
    text = source.read_text(encoding="utf-8")
    if to.is_dir():
        to = to / source.name
    if to.exists() and not force:
        raise ConfigError(f"{to} exists already", fix="--force replaces it, or choose another name")
    write_text(to, text)
    typer.echo(f"wrote {to}; run it with: minirl run {to}")


@app.command("check", epilog="Example:  minirl recipes check my_recipe.toml")
def check(recipe: o.RecipeArg, overrides: o.Set = None) -> None:
    """Check a recipe without running it: keys, values, environment, number of held-out tasks."""
    from minirl.cli.session import first_task, guarded, open_env, read_recipe
    from minirl.measure.tasks import held_out

    parsed = read_recipe(recipe, overrides=overrides or [], env=None, seed=None)
    env = open_env(parsed)
    first_task(env)
    guarded(env, "task", held_out, env, parsed.eval.tasks)
    typer.echo(
        f"{recipe}: good ({env.label}, model {parsed.model.name}, {parsed.train.steps} steps)"
    )
