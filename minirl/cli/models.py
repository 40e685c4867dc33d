"""`minirl models`: which models are known by name, and fetching one before it is needed."""

from __future__ import annotations

from typing import Annotated

import typer

from minirl.cli import options as o

CONVERTER = "gguf-converter"  # what `minirl export` writes whole GGUFs with; no model

app = typer.Typer(
    help="List and fetch models.", no_args_is_help=True, epilog="Example:  minirl models ls"
)


@app.command("ls", epilog="Example:  minirl models ls")
def ls(as_json: o.Json = False) -> None:
    """List the models that minirl knows by name; local directories and hub ids work as well."""
    import dataclasses
    import json

    from minirl.models.catalogue import list_models

    infos = list_models()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(i) for i in infos]))
        return
    from rich.table import Table

    from minirl.report.console import results

    table = Table("name", "parameters", "licence", "on this machine", "what")
    for info in infos:
        size = f"{info.bytes_on_disk / 1e6:.0f} MB" if info.cached else "not yet"
        table.add_row(
            info.name, f"{info.parameters / 1e6:.0f} M", info.licence, size, info.description
        )
    what = "llama.cpp's converter, for `minirl export`; no model"
    table.add_row(CONVERTER, "-", "MIT", _converter_size(), what)
    results().print(table, markup=False)


def _converter_size() -> str:
    from minirl.models.catalogue import cache_dir

    sizes = [p.stat().st_size for p in (cache_dir() / CONVERTER).glob("*")]
    return f"{sum(sizes) / 1e6:.1f} MB" if sizes else "not yet"


@app.command("pull", epilog="Example:  minirl models pull smollm2-135m")
def pull(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help=f"A catalogue name, or {CONVERTER}.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Fetch it again, replacing what is cached.")
    ] = False,
) -> None:
    """Fetch a model, or llama.cpp's converter, into the cache, and say where it lies."""
    from minirl.models.catalogue import pull_model

    def progress(text: str) -> None:
        typer.echo(text, err=True)

    if name == CONVERTER:
        from minirl.export.converter import fetch_converter

        typer.echo(fetch_converter(force=force, progress=progress))
        return
    typer.echo(pull_model(name, force=force, progress=progress).location)
