"""An Ollama Modelfile whose TEMPLATE writes what the model's own chat template writes.

Ollama renders conversations with Go's text/template. It joins neighbouring messages of one role
(but for tools) by an empty line, and drops the oldest where the context is full, before the
TEMPLATE sees them (its template/template.go and server/prompt.go). Since 2026 it prefers a GGUF's
own chat template to a TEMPLATE where the former knows tools or thoughts; either gives the same
text. What stands in it, and how it is quoted: its docs/modelfile.mdx and parser/parser.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minirl.config import Recipe
from minirl.envs import make_env
from minirl.errors import ModelError
from minirl.export.joints import ROLES, Joints, take_apart, unlike
from minirl.export.verify import Target
from minirl.models.catalogue import resolve_model
from minirl.models.chat import ChatCodec
from minirl.rundir import write_text
from minirl.types import Role

CONTEXT = 4096  # tokens, where the recipe says nothing: Ollama's memory grows with it

# What would not stand outside of an action, or between """, as it is.
_SPECIAL = re.compile(r'(\{+(?![ -z|}~\n])|"""+)')


def write_modelfile(recipe: Recipe, target: Target, into: Path) -> None:
    """Write the Modelfile of a GGUF, or of an adapter GGUF with its base, beside it.

    Raises:
        ModelError: see :func:`modelfile`; or the adapter's base is not known.
    """
    from minirl.models.stock import load_tokenizer

    gguf, adapter = target.name, None
    if target.kind == "gguf-lora":
        if target.base is None:
            raise ModelError(
                f"a Modelfile of {target.name} needs the GGUF of its base model",
                fix="export it merged: --to gguf",
            )
        gguf, adapter = str(target.base.resolve()), target.name
    tokenizer = load_tokenizer(recipe.model, resolve_model(recipe.model.name).location)
    env = make_env(recipe.env.name, recipe.env.options)
    text = modelfile(
        ChatCodec(tokenizer, thinking=recipe.model.thinking),
        gguf=gguf,
        adapter=adapter,
        temperature=recipe.sampling.temperature,
        context=min(recipe.model.max_seq_length or CONTEXT, tokenizer.model_max_length),
        description=f"{recipe.model.name}, trained on {env.label} with minirl",
        roles={message.role for message in env.episode(env.task("test", 0)).messages},
        top_p=recipe.sampling.top_p,
        top_k=recipe.sampling.top_k,
    )
    write_text(into, text)


def modelfile(
    codec: ChatCodec,
    *,
    gguf: str,
    adapter: str | None,
    temperature: float,
    context: int,
    description: str,
    roles: Collection[str] = ("user",),
    top_p: float = 1.0,
    top_k: int = 0,
) -> str:
    """The text of a Modelfile beside a GGUF.

    Args:
        gguf: file name of the model, and
        adapter: of a LoRA for it, relative to the Modelfile.
        temperature, top_p, top_k: how it was sampled when it was measured; Ollama's own values
            (0.8, 0.9, 40) give other answers.
        context: tokens of prompt and answer together.
        description: comment at the top.
        roles: whose messages there must be a place for. Others are left out, and a comment says
            so, where the model's template refuses them, or does with them what Ollama cannot.

    Raises:
        ModelError: the model's chat template cannot be said in Ollama's language.
    """
    joints = take_apart(codec)
    lacking = [role for role in ROLES if role in roles and role not in joints.roles]
    if lacking:
        raise unlike(codec, f"has no plain place for messages by {' and '.join(lacking)}", None)
    notes, joints = _without_bos(codec.tokenizer, joints)
    if joints.missing:
        notes.append(f"This TEMPLATE has no place for {', '.join(joints.missing)}.")
    if joints.strips:
        named = ", ".join(role for role in ROLES if role in joints.strips)
        notes.append(
            f"The model's own template strips blanks around messages ({named}); Ollama cannot."
        )
    stops = codec.tokenizer.convert_ids_to_tokens(sorted(codec.eos_ids))
    lines = [f"# {line}" for line in _comment([description, *notes])]
    lines.append(f"FROM {_path(gguf)}")
    if adapter is not None:
        lines.append(f"ADAPTER {_path(adapter)}")
    lines.append(f'TEMPLATE """{go_template(joints)}"""')
    lines += [f'PARAMETER stop "{stop}"' for stop in stops if stop.isprintable()]
    lines += [
        f"PARAMETER temperature {temperature:g}",
        f"PARAMETER top_p {top_p:g}",
        f"PARAMETER top_k {top_k}",
        "PARAMETER min_p 0",
        "PARAMETER repeat_penalty 1",
        f"PARAMETER num_ctx {context}",
    ]
    return "\n".join(lines) + "\n"


def _without_bos(tokenizer: Any, joints: Joints) -> tuple[list[str], Joints]:
    """Leave the token that begins every text to llama.cpp, which adds it where the tokenizer
    does; a second one would be wrong.
    """
    bos, ids = tokenizer.bos_token, tokenizer("a")["input_ids"]
    if not bos or ids[:1] != [tokenizer.bos_token_id]:
        return [], joints
    openings = {joint: text for joint, text in joints.between.items() if not joint[0]}
    notes = []
    if not all(text.startswith(bos) for text in openings.values()):
        notes.append(f"llama.cpp begins with {bos}; the model's own template does not.")
    bare = {joint: text.removeprefix(bos) for joint, text in openings.items()}
    return notes, replace(joints, between={**joints.between, **bare})


def go_template(joints: Joints) -> str:
    """The same in Go's language: text/template, as Ollama extends it."""
    roles = [(f'eq .Role "{role}"', _go_message(joints, role)) for role in ROLES]
    ends = [(f"eq $before {befores}", text) for befores, text in _grouped(joints, "")]
    return (
        f'{{{{ $before := "" }}}}{{{{ range .Messages }}}}{_go_choice(roles)}{{{{ end }}}}'
        f"{_go_choice(ends)}"
    )


def _go_message(joints: Joints, role: Role) -> str:
    """What is written for a message of the role."""
    told = f'{{{{ .Content }}}}{{{{ $before = "{role}" }}}}'
    cases = [(f"eq $before {befores}", text + told) for befores, text in _grouped(joints, role)]
    # A template cannot raise an error; slicing a text wrongly does, and shows the text. But where
    # Ollama has dropped an old question, its answers go, too.
    orphan = bool(cases) and role != "system"
    otherwise = f'{{{{ slice "the template has no place for this {role} message" 1 0 }}}}'
    return _go_choice(cases, "" if orphan else otherwise) if cases else otherwise


def _grouped(joints: Joints, role: str) -> list[tuple[str, str]]:
    """The texts before ``role``, each with the roles before it, as Go's strings."""
    groups: dict[str, list[str]] = {}
    for (before, after), text in joints.between.items():
        if after == role:
            groups.setdefault(text, []).append(f'"{before}"')
    return [(" ".join(befores), _go_text(text)) for text, befores in groups.items()]


def _go_choice(cases: Sequence[tuple[str, str]], otherwise: str = "") -> str:
    chain = "{{ else ".join(f"if {condition} }}}}{text}" for condition, text in cases)
    return f"{{{{ {chain}" + (f"{{{{ else }}}}{otherwise}" if otherwise else "") + "{{ end }}"


def _go_text(text: str) -> str:
    """Text outside of actions; what would not stand there unchanged becomes a string in one.

    Ollama's parser of Modelfiles drops characters that cannot be printed, so these are escaped.
    """
    return "".join(
        _go_string(part)
        if i % 2
        else "".join(c if c.isprintable() or c == "\n" else _go_string(c) for c in part)
        for i, part in enumerate(_SPECIAL.split(text))
    )


def _go_string(text: str) -> str:
    escaped = json.dumps(text)[1:-1]
    if len(text) == 1 and ord(text) > 0xFFFF:  # Go knows no surrogates
        escaped = f"\\U{ord(text):08x}"
    return f'{{{{ "{escaped}" }}}}'


def _path(name: str) -> str:
    """A path for FROM and ADAPTER.

    Raises:
        ModelError: Ollama would read another name.
    """
    if not name.isprintable() or name != name.strip() or '"' in name:
        raise ModelError(f"Ollama cannot read the file name {name!r}", fix="rename the file")
    return name if name.startswith(("/", "./", "../")) else f"./{name}"


def _comment(texts: Sequence[str]) -> list[str]:
    """Lines without what could end a comment or steer a terminal."""
    lines = [line for text in texts for line in text.splitlines()]
    return ["".join(c for c in line if c.isprintable()) for line in lines]
