"""`minirl play`: a person plays an episode in the terminal, tools included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from minirl.types import Message, Score

EXAMPLE = "Example:  minirl play countdown:2"


def command(
    env: Annotated[str, typer.Argument(metavar="ENV", help="NAME, NAME:LEVEL or ./file.py:Class.")],
    index: Annotated[int, typer.Option(min=0, help="Which train task.")] = 0,
    gold: Annotated[
        bool, typer.Option("--gold", help="Show the reference solution at the end.")
    ] = False,
) -> None:
    """Play one task yourself. An empty line ends your turn, Ctrl-D the episode.

    Where there are tools, `name key=value` calls one.
    """
    from minirl.cli.session import first_task, guarded
    from minirl.envs import make_env
    from minirl.envs.base import as_turns
    from minirl.envs.tool_calls import parse_tool_calls
    from minirl.errors import UnknownGold
    from minirl.report.text import visible
    from minirl.types import Message

    environment = make_env(env)
    task = first_task(environment, index)
    episode = guarded(environment, "episode", environment.episode, task)
    typer.echo(f"{task.id}   (an empty line ends your turn, Ctrl-D gives up)\n")
    _show(episode.messages)
    for line in _tool_help(episode.tools):
        typer.echo(visible(line))
    for turn in range(environment.max_turns):
        text = _read_turn()
        if text is None:
            _verdict(episode.give_up("the player left"))
            break
        text = short_call(text, episode.tools) or text
        calls = parse_tool_calls(text) if episode.tools else ()
        step = guarded(environment, "step", episode.step, Message("assistant", text, calls))
        if step.score is not None:
            _verdict(step.score)
            break
        _show(step.messages)
        if turn + 1 == environment.max_turns:
            _verdict(episode.give_up("out of turns"))
    if gold:
        try:
            written = as_turns(guarded(environment, "gold", environment.gold, task))
        except UnknownGold as unknown:
            typer.echo(f"gold: unknown: {visible(unknown.message)}")
            return
        for text in written:
            typer.echo(f"gold:\n{visible(text)}")


def short_call(text: str, tools: Sequence[Mapping[str, Any]]) -> str | None:
    """``name key=value key="two words"`` as the tool call that it means; None where it is none.

    A value is JSON where it can be, but for arguments whose schema says that they are strings.
    """
    import json
    import shlex

    try:
        name, *pairs = shlex.split(text)
    except ValueError:  # no word, or a quotation mark that is not closed
        return None
    schemas = {str(t.get("function", t).get("name")): t.get("function", t) for t in tools}
    if name not in schemas or not all("=" in pair for pair in pairs):
        return None
    fields = schemas[name].get("parameters", {}).get("properties", {})
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        arguments[key] = value
        if fields.get(key, {}).get("type") != "string":
            try:
                arguments[key] = json.loads(value)
            except (ValueError, RecursionError):
                continue  # it stays the text that was typed
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>{body}</tool_call>"


def _tool_help(tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each tool, and how to call the first one."""
    if not tools:
        return []
    lines = ["tools:"]
    examples = []
    for tool in tools:
        told = tool.get("function", tool)
        schema = told.get("parameters", {})
        fields, required = schema.get("properties", {}), schema.get("required", [])
        shown = [
            f"{key}{'' if key in required else '?'}: {field.get('type', 'any')}"
            for key, field in fields.items()
        ]
        lines.append(f"  {told.get('name')}({', '.join(shown)})  {told.get('description', '')}")
        examples.append(" ".join([str(told.get("name")), *(f"{key}=…" for key in fields)]))
    return [*lines, f"call one by writing, for example:  {examples[0]}"]


def _read_turn() -> str | None:
    """Lines up to an empty one; None at the end of the input with nothing typed."""
    lines: list[str] = []
    while True:
        try:
            line = input("> " if not lines else ". ")
        except EOFError:
            typer.echo()
            return "\n".join(lines) if lines else None
        if not line.strip() and lines:
            return "\n".join(lines)
        if line.strip():
            lines.append(line)


def _show(messages: tuple[Message, ...]) -> None:
    from minirl.report.text import visible

    for message in messages:
        typer.echo(f"[{message.role}] {visible(message.content)}")


def _verdict(score: Score) -> None:
    from minirl.report.text import visible

    parts = ", ".join(f"{k} {v:g}" for k, v in score.parts.items())
    verdict = "solved" if score.solved else "not solved"
    typer.echo(visible(f"{verdict}: score {score.value:g} ({parts}) {score.reason}"))
