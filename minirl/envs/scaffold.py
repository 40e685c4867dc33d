"""`minirl envs new`: the files of a first environment of one's own."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from minirl.errors import ConfigError

TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What was written, and the spec that opens it."""

    files: tuple[Path, ...]
    spec: str


def write_scaffold(name: str, directory: Path, *, multi_turn: bool, force: bool) -> Scaffold:
    """Write ``NAME.py``, an environment that passes its audit, and ``test_NAME.py``.

    Raises:
        ConfigError: the name is no identifier in small letters, the directory is missing, or a file
            is there already and ``force`` is not given.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigError(
            "an environment's name becomes a module and a class",
            expected="small letters, digits and _, beginning with a letter, at most 40 characters",
            got=ascii(name[:80]),
        )
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory}", fix=f"mkdir -p {directory}")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    kind = "multi_turn" if multi_turn else "single_turn"
    texts = {
        directory / f"{name}.py": (TEMPLATES / f"{kind}.py.txt").read_text(encoding="utf-8"),
        directory / f"test_{name}.py": (TEMPLATES / "test.py.txt").read_text(encoding="utf-8"),
    }
    there = [path for path in texts if path.exists() or path.is_symlink()]
    if there and not force:
        raise ConfigError(
            f"{' and '.join(map(str, there))}: there already",
            fix="choose another name, or give --force to overwrite",
        )
    for path, text in texts.items():
        filled = text.replace("{{name}}", name).replace("{{ClassName}}", class_name)
        path.write_text(filled, encoding="utf-8")
    return Scaffold(tuple(texts), f"{_shown(directory)}/{name}.py:{class_name}")


def _shown(directory: Path) -> str:
    """The directory as a file spec begins with it."""
    text = str(directory)
    return text if text.startswith(("/", ".")) else f"./{text}"
