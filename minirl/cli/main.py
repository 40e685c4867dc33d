"""The command `minirl`: parses arguments, runs a command, and turns failures into one screen and
an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage or recipe, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any

import typer
import typer.core

import minirl
from minirl.cli import (
    chat,
    doctor,
    envs,
    evaluate,
    export,
    models,
    plan,
    play,
    probe,
    prove,
    recipes,
    report,
    run,
    sample,
)
from minirl.errors import Interrupted, MinirlError


class _Commands(typer.core.TyperGroup):
    """The commands, with two endings kept from typer, which would settle both without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # a pipe closed early shows here, and not while Python exits
        except KeyboardInterrupt as stop:
            raise Interrupted(str(stop) or "interrupted") from stop
        except BrokenPipeError as closed:
            raise _ReaderGone from closed
        return result


class _ReaderGone(Exception):
    """Whoever read our output has had enough: `minirl ... | head -1`."""


app = typer.Typer(
    name="minirl",
    cls=_Commands,
    help="Reinforcement learning with verifiable rewards on one GPU, or none.\n\n"
    "Start with:  minirl run quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich and its Markdown take half of the time allowed
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("probe", epilog=probe.EXAMPLE)(probe.command)
app.command("run", epilog=run.RUN_EXAMPLE)(run.run)
app.command("train", epilog=run.TRAIN_EXAMPLE)(run.train)
app.command("eval", epilog=evaluate.EXAMPLE)(evaluate.command)
app.command("prove", epilog=prove.EXAMPLE)(prove.command)
app.command("export", epilog=export.EXAMPLE)(export.command)
app.command("chat", epilog=chat.EXAMPLE)(chat.command)
app.command("report", epilog=report.EXAMPLE)(report.command)
app.command("sample", epilog=sample.EXAMPLE)(sample.command)
app.command("play", epilog=play.EXAMPLE)(play.command)
app.command("plan", epilog=plan.EXAMPLE)(plan.command)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.command)
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
        code = app(words, prog_name="minirl", standalone_mode=False)
    except _ReaderGone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        code = 0
    except MinirlError as error:
        code = error.exit_code
        _say(str(error) if isinstance(error, Interrupted) else f"error: {error}", debug)
    except Exception as error:
        code = _usage_error(error)
        if code is None:
            code = 1
            fix = "" if debug else "\n  fix:      run again with --debug and report the traceback"
            _say(f"error: unexpected {type(error).__name__}: {error}{fix}", debug)
    sys.exit(code or 0)


def _usage_error(error: Exception) -> int | None:
    """Wrong usage, which the parser reports itself; None for any other error."""
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is None or code is None:
        return None
    show()
    return int(code)


def _say(text: str, debug: bool) -> None:
    """One screen on stderr. What failed may quote a model, so nothing in it reaches the terminal
    as a command.
    """
    from minirl.report.text import visible

    if debug:
        traceback.print_exc()
    sys.stderr.write(f"minirl: {visible(text, limit=2000)}\n")
