"""The recipes that come with minirl."""

from __future__ import annotations

import difflib
from pathlib import Path

from minirl.errors import UnknownNameError


def recipe_dirs() -> list[Path]:
    """Where shipped recipes lie: inside an installed package, or at the top of a source
    checkout.
    """
    here = Path(__file__).resolve().parents[1]
    return [d for d in (here / "recipes", here.parent / "recipes") if d.is_dir()]


def list_recipes() -> dict[str, Path]:
    """The shipped recipes by name."""
    return {p.stem: p for d in reversed(recipe_dirs()) for p in sorted(d.glob("*.toml"))}


def find_recipe(name: str) -> Path:
    """A recipe by file name, or a shipped one by its name.

    Raises:
        UnknownNameError: neither; with a suggestion.
    """
    path = Path(name)
    if path.suffix == ".toml" or "/" in name:
        if path.is_file():
            return path
        raise UnknownNameError(f"no recipe file at {path}", fix="minirl recipes ls")
    shipped = list_recipes()
    if name in shipped:
        return shipped[name]
    close = difflib.get_close_matches(name, shipped, n=1)
    raise UnknownNameError(
        f"no recipe named {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
        expected=f"one of {', '.join(sorted(shipped))}, or a path to a .toml file",
    )
