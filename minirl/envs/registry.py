"""Environments by name: built in, from an installed package, or from a file of yours.

A package offers one through an entry point whose name is the environment's name::

    [project.entry-points."minirl.envs"]
    my_env = "my_package.envs:MyEnv"
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeGuard, TypeVar

from pydantic import ValidationError

from minirl.config import explain_validation_error
from minirl.envs.base import ConfigT, EnvConfig, Environment
from minirl.errors import ConfigError, EnvironmentFault, MinirlError, UnknownNameError

ENTRY_POINTS = "minirl.envs"
BUILT_IN = {
    "arithmetic": "minirl.envs.arithmetic",
    "calculator": "minirl.envs.calculator.env",
    "code": "minirl.envs.code.env",
    "countdown": "minirl.envs.countdown",
    "gridworld": "minirl.envs.games.gridworld",
    "gsm8k": "minirl.envs.gsm8k",
    "json_extraction": "minirl.envs.json_extraction",
    "list_edits": "minirl.envs.list_edits",
    "mastermind": "minirl.envs.games.mastermind",
    "minesweeper": "minirl.envs.games.minesweeper",
    "number_puzzles": "minirl.envs.number_puzzles",
    "regex_synthesis": "minirl.envs.regex_synthesis",
    "sort_words": "minirl.envs.sort_words",
    "sql": "minirl.envs.sql.env",
    "strategy_2048": "minirl.envs.strategy_2048.env",
    "string_edits": "minirl.envs.string_edits",
    "sudoku": "minirl.envs.sudoku",
    "word_guess": "minirl.envs.games.word_guess",
    "word_problems": "minirl.envs.word_problems.env",
}

# Doors to other libraries' environments: the word before the first colon of a spec. Each module has
# ``open_env(rest, options) -> Environment``, where rest is what follows that colon.
ADAPTERS: dict[str, str] = {
    "hf": "minirl.envs.adapters.hub",
    "jsonl": "minirl.envs.adapters.jsonl",
    "openenv": "minirl.envs.adapters.openenv",
    "reasoning-gym": "minirl.envs.adapters.reasoning_gym",
    "verifiers": "minirl.envs.adapters.verifiers",
}

EnvClass = type[Environment[Any]]
EnvClassT = TypeVar("EnvClassT", bound=EnvClass)

_FILE_SPEC = re.compile(r"(?P<path>.+?\.py)(?::(?P<cls>[^:]*))?(?::(?P<level>.*))?", re.DOTALL)
_registered: dict[str, EnvClass] = {}


@dataclass(frozen=True, slots=True)
class EnvInfo:
    """One environment; ``source`` is ``built-in``, ``package NAME`` or ``module NAME``."""

    name: str
    doc: str
    levels: tuple[str, ...]
    source: str


def register(cls: EnvClassT) -> EnvClassT:
    """Class decorator: make an environment available under its ``name``.

    Raises:
        EnvironmentFault: the class has no name, or the name belongs to another environment.
    """
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise EnvironmentFault(
            f"{cls.__qualname__} needs a name to be registered under",
            expected="a class attribute such as name = 'my_env' (letters, digits, - and _)",
            got=repr(name),
        )
    owner = BUILT_IN.get(name)
    known = _registered.get(name)
    if owner not in (None, cls.__module__):
        _name_taken(name, f"{cls.__module__}.{cls.__qualname__}", "a built-in environment")
    if known and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        _name_taken(
            name, f"{cls.__module__}.{cls.__qualname__}", f"{known.__module__}.{known.__qualname__}"
        )
    _registered[name] = cls
    return cls


def make_env(spec: str, options: Mapping[str, Any] | None = None) -> Environment[Any]:
    """Build an environment.

    Args:
        spec: ``NAME``, ``NAME:LEVEL``, ``PATH.py:ClassName`` or ``PATH.py:ClassName:LEVEL``, or
            another library's, as ``reasoning-gym:NAME`` (:data:`ADAPTERS`). A file is run as Python
            code of yours, anew on each call; it is not sandboxed.
        options: fields of the environment's Config; they go over the level's.

    Raises:
        UnknownNameError: no such environment, or no such level.
        ConfigError: an option that cannot be used, a missing file, a missing class.
        EnvironmentFault: the environment's own code is broken: it fails on import, lacks a method,
            claims a name that is taken, or defines a level that its Config refuses.
    """
    door, colon, rest = spec.partition(":")
    if colon and door in ADAPTERS:
        module = importlib.import_module(ADAPTERS[door])
        opened: Environment[Any] = module.open_env(rest, options or {})
        return opened
    file_spec = _FILE_SPEC.fullmatch(spec)
    if file_spec:
        cls = _from_file(Path(file_spec["path"]), file_spec["cls"], spec)
        level = file_spec["level"]
    else:
        name, colon, rest = spec.partition(":")
        cls = _by_name(name)
        level = rest if colon else None
    _check_contract(cls)
    return cls(_config(cls, level, options or {}, spec), level=level)


def list_envs() -> list[EnvInfo]:
    """Every environment with a name, sorted; a package's broken one says so in ``doc``."""
    found: dict[str, EnvInfo] = {}
    for name in BUILT_IN:
        found[name] = _info(_by_module(name), "built-in")
    for name, cls in _registered.items():
        found.setdefault(name, _info(cls, f"module {cls.__module__}"))
    for entry in _entry_points():
        if entry.name in found:
            continue
        try:
            found[entry.name] = _info(_load(entry), _package(entry))
        except EnvironmentFault as fault:
            found[entry.name] = EnvInfo(entry.name, f"broken: {fault.message}", (), _package(entry))
    return [found[name] for name in sorted(found)]


def _by_name(name: str) -> EnvClass:
    offers = [entry for entry in _entry_points() if entry.name == name]
    taken = name in BUILT_IN or name in _registered
    if offers and (taken or len(offers) > 1):
        owner = "a built-in environment" if name in BUILT_IN else "another environment"
        _name_taken(name, " and ".join(map(_package, offers)), owner)
    if name in BUILT_IN:
        return _by_module(name)
    if name in _registered:
        return _registered[name]
    if offers:
        return _load(offers[0])
    names = sorted({*BUILT_IN, *_registered, *(entry.name for entry in _entry_points())})
    raise unknown_name(f"no environment is called {name!r}", name, names, fix="minirl envs ls")


def _by_module(name: str) -> EnvClass:
    importlib.import_module(BUILT_IN[name])
    return _registered[name]


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.entry_points(group=ENTRY_POINTS))


def _package(entry: importlib.metadata.EntryPoint) -> str:
    return f"package {entry.dist.name if entry.dist else entry.module}"


def _load(entry: importlib.metadata.EntryPoint) -> EnvClass:
    try:
        cls = entry.load()
    except MinirlError:
        raise
    except Exception as error:
        raise EnvironmentFault(
            f"environment {entry.name!r} of {_package(entry)} cannot be imported: "
            f"{type(error).__name__}: {error}",
            fix="mend or uninstall that package",
        ) from error
    if not _is_environment(cls):
        raise EnvironmentFault(
            f"{entry.value} of {_package(entry)} is not an environment",
            expected="a subclass of minirl.envs.Environment",
            got=repr(cls),
        )
    if getattr(cls, "name", None) != entry.name:
        raise EnvironmentFault(
            f"{entry.value} of {_package(entry)} is offered under another name than its own",
            expected=f"name = {entry.name!r}",
            got=repr(getattr(cls, "name", None)),
        )
    return cls


def _from_file(path: Path, class_name: str | None, spec: str) -> EnvClass:
    if not path.is_file():
        raise ConfigError(
            f"no environment file at {path}", got=spec, fix=f"looked for {path.absolute()}"
        )
    module = run_file(path)
    classes = [
        name
        for name, value in vars(module).items()
        if _is_environment(value) and value.__module__ == module.__name__
    ]
    hint = f"environments in that file: {', '.join(classes) or 'none'}"
    if not class_name:
        raise ConfigError(
            "the spec of a local file names a class too",
            expected=f"{path}:{classes[0] if classes else 'MyEnv'}",
            got=spec,
            fix=hint,
        )
    if not hasattr(module, class_name):
        raise ConfigError(
            f"{path} defines no {class_name!r}{_did_you_mean(class_name, classes)}", fix=hint
        )
    cls = getattr(module, class_name)
    if not _is_environment(cls):
        raise ConfigError(
            f"{class_name} in {path} is not an environment",
            expected="a subclass of minirl.envs.Environment",
            got=repr(cls),
            fix=hint,
        )
    return cls


def run_file(path: Path) -> ModuleType:
    """Run a Python file of the user's, anew; EnvironmentFault where it fails. Not sandboxed."""
    resolved = path.resolve()
    digest = hashlib.sha256(str(resolved).encode()).hexdigest()[:8]
    name = f"minirl_local_{digest}_{resolved.stem}"
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic and dataclasses look annotations up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, MinirlError):
            raise
        raise EnvironmentFault(
            f"{path}:{_line_of(error, resolved)} fails on import: {type(error).__name__}: {error}"
        ) from error
    return module


def _line_of(error: BaseException, path: Path) -> int:
    """The line of ``path`` where ``error`` arose; 0 if it never got into that file."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno or 0 for frame in frames if frame.filename == str(path)]
    return lines[-1] if lines else 0


def _is_environment(value: object) -> TypeGuard[EnvClass]:
    return isinstance(value, type) and issubclass(value, Environment)


def _check_contract(cls: EnvClass) -> None:
    def written(method: str) -> bool:
        return getattr(cls, method) is not getattr(Environment, method)

    missing = [f"{m}(...)" for m in ("task", "gold", "decoys") if not written(m)]
    if not written("episode"):
        if cls.max_turns > 1:
            missing.append("episode(task), since max_turns > 1")
        elif not written("score"):
            missing.append("score(task, text), or episode(task) for several turns")
    if not isinstance(getattr(cls, "name", None), str):
        missing.append("name = '...'")
    if missing:
        raise EnvironmentFault(
            f"{cls.__module__}.{cls.__qualname__} is not a whole environment",
            expected="task, gold, decoys, and score or episode",
            got=f"it lacks {'; '.join(missing)}",
        )
    config: object = cls.Config
    if not (isinstance(config, type) and issubclass(config, EnvConfig)):
        raise EnvironmentFault(
            f"{cls.__qualname__}.Config is not a subclass of minirl.envs.EnvConfig",
            got=repr(config),
        )
    levels: object = cls.levels
    if not isinstance(levels, Mapping):
        raise EnvironmentFault(
            f"{cls.__qualname__}.levels is not a mapping",
            expected="levels = {'1': {'field': value}, ...}",
            got=repr(levels),
        )


def _config(cls: EnvClass, level: str | None, options: Mapping[str, Any], spec: str) -> EnvConfig:
    preset: Mapping[str, Any] = {}
    if level is not None:
        if level not in cls.levels:
            message = f"environment {cls.name!r} has no level {level!r}"
            raise unknown_name(
                message, level, list(cls.levels), fix=f"use {cls.name} without a level"
            )
        preset = cls.levels[level]
        try:
            cls.Config.model_validate(preset)
        except ValidationError as error:
            told = explain_validation_error(error, cls.Config, f"level {level!r} of {cls.name!r}")
            raise EnvironmentFault(told.message, fix="mend the environment's levels") from None
    return checked_options(cls.Config, {**preset, **options}, spec)


def checked_options(config: type[ConfigT], options: Mapping[str, Any], spec: str) -> ConfigT:
    """``options`` as a Config; ConfigError, with the names that exist, where they do not fit."""
    try:
        return config.model_validate(options)
    except ValidationError as error:
        told = explain_validation_error(error, config, f"the options of environment {spec!r}")
        fields = ", ".join(config.model_fields) or "it has none"
        raise ConfigError(told.message, fix=f"its options: {fields}") from None


def _name_taken(name: str, claimant: str, owner: str) -> NoReturn:
    raise EnvironmentFault(
        f"the environment name {name!r} is claimed twice: by {claimant} and by {owner}",
        fix=f"give the environment of {claimant} another name, or uninstall it",
    )


def unknown_name(message: str, name: str, known: Iterable[str], *, fix: str) -> UnknownNameError:
    """The error for ``name``, with the names that are known and the closest of them."""
    known = list(known)
    return UnknownNameError(
        message + _did_you_mean(name, known),
        expected=f"one of {', '.join(known)}" if known else "no level: it has none",
        got=repr(name),
        fix=fix,
    )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _info(cls: EnvClass, source: str) -> EnvInfo:
    doc = (cls.__doc__ or "").strip().partition("\n")[0]
    return EnvInfo(cls.name, doc, tuple(cls.levels), source)
