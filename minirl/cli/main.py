"""The command `minirl`: parses arguments, runs a command, and turns failures into one screen and
an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage or recipe, 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

import minirl
from minirl.cli import envs, evaluate, models, play, recipes, run, sample
from minirl.errors import MinirlError

app = typer.Typer(
    name="minirl",
    help="Reinforcement learning with verifiable rewards on one GPU, or none.\n\n"
    "Start with:  minirl run quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", epilog=run.RUN_EXAMPLE)(run.run)
app.command("train", epilog=run.TRAIN_EXAMPLE)(run.train)
app.command("eval", epilog=evaluate.EXAMPLE)(evaluate.command)
app.command("sample", epilog=sample.EXAMPLE)(sample.command)
app.command("play", epilog=play.EXAMPLE)(play.command)
app.add_typer(envs.app, name="envs")
app.add_typer(recipes.app, name="recipes")
app.add_typer(models.app, name="models")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"minirl {minirl.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (anywhere on the line).")
    ] = False,
) -> None:
    """Nothing to do before a command."""


def main(argv: list[str] | None = None) -> None:
    """Run one command line and exit."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    try:
        code = app(words, standalone_mode=False)
    except KeyboardInterrupt as stop:
        _say(str(stop) or "interrupted")
        code = 130
    except MinirlError as error:
        _fail(str(error), debug)
        code = error.exit_code
    except BrokenPipeError:  # `minirl … | head`
        code = 0
    except Exception as error:
        code = _click_error(error)
        if code is None:
            _fail(
                f"unexpected {type(error).__name__}: {error}\n"
                "  fix:      run again with --debug and report the traceback",
                debug,
            )
            code = 1
    sys.exit(code or 0)


def _click_error(error: Exception) -> int | None:
    """Wrong usage, which the parser reports itself; None for any other error."""
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is None or code is None:
        return None
    show()
    return int(code)


def _fail(text: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    _say(f"error: {text}")


def _say(text: str) -> None:
    sys.stderr.write(f"minirl: {text}\n")
