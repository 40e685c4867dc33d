"""The modules of minirl that an environment needs, found by reading imports, and moved elsewhere.

An exported package carries a private copy of them: minirl itself depends on torch, and two packages
exported from two versions of minirl must be able to live in one process.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minirl.errors import EnvironmentFault

OURS = "minirl"
HOME = Path(__file__).parents[2]  # the directory of the package minirl
LISTING = f"{OURS}.envs.registry"  # names every environment, and loads the one that is asked for
_MODULE_NAME = re.compile(rf"{OURS}(\.\w+)+")


@dataclass(frozen=True, slots=True)
class Closure:
    """Sources by their path below the package's directory, and the other libraries they import.

    Attributes:
        files: ``envs/base.py`` -> its text (bytes for files that are not Python).
        libraries: top-level names of imported modules that are neither minirl's nor Python's.
    """

    files: dict[str, bytes]
    libraries: frozenset[str]


def closure(modules: Iterable[str]) -> Closure:
    """Every module of minirl that ``modules`` import, inside functions too, with their data files.

    Raises:
        EnvironmentFault: one of them is no module of minirl.
    """
    found: dict[str, Path] = {}
    libraries: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = source_of(name)
        if path is None:
            raise EnvironmentFault(f"{name} is no module of {OURS}")
        if name in found:
            continue
        found[name] = path
        if "." in name:
            waiting.append(name.rpartition(".")[0])  # a package runs before its modules
        for imported in imports_of(path.read_text(encoding="utf-8"), name, path):
            root = imported.partition(".")[0]
            if root == OURS:
                waiting.extend(m for m in (imported,) if source_of(m))
            elif root not in sys.stdlib_module_names:
                libraries.add(root)
        if name != LISTING:
            waiting.extend(_named(path, name))
    files = {}
    for path in found.values():
        files[path.relative_to(HOME).as_posix()] = path.read_bytes()
        if path.name == "__init__.py" and path.parent != HOME:
            files.update(_data_beside(path.parent))
    return Closure(files, frozenset(libraries))


def source_of(module: str) -> Path | None:
    """The file of a module of minirl; None where there is none."""
    base = HOME.parent.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def imports_of(source: str, module: str, path: Path) -> Iterator[str]:
    """Dotted names that ``source`` imports; of ``from a import b`` both ``a`` and ``a.b``."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source, str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _named(path: Path, module: str) -> Iterator[str]:
    """Modules that a source names in strings, to run them in another process: ``minirl.a.b`` or
    ``child.py`` beside it."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if _MODULE_NAME.fullmatch(node.value) and module != OURS and source_of(node.value):
            yield node.value
        elif re.fullmatch(r"\w+\.py", node.value) and (path.parent / node.value).is_file():
            yield f"{package}.{node.value.removesuffix('.py')}"


def moved(source: str, home: str, path: str) -> str:
    """``source`` with its imports of minirl, and the names of its modules in strings, under
    ``home``.

    Raises:
        EnvironmentFault: a plain ``import minirl.x``, whose name the code then uses, cannot be
            moved.
    """
    edits: list[tuple[int, int, str]] = []  # start, end (offsets in bytes), text
    data = source.encode()
    starts = [0]
    for line in data.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)

    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] != OURS:
                    continue
                if alias.asname is None:
                    raise EnvironmentFault(
                        f"{path}:{node.lineno}: 'import {alias.name}' cannot be exported",
                        expected=f"from {alias.name} import ...",
                    )
                start = starts[alias.lineno - 1] + alias.col_offset
                edits.append((start, start + len(OURS), home))
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and (node.module or "").partition(".")[0] == OURS:
                start = starts[node.lineno - 1] + node.col_offset
                start = data.index(OURS.encode(), start)
                edits.append((start, start + len(OURS), home))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = _MODULE_NAME.fullmatch(node.value) and source_of(node.value)
            if named:
                start = starts[node.lineno - 1] + node.col_offset
                start = data.index(OURS.encode(), start)
                edits.append((start, start + len(OURS), home))
    for start, end, text in sorted(edits, reverse=True):
        data = data[:start] + text.encode() + data[end:]
    return data.decode()


def _data_beside(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix not in {".py", ".pyc", ".typed"}:
            yield path.relative_to(HOME).as_posix(), path.read_bytes()
