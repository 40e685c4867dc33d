"""`minirl chat`: talk to what was trained, or to what was exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minirl.cli import options as o

if TYPE_CHECKING:
    from minirl.export.speaker import Speaker

EXAMPLE = (
    "Example:  minirl chat quickstart\n\n"
    "In llama.cpp:  minirl chat runs/quickstart/export/base-f16.gguf --lora lora.gguf\n\n"
    "One turn a line:  echo 'What is 2 + 2?' | minirl chat quickstart"
)
HINT = "/reset forgets the conversation, /exit leaves; Ctrl-C stops an answer."


def command(
    target: Annotated[
        str, typer.Argument(metavar="RUN|FILE.gguf", help="A run (its adapter), or a GGUF file.")
    ],
    lora: Annotated[
        Path | None, typer.Option("--lora", metavar="FILE", help="An adapter GGUF to go with it.")
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="The run's model without adapter.")] = False,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=100.0, help="Of the sampling; 0 is greedy.")
    ] = 0.7,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A system prompt to begin with.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 1024,
    context: Annotated[
        int, typer.Option(min=64, help="Longest conversation of a GGUF, in tokens.")
    ] = 4096,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampling.")] = 0,
    runs: o.Runs = o.RUNS,
) -> None:
    """Talk to a trained model, or to an exported one in llama.cpp."""
    with _speaker(target, lora, base, context, runs) as speaker:
        _talk(speaker, system, temperature, max_tokens, seed)


@contextmanager
def _speaker(
    target: str, lora: Path | None, base: bool, context: int, runs: Path
) -> Iterator[Speaker]:
    from minirl.cli.session import load, reopen
    from minirl.errors import ConfigError
    from minirl.export.speaker import LlamaSpeaker, ModelSpeaker
    from minirl.report.console import notices

    if target.lower().endswith(".gguf"):
        from minirl.export.llama import serve

        if base:
            raise ConfigError(
                "--base is for a run", fix="leave it out; a GGUF has no adapter without --lora"
            )
        progress = notices().say
        file = Path(target)
        with serve(
            file, lora=lora, context=context, parallel=1, exact=False, progress=progress
        ) as server:
            yield LlamaSpeaker(server)
        return
    if lora is not None:
        raise ConfigError("--lora is for a GGUF file", fix="leave it out; a run has its adapter")
    session = reopen(target, runs, [], sections=())
    trained = session.run.trained
    if not trained and not base:
        raise ConfigError(f"{target} has no adapter", fix="--base, or train it first")
    loaded = load(session, notices(), adapter=session.run.adapter if trained else None)
    yield ModelSpeaker(loaded, use_adapter=not base)


def _talk(
    speaker: Speaker, system: str | None, temperature: float, max_tokens: int, seed: int
) -> None:
    """Read turns until the end of the input; a person's errors do not end the conversation."""
    import sys

    from minirl.errors import ModelError
    from minirl.report.text import visible
    from minirl.types import Message

    opening = [Message("system", system)] if system else []
    messages = list(opening)
    person = sys.stdin.isatty()
    if person:
        typer.echo(HINT, err=True)
    for number, said in enumerate(_turns(person)):
        if said == "/exit":
            break
        if said == "/reset":
            messages = list(opening)
            continue
        messages.append(Message("user", said))
        pieces: list[str] = []

        def say(piece: str, pieces: list[str] = pieces) -> None:
            pieces.append(piece)
            typer.echo(visible(piece, limit=len(piece)), nl=False)

        try:
            speaker.answer(
                messages, say, max_tokens=max_tokens, temperature=temperature, seed=seed + number
            )
            typer.echo()
        except KeyboardInterrupt:
            if not person:
                raise
            typer.echo(" [stopped]")
        except ModelError as error:
            if not person:
                raise
            messages.pop()
            typer.echo(f"{visible(str(error))}\n/reset begins anew.", err=True)
            continue
        messages.append(Message("assistant", "".join(pieces)))


def _turns(person: bool) -> Iterator[str]:
    """What is said, a line a turn; Ctrl-D or Ctrl-C instead of a line ends the conversation."""
    import sys

    if not person:
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    while True:
        try:
            line = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo(err=True)
            return
        if line:
            yield line
