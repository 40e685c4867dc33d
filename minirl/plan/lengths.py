"""How long an environment's prompts are, in tokens, before a model is loaded. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from minirl.envs.base import Environment
from minirl.errors import EnvironmentFault, MinirlError
from minirl.types import Message

TASKS = 32  # train tasks whose prompts are looked at
# English text has four to five characters a token, digits and signs one or two: this leans to the
# long side. The template adds
# some ten tokens a message: the role, and what opens and closes a turn.
CHARACTERS = 3.0
TEMPLATE = 10


@dataclass(frozen=True, slots=True)
class Prompts:
    """Longest prompt of some tasks.

    Attributes:
        tokens: its length.
        how: how it was found, for people.
    """

    tokens: int
    how: str


def prompt_length(env: Environment[Any], model: str, *, tasks: int = TASKS) -> Prompts:
    """The longest opening among the first train tasks.

    With the model's own tokenizer and chat template where they lie on this machine, else from the
    number of characters.

    Raises:
        EnvironmentFault: the environment's own code failed.
    """
    openings = _openings(env, tasks)
    folder = _folder(model)
    if folder:
        exact = _exact(openings, folder)
        if exact is not None:
            return Prompts(exact, f"the longest of {len(openings)} train tasks, tokenized")
    longest = max(map(estimate, openings))
    how = (
        f"the longest of {len(openings)} train tasks, estimated: {CHARACTERS:g} characters a "
        f"token, {TEMPLATE} tokens a message"
    )
    return Prompts(longest, how)


def estimate(messages: Sequence[Message]) -> int:
    """Tokens of a conversation, from its characters."""
    return round(sum(len(m.content) / CHARACTERS + TEMPLATE for m in messages))


def _openings(env: Environment[Any], tasks: int) -> list[tuple[Message, ...]]:
    """The messages that open episodes of the first train tasks, tools and all."""
    size = env.size("train")
    try:
        return [
            tuple(env.episode(env.task("train", i)).messages)
            for i in range(min(tasks, size) if size else tasks)
        ]
    except MinirlError:
        raise
    except Exception as error:
        raise EnvironmentFault(
            f"environment {env.label} failed while its prompts were read: "
            f"{type(error).__name__}: {error}",
            fix="mend the environment's code (--debug shows where)",
        ) from error


def _folder(model: str) -> Path | None:
    """Where the model's tokenizer lies on this machine."""
    from minirl.models.catalogue import CATALOGUE, HUB_ID, cache_dir

    if model in CATALOGUE:
        folder = cache_dir() / model
    elif (folder := Path(model).expanduser()).is_dir():
        pass
    elif HUB_ID.fullmatch(model):
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(model, "tokenizer.json")
        if not isinstance(found, str):
            return None
        folder = Path(found).parent
    return folder if (folder / "tokenizer.json").is_file() else None


def _exact(openings: Sequence[Sequence[Message]], folder: Path) -> int | None:
    """Tokens by the model's own template and tokenizer; None where they cannot be used so."""
    import jinja2

    template = _template(folder)
    if template is None:
        return None
    tokenizer = _tokenizer(folder)
    try:
        texts = [
            template.render(
                messages=[{"role": m.role, "content": m.content} for m in opening],
                add_generation_prompt=True,
                bos_token="",
                eos_token="",
            )
            for opening in openings
        ]
    except jinja2.TemplateError:
        return None  # a template of another dialect; the estimate serves
    return max(len(tokenizer.encode(t, add_special_tokens=False).ids) for t in texts)


@cache
def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _template(folder: Path) -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    text = None
    if (file := folder / "chat_template.jinja").is_file():
        text = file.read_text(encoding="utf-8")
    elif (file := folder / "tokenizer_config.json").is_file():
        text = json.loads(file.read_text(encoding="utf-8")).get("chat_template")
    if not isinstance(text, str):
        return None
    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(text)
