"""What a config's keys mean, and what is wrong with one: for people."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from minirl.config.recipe import Recipe
from minirl.errors import ConfigError


def explain_validation_error(
    error: ValidationError, model: type[BaseModel], source: str
) -> ConfigError:
    """Turn pydantic's report into ours: every wrong key on a line, mistyped ones with a
    suggestion.
    """
    by_key: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        # pydantic puts the member of a union into the path; ours are types, which no key is called
        path = (str(part) for part in item["loc"])
        where = tuple(p for p in path if not p.startswith(("literal[", "tuple[")))
        by_key.setdefault(where, []).append(item)
    told = []
    for where, items in by_key.items():
        key = f"{'.'.join(where)}: " if where else ""
        told.append(f"  - {key}{_complaint(items, where, model)}")
    return ConfigError(
        f"{source} cannot be used:\n" + "\n".join(told),
        fix="change these keys in the file, or with --set section.key=value",
    )


def _complaint(
    items: Sequence[Mapping[str, Any]], where: Sequence[str], model: type[BaseModel]
) -> str:
    """What is wrong with one key; a union reports each of its members."""
    item = items[0]
    if item["type"] == "extra_forbidden":
        return f"no such key; {_suggestion(where, model)}"
    if item["type"] == "missing":
        return f"missing{_help(where, model)}"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    rules = " or ".join(dict.fromkeys(_rule(i) for i in items))
    return f"{rules}, got {_short(item['input'])}{_help(where, model)}"


def _rule(item: Mapping[str, Any]) -> str:
    """pydantic's sentence in the words of a TOML file."""
    if item["type"] in ("model_type", "dict_type"):
        return "must be a section"
    rule = str(item["msg"]).replace("Input should be", "must be").partition(", unable to parse")[0]
    for theirs, ours in (("a valid integer", "an integer"), ("tuple", "list"), ("a valid ", "a ")):
        rule = rule.replace(theirs, ours)
    return rule


def _suggestion(where: Sequence[str], model: type[BaseModel]) -> str:
    """The key that was meant: of this name in another section, like it here, or like it there."""
    section, name = where[:-1], where[-1]
    here = {k: ".".join([*section, k]) for k in _known_keys(model, section)}
    everywhere = _all_keys(model)
    meant = [k for k in everywhere if k.rpartition(".")[2] == name]
    meant = meant or [here[k] for k in difflib.get_close_matches(name, here, n=1)]
    if not meant:
        close = difflib.get_close_matches(name, [k.rpartition(".")[2] for k in everywhere], n=1)
        meant = [k for k in everywhere if k.rpartition(".")[2] in close]
    if meant:
        return f"did you mean {' or '.join(map(repr, meant))}?"
    return f"known here: {', '.join(here)}" if here else "it has no keys"


def _short(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({_toml_type(value)})"


def _toml_type(value: object) -> str:
    names = {"str": "a string", "bool": "a boolean", "int": "an integer", "float": "a float"}
    names |= {"list": "a list", "tuple": "a list", "dict": "a section"}
    return names.get(type(value).__name__, type(value).__name__)


def _help(where: Sequence[str], model: type[BaseModel]) -> str:
    """The field's own words, to stand behind a complaint about it."""
    parent = _section(model, where[:-1])
    field = parent.model_fields.get(where[-1]) if parent and where else None
    text = " ".join(((field and field.description) or "").split())
    return f"\n      ({text})" if text else ""


def _section(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    node: type[BaseModel] | None = model
    for part in path:
        field = node.model_fields.get(part) if node else None
        node = _as_model(field.annotation) if field else None
    return node


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    node = _section(model, path)
    return list(node.model_fields) if node else []


def _all_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key, dotted; the sections themselves, too."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        inner = _as_model(field.annotation)
        if inner:
            keys += _all_keys(inner, f"{prefix}{name}.")
    return keys


def _as_model(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def describe_fields(
    model: type[BaseModel] = Recipe, prefix: str = ""
) -> list[tuple[str, str, str]]:
    """(key, default, help) of every field, sections flattened; what ``recipes show --explain``
    prints.
    """
    rows = []
    for name, field in model.model_fields.items():
        inner = _as_model(field.annotation)
        if inner:
            rows += describe_fields(inner, f"{prefix}{name}.")
        else:
            default = (
                "required"
                if field.is_required()
                else repr(field.get_default(call_default_factory=True))
            )
            rows.append((prefix + name, default, " ".join((field.description or "").split())))
    return rows
