"""`minirl play`: a person plays an episode in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from minirl.types import Message, Score

EXAMPLE = "Example:  minirl play countdown:1"


def command(
    env: Annotated[str, typer.Argument(metavar="ENV", help="NAME, NAME:LEVEL or ./file.py:Class.")],
    index: Annotated[int, typer.Option(min=0, help="Which train task.")] = 0,
    gold: Annotated[
        bool, typer.Option("--gold", help="Show the reference solution at the end.")
    ] = False,
) -> None:
    """Play one task yourself. An empty line ends your turn, Ctrl-D the episode."""
    from minirl.cli.session import first_task, guarded
    from minirl.envs import make_env
    from minirl.envs.base import as_turns
    from minirl.envs.tool_calls import parse_tool_calls
    from minirl.report.text import visible
    from minirl.types import Message

    environment = make_env(env)
    task = first_task(environment, index)
    episode = guarded(environment, "episode", environment.episode, task)
    typer.echo(f"{task.id}   (an empty line ends your turn, Ctrl-D gives up)\n")
    _show(episode.messages)
    if episode.tools:
        names = ", ".join(str(t.get("function", t).get("name")) for t in episode.tools)
        typer.echo(f"tools: {visible(names)}")
    for turn in range(environment.max_turns):
        text = _read_turn()
        if text is None:
            _verdict(episode.give_up("the player left"))
            break
        calls = parse_tool_calls(text) if episode.tools else ()
        step = guarded(environment, "step", episode.step, Message("assistant", text, calls))
        if step.score is not None:
            _verdict(step.score)
            break
        _show(step.messages)
        if turn + 1 == environment.max_turns:
            _verdict(episode.give_up("out of turns"))
    if gold:
        for text in as_turns(guarded(environment, "gold", environment.gold, task)):
            typer.echo(f"gold:\n{visible(text)}")


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
