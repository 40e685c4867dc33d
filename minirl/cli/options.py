"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeArg = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a .toml file.")
]
RunArg = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or its directory.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one key of the recipe (may be repeated)."
    ),
]
Env = Annotated[
    str | None,
    typer.Option("--env", help="Another environment: NAME, NAME:LEVEL or ./file.py:Class."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Another seed than the recipe's.")]
Name = Annotated[
    str | None, typer.Option("--name", help="The run's name; the recipe's name without it.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Where runs are kept.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted run from its last checkpoint.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Start the run anew; what is there under its name is lost.")
]
AutoFit = Annotated[
    bool,
    typer.Option(
        "--auto-fit", help="Lower what it must where memory does not suffice, before or after."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
RUNS = Path("runs")
