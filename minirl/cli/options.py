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
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse to train where the probe is against it.")
]
_SERVED = "A served model"
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="Ask an OpenAI-compatible server (vLLM, llama-server, Ollama, a hosted one) and load "
        "no model. Its key is read from MINIRL_API_KEY, else OPENAI_API_KEY.",
        rich_help_panel=_SERVED,
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="The model's name at the server.", rich_help_panel=_SERVED),
]
Concurrency = Annotated[
    int,
    typer.Option(
        "--concurrency", min=1, help="Requests at the same time.", rich_help_panel=_SERVED
    ),
]
Choices = Annotated[
    int,
    typer.Option(
        "--choices",
        min=1,
        help="Completions a request: more pay a prompt once, but their lengths are less exact.",
        rich_help_panel=_SERVED,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", min=0.1, help="Seconds to wait for an answer.", rich_help_panel=_SERVED
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        "--retries",
        min=0,
        help="How often a failed request is sent again.",
        rich_help_panel=_SERVED,
    ),
]
MaxRequests = Annotated[
    int | None,
    typer.Option(
        "--max-requests", min=1, help="Stop before more requests.", rich_help_panel=_SERVED
    ),
]
MaxTokensTotal = Annotated[
    int | None,
    typer.Option(
        "--max-tokens-total",
        min=1,
        help="Stop before more tokens, prompts and completions together.",
        rich_help_panel=_SERVED,
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost",
        min=0.0,
        metavar="DOLLARS",
        help="Stop before it costs more, at --price-in and --price-out.",
        rich_help_panel=_SERVED,
    ),
]
PriceIn = Annotated[
    float | None,
    typer.Option(
        "--price-in", min=0.0, help="Dollars a million prompt tokens.", rich_help_panel=_SERVED
    ),
]
PriceOut = Annotated[
    float | None,
    typer.Option(
        "--price-out", min=0.0, help="Dollars a million written tokens.", rich_help_panel=_SERVED
    ),
]
CONCURRENCY, CHOICES, TIMEOUT, RETRIES = 8, 1, 300.0, 5
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
RUNS = Path("runs")
