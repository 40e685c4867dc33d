"""`minirl envs`: which environments there are, and what each offers."""

from __future__ import annotations

from typing import Annotated

import typer

from minirl.cli import options as o

app = typer.Typer(
    help="List and show environments.",
    no_args_is_help=True,
    epilog="Example:  minirl envs show arithmetic:3",
)


@app.command("ls", epilog="Example:  minirl envs ls")
def ls(as_json: o.Json = False) -> None:
    """List the environments: built in, and of installed packages."""
    import dataclasses
    import json

    from minirl.envs import list_envs

    infos = list_envs()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(i) for i in infos]))
        return
    from rich.table import Table

    from minirl.report.console import results

    table = Table("name", "levels", "source", "what")
    for info in infos:
        table.add_row(info.name, " ".join(info.levels), info.source, info.doc)
    results().print(table, markup=False)


@app.command("show", epilog="Example:  minirl envs show arithmetic:3")
def show(
    env: Annotated[str, typer.Argument(metavar="ENV", help="NAME, NAME:LEVEL or ./file.py:Class.")],
    tasks: Annotated[int, typer.Option(min=1, help="How many train tasks to show.")] = 2,
) -> None:
    """Show an environment's options, its sizes, and a few tasks with their gold solutions."""
    from minirl.cli.session import guarded
    from minirl.config import describe_fields
    from minirl.envs import make_env
    from minirl.envs.base import as_turns
    from minirl.errors import UnknownGold
    from minirl.report.text import visible
    from minirl.types import SPLITS

    environment = make_env(env)
    doc = (type(environment).__doc__ or "").strip().splitlines()
    typer.echo(f"{environment.label}: {doc[0] if doc else ''}")
    for level, values in environment.levels.items():
        settings = ", ".join(f"{k} = {v}" for k, v in values.items())
        typer.echo(f"  level {level}: {settings or 'the defaults'}")
    for key, default, text in describe_fields(environment.Config):
        typer.echo(f"  option {key} (default {default}): {text}")
    for split in SPLITS:
        size = environment.size(split)
        typer.echo(f"  {split}: {'no end of' if size is None else size} tasks")
    for index in range(tasks):
        task = guarded(environment, "task", environment.task, "train", index)
        typer.echo(f"\n{task.id}")
        for message in task.prompt:
            typer.echo(f"[{message.role}] {visible(message.content)}")
        try:
            gold = as_turns(guarded(environment, "gold", environment.gold, task))
        except UnknownGold as unknown:
            typer.echo(f"[gold] unknown: {visible(unknown.message)}")
            continue
        for text in gold:
            typer.echo(f"[gold] {visible(text)}")
