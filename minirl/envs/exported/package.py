"""An environment written out as a package that verifiers 0.3 and 0.4, and so prime-rl, load.

The package is self-contained: it carries a private copy of the modules that the environment needs
(:mod:`minirl.envs.exported.closure`), for minirl itself depends on torch and on versions that
verifiers does not share.
"""

from __future__ import annotations

import ast
import contextlib
import keyword
import pprint
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from minirl import __version__
from minirl.envs.base import Environment, as_turns
from minirl.envs.exported.closure import Closure, closure, imports_of, moved, source_of
from minirl.envs.exported.fingerprint import count, fingerprint
from minirl.envs.recited import recite
from minirl.envs.registry import ADAPTERS, make_env
from minirl.errors import ConfigError, EnvironmentFault, UnknownGold
from minirl.rundir import disk_errors, write_text
from minirl.types import SPLITS

MARKER = "exported-by-minirl"  # a file that says what may be overwritten
TEMPLATES = ("__init__.py", "load.py", "v0.py", "v1.py")
ALWAYS = ("minirl.envs.registry", "minirl.envs.exported.player", "minirl.envs.exported.fingerprint")
TRIED = 5  # tasks a split whose scores name the parts
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FILE_SPEC = re.compile(r"(?P<path>.+?\.py):(?P<rest>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the package's name and directory, its files of minirl, what it needs."""

    name: str
    path: Path
    modules: int
    needs: tuple[str, ...]


def export_env(
    spec: str,
    options: Mapping[str, Any],
    out: Path,
    *,
    name: str | None = None,
    force: bool = False,
) -> Exported:
    """Write the package into ``out/NAME``, whole or not at all, and try it in a fresh process.

    Args:
        spec: as :func:`minirl.envs.make_env` takes it; a local file travels inside the package.
        options: the environment's.
        out: the directory above the package's own.
        name: the package's; ``minirl-`` and the environment's label without it.
        force: replace an earlier export of that name (and nothing else).

    Raises:
        ConfigError: a name or place that cannot be used.
        EnvironmentFault: the environment cannot be taken out of minirl, or the copy differs.
    """
    env = make_env(spec, options)
    name = _checked_name(name or _default_name(env))
    module = name.replace("-", "_")
    target = out / name
    _check_free(target, force)
    file_spec = _FILE_SPEC.fullmatch(spec)
    file = Path(file_spec["path"]) if file_spec else None
    source = _source(env, spec, file)
    home = f"{module}._minirl"
    settings = {
        "NAME": name,
        "SPEC": file_spec["rest"] if file_spec else spec,
        "FILE": "env_file.py" if file else None,
        "OPTIONS": dict(options),
        "PARTS": _parts(env),
        "FINGERPRINT": fingerprint(env),
    }
    libraries = tuple(sorted(_distributions(source.libraries)))
    with disk_errors(out, elsewhere="choose another --out"):
        out.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=out))
    try:
        _write(scratch, module, home, source, settings, libraries, env)
        if file:
            text = moved(file.read_text(encoding="utf-8"), home, str(file))
            write_text(scratch / module / "env_file.py", text)
        _try(scratch, module)
        with disk_errors(target, elsewhere="choose another --out"):
            if target.exists():
                shutil.rmtree(target)
            scratch.chmod(0o755)
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Exported(name, target, len(source.files), libraries)


def _default_name(env: Environment[Any]) -> str:
    return "minirl-" + re.sub(r"[^a-z0-9]+", "-", env.label.lower()).strip("-")


def _checked_name(name: str) -> str:
    module = name.replace("-", "_")
    taken = {"minirl", "verifiers", *sys.stdlib_module_names}
    if not _NAME.fullmatch(name) or len(name) > 60 or module in taken or keyword.iskeyword(module):
        raise ConfigError(
            f"{name!r} cannot be the name of a package",
            expected="lower-case letters, digits and single hyphens, as in my-env",
            fix="choose one with --name",
        )
    return name


def _check_free(target: Path, force: bool) -> None:
    if not (target.exists() or target.is_symlink()):
        return
    ours = (target / MARKER).is_file() and not target.is_symlink()
    if force and ours:
        return
    raise ConfigError(
        f"{target} is there already" + ("" if ours else ", and is no export of minirl"),
        fix="--force replaces it" if ours else "choose another --out or --name",
    )


def _source(env: Environment[Any], spec: str, file: Path | None) -> Closure:
    """The modules of minirl that travel along, and the libraries that they and the file import."""
    roots = list(ALWAYS)
    libraries: set[str] = set()
    if file:
        named = set(imports_of(file.read_text(encoding="utf-8"), "env_file", file))
        for imported in sorted(named):
            root = imported.partition(".")[0]
            if root == "minirl":
                roots += _module_of(imported)
            elif root not in sys.stdlib_module_names:
                _refuse_neighbour(file, root)
                libraries.add(root)
    else:
        module = type(env).__module__
        if not module.startswith("minirl."):
            raise EnvironmentFault(
                f"{spec} comes from the package {module.partition('.')[0]}, which imports minirl",
                expected="a built-in environment, or a local file",
                fix="export the file that defines it: minirl envs export ./file.py:Class",
            )
        door = ADAPTERS.get(spec.partition(":")[0])
        roots += [module, *([door] if door else [])]
    found = closure(roots)
    return Closure(found.files, found.libraries | libraries)


def _module_of(imported: str) -> list[str]:
    """The module of minirl that ``imported`` is or lies in."""
    parts = imported.split(".")
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return [n for n in names if source_of(n)][-1:]


def _refuse_neighbour(file: Path, root: str) -> None:
    beside = file.parent / root
    if root == "" or beside.is_dir() or beside.with_suffix(".py").is_file():
        raise EnvironmentFault(
            f"{file} imports {root or 'a module'} beside it, which does not travel along",
            fix="put what it needs into the one file, or into a package that can be installed",
        )


def _distributions(libraries: frozenset[str]) -> set[str]:
    """What to install for the imported modules: the names of their distributions."""
    known = packages_distributions()
    return {known.get(root, [root])[0] for root in libraries}


def _parts(env: Environment[Any]) -> list[str]:
    """The names of the score's parts, from right and wrong answers to the first tasks."""
    names: dict[str, None] = {}
    for split in SPLITS:
        for index in range(count(env, split, TRIED)):
            task = env.task(split, index)
            written = ["", *env.decoys(task)]
            with contextlib.suppress(UnknownGold):
                written.append(env.gold(task))
            for turns in written:
                names |= dict.fromkeys(recite(env, task, as_turns(turns)).parts)
    return [name for name in names if name not in ("reward", "solved")]


def _write(
    scratch: Path,
    module: str,
    home: str,
    source: Closure,
    settings: Mapping[str, Any],
    libraries: tuple[str, ...],
    env: Environment[Any],
) -> None:
    package = scratch / module
    for path, data in source.files.items():
        place = package / "_minirl" / path
        with disk_errors(place, elsewhere="choose another --out"):
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.endswith(".py"):
                data = moved(data.decode(), home, f"minirl/{path}").encode()
            place.write_bytes(data)
    templates = files("minirl.envs.exported") / "templates"
    for template in TEMPLATES:
        write_text(package / template, (templates / f"{template}.in").read_text("utf-8"))
    said = [f"{key} = {pprint.pformat(value, width=96)}" for key, value in settings.items()]
    write_text(package / "settings.py", '"""What was exported."""\n\n' + "\n".join(said) + "\n")
    ast.parse((package / "settings.py").read_text(encoding="utf-8"))
    sizes = {split: env.size(split) for split in SPLITS}
    facts: dict[str, str] = {
        "name": settings["NAME"],
        "module": module,
        "spec": env.label,
        "version": __version__,
        "modules": str(len(source.files)),
        "turns": str(env.max_turns),
        "parts": "".join(f", {part}" for part in settings["PARTS"]),
        "digest": settings["FINGERPRINT"][:16],
        "libraries": "".join(f'\n    "{library}",' for library in libraries),
        **{split: "no end of" if n is None else str(n) for split, n in sizes.items()},
    }
    for template in ("README.md", "pyproject.toml"):
        text = (templates / f"{template}.in").read_text("utf-8")
        write_text(scratch / template, Template(text).substitute(facts))
    write_text(scratch / MARKER, f"minirl {__version__}\n")


def _try(scratch: Path, module: str) -> None:
    """Load the package where nothing of ours is loaded: its tasks must be the same."""
    program = f"import sys; sys.path.insert(0, sys.argv[1]); import {module}.load as m"
    run = subprocess.run(
        [sys.executable, "-I", "-B", "-c", f"{program}; m.environment()", str(scratch)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=scratch,  # and not where files lie that do not travel along
    )
    if run.returncode:
        last = run.stderr.strip().splitlines()[-1:] or ["no message"]
        raise EnvironmentFault(
            f"the exported package does not work by itself: {last[0][:500]}",
            fix="an environment that is exported must not depend on this process or its files",
        )
