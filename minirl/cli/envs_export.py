"""`minirl envs export`: an environment as a package that another library loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example:  minirl envs export arithmetic:3 --to verifiers"


def export(
    env: Annotated[str, typer.Argument(metavar="ENV", help="NAME, NAME:LEVEL or ./file.py:Class.")],
    to: Annotated[
        str, typer.Option("--to", metavar="LIBRARY", help="The library that shall load it.")
    ] = "verifiers",
    out: Annotated[Path, typer.Option("--out", help="The directory above the package's.")] = Path(),
    name: Annotated[
        str | None, typer.Option("--name", help="The package's name; minirl-ENV without it.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="KEY=VALUE", help="One of the environment's (may be repeated)."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier export of that name.")
    ] = False,
) -> None:
    """Write an environment as a package for verifiers 0.3 and 0.4, and so for prime-rl.

    It holds what it needs of minirl, and neither torch nor minirl is installed with it.
    """
    from minirl.envs.exported.package import export_env
    from minirl.errors import UnknownNameError

    if to != "verifiers":
        raise UnknownNameError(f"no export to {to!r}", expected="verifiers", got=repr(to))
    done = export_env(env, _options(option or []), out, name=name, force=force)
    module = done.name.replace("-", "_")
    typer.echo(f"{done.path}: {done.modules} files of minirl inside; needs {', '.join(done.needs)}")
    typer.echo(f"  pip install {done.path}")
    typer.echo(f"  verifiers 0.4:  vf-eval {done.name} --env.taskset.split test -m MODEL")
    typer.echo(f"  verifiers 0.3:  vf-eval {done.name} -m MODEL   (module {module})")


def _options(given: list[str]) -> dict[str, object]:
    """``KEY=VALUE`` pairs; a value is TOML where it can be, else a text."""
    import tomllib

    from minirl.errors import ConfigError

    out: dict[str, object] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(
                "an option is KEY=VALUE", got=pair, fix="--option worked_example=false"
            )
        try:
            out[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            out[key] = value
    return out
