"""`minirl report`: the run's story as one HTML page, at any time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from minirl.cli import options as o

EXAMPLE = "Example:  minirl report quickstart --watch"


def command(
    run: o.RunArg,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the page there instead.")
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Serve it on this machine, and renew it as the run grows."),
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for --watch; 0 takes a free one.")
    ] = 0,
    runs: o.Runs = o.RUNS,
    as_json: o.Json = False,
) -> None:
    """Write one self-contained HTML page: verdicts, curves, the proof, and the samples."""
    from minirl.cli.session import run_path
    from minirl.cli.steps import interruptible
    from minirl.errors import ConfigError, RunDirError
    from minirl.report.console import notices
    from minirl.report.page.serve import Page, serve
    from minirl.rundir import RunDir

    place = RunDir.open(run_path(run, runs))
    target = out or place.report
    if port and not watch:
        raise ConfigError("--port is for --watch", fix="add --watch, or leave --port out")
    if target.is_dir():
        raise RunDirError(f"{target} is a directory", fix="--out names a file")
    page = Page(place, target, watched=watch)
    console = notices()
    with interruptible(lambda: f"stopped; {target} is as it was last written"):
        summary = page.renew()
        record = {"run": str(place.path), "report": str(target), "bytes": page.size, **summary}
        if as_json:
            typer.echo(json.dumps(record, ensure_ascii=False))
        else:
            shown, of = summary["rollouts"]["shown"], summary["rollouts"]["of"]
            held = f", {shown:,} of {of:,} rollouts" if of else ""
            console.say(f"{target}: {page.size / 1e6:.1f} MB{held}")
        if watch:
            serve(page, port, started=lambda url: console.say(f"serving {url} (Ctrl-C ends it)"))
