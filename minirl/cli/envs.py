"""`minirl envs`: which environments there are, what each offers, whether it holds, a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minirl.cli import envs_export
from minirl.cli import options as o

if TYPE_CHECKING:
    from minirl.envs.audit import AuditReport, AuditSettings

app = typer.Typer(
    help="List, show, check and begin environments.",
    no_args_is_help=True,
    epilog="Example:  minirl envs show arithmetic:3",
)
app.command("export", epilog=envs_export.EXAMPLE)(envs_export.export)


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


@app.command("check", epilog="Example:  minirl envs check ./my_env.py:MyEnv")
def check(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="NAME (all levels), NAME:LEVEL or ./file.py:Class.")
    ],
    tasks: Annotated[int, typer.Option(min=2, help="How many tasks of each split.")] = 1000,
    levels: Annotated[
        str | None, typer.Option("--levels", help="Only these, with commas between; or `all`.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what the audit draws.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="At most 100 tasks, one process.")] = False,
    as_json: o.Json = False,
) -> None:
    """Put an environment to the proof. Exit code 1 where a check fails, with the failing example.

    Gold answers must pass; cheats, guesses and hostile text must not; tasks must be pure, distinct,
    and apart by split. It loads no model. The environment's own code runs with your rights.
    """
    import json

    from minirl.envs.audit import AuditSettings
    from minirl.report.audit_table import audit_summary, audit_table, example_text
    from minirl.report.console import results

    settings = AuditSettings(
        tasks=min(tasks, 100) if quick else tasks, seed=seed, elsewhere=not quick
    )
    records = [report.as_record() for report in _audited(env, levels, settings)]
    passed = all(record["passed"] for record in records)
    if as_json:
        typer.echo(json.dumps(records))
        raise typer.Exit(0 if passed else 1)
    console = results()
    for record in records:
        failed = not record["passed"]
        if failed or len(records) == 1:
            console.print(audit_table(record), markup=False)
        for one in record["checks"]:
            if one["outcome"] in ("FAILED", "noted"):
                typer.echo(f"\n{example_text(one)}")
        typer.echo(("\n" if failed else "") + audit_summary(record))
    raise typer.Exit(0 if passed else 1)


def _audited(env: str, levels: str | None, settings: AuditSettings) -> list[AuditReport]:
    """Audit, with a bar while it goes on."""
    from minirl.envs.audit import audit
    from minirl.report.console import notices, progress_bar
    from minirl.report.text import visible

    named = [] if levels in (None, "all") else str(levels).split(",")
    specs = [f"{env}:{level.strip()}" for level in named] or [env]
    console = notices()
    with progress_bar(console) as progress:
        bar = progress.add_task("", total=None, note="")

        def told(spec: str, check: str, number: int, of: int) -> None:
            progress.update(
                bar, description=visible(spec), completed=number - 1, total=of, note=check
            )

        return [report for spec in specs for report in audit(spec, {}, settings, told)]


@app.command("new", epilog="Example:  minirl envs new my_env")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: letters, digits and _.")],
    directory: Annotated[Path, typer.Option("--dir", help="Where the two files go.")] = Path(),
    multi_turn: Annotated[
        bool, typer.Option("--multi-turn", help="An episode of several turns, with a tool.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Begin an environment of your own: NAME.py and test_NAME.py, which passes its audit."""
    from minirl.envs.scaffold import write_scaffold

    made = write_scaffold(name, directory, multi_turn=multi_turn, force=force)
    for path in made.files:
        typer.echo(f"wrote {path}")
    typer.echo(f"next:  minirl envs check {made.spec}\n       minirl play {made.spec}")
