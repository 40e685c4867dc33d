"""`minirl export`: a run's adapter for other programs, and the proof that it came out right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minirl.cli import options as o

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minirl.cli.session import Session
    from minirl.export.exporter import Exporter, Order
    from minirl.export.verify import Target
    from minirl.report.console import Output

EXAMPLE = (
    "Example:  minirl export quickstart --to gguf-lora --to gguf -q f16 -q q4_k_m --ollama\n\n"
    "Once, before:  pip install -c constraints.txt '.[gguf]'  (llama.cpp)\n\n"
    "and:           minirl models pull gguf-converter"
)


def command(
    run: o.RunArg,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="KIND",
            help="adapter (PEFT), merged (safetensors), gguf-lora (an adapter for llama-cli "
            "--lora), gguf (merged, see -q); may be repeated. gguf-lora without it.",
        ),
    ] = None,
    quantization: Annotated[
        list[str] | None,
        typer.Option(
            "--quantization",
            "-q",
            metavar="FORMAT",
            help="Of merged GGUFs: f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, …; may be repeated. "
            "q8_0 without it.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; the run's export/ without it."),
    ] = None,
    merge_into: Annotated[
        str,
        typer.Option(
            "--merge-into",
            help="Of a 4-bit base: dequantized (the weights that were trained on), or original "
            "(the 16-bit ones).",
        ),
    ] = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype",
            help="Of merged safetensors: auto (the base's own), fp32, fp16 or bf16. bf16 rounds "
            "small updates away.",
        ),
    ] = "auto",
    ollama: Annotated[
        bool, typer.Option("--ollama", help="Write a Modelfile for `ollama create`, too.")
    ] = False,
    verify: Annotated[
        bool | None,
        typer.Option(
            "--verify/--no-verify",
            help="Run what was written in llama.cpp beside the trained model; done where llama.cpp "
            "is installed.",
        ),
    ] = None,
    positions: Annotated[
        int, typer.Option(min=1, help="Places of text to compare distributions at.")
    ] = 2000,
    tasks: Annotated[
        int | None,
        typer.Option(min=2, help="Held-out tasks to play with each (the recipe's eval.tasks)."),
    ] = None,
    with_unsloth: Annotated[
        bool,
        typer.Option(
            "--unsloth",
            help="Let Unsloth write the GGUFs in its own way (CUDA; it may download and build "
            "llama.cpp).",
        ),
    ] = False,
    check: Annotated[
        list[Path] | None,
        typer.Option(
            "--check",
            metavar="FILE",
            help="Write nothing; verify this file (or merged directory) against the run, whoever "
            "made it. May be repeated.",
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", metavar="FILE", help="With --check: an adapter's base, as GGUF."),
    ] = None,
    runs: o.Runs = o.RUNS,
    force: Annotated[
        bool, typer.Option("--force", help="Write and verify anew what is there already.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Write a run's adapter as PEFT adapter, merged model, GGUF adapter or merged GGUF, and check
    in real llama.cpp that it is the model that was trained. What is there already is not written
    again.
    """
    from minirl.cli.session import reopen
    from minirl.cli.steps import interruptible
    from minirl.cli.verified import check_files, verify_exports
    from minirl.errors import ConfigError, RunDirError
    from minirl.report.console import notices
    from minirl.rundir import read_json

    if base and not check:
        raise ConfigError("--base is for --check", fix="add --check FILE, or leave it out")
    order = _order(to, quantization, merge_into, dtype, ollama=ollama)
    session = reopen(run, runs, [], sections=())
    if not session.run.trained:
        raise RunDirError(
            f"{session.run.path} has no adapter yet",
            fix=f"finish its training: minirl train RECIPE --name {session.run.path.name} --resume",
        )
    from minirl.export.exporter import Exporter

    console = notices()
    exporter = Exporter(
        session.recipe,
        session.run,
        out or session.run.export,
        merge_into=merge_into,  # type: ignore[arg-type]
        dtype=dtype,  # type: ignore[arg-type]
        force=force,
        progress=console.say,
    )
    kept = "interrupted; every file that is there is whole: the same command goes on"
    played = tasks or session.recipe.eval.tasks
    if check:
        with interruptible(lambda: "interrupted; nothing was written"):
            found = check_files(session, exporter, check, base, positions, played, console)
        _tell_checked(found, as_json=as_json)
        return
    with session.run.locked(), interruptible(lambda: kept):
        if with_unsloth:
            _unsloth(session, exporter, order.formats, console)
            return
        targets = exporter.write(order)
        verified = None
        if targets and _wanted(verify, targets, exporter):
            verified = verify_exports(session, exporter, targets, positions, played, console)
        _companions(session, exporter, targets, verified, ollama=ollama)
    ledger = read_json(exporter.ledger) if exporter.ledger.exists() else {"files": {}}
    if as_json:
        record = {"out": str(exporter.out), "exported": ledger, "verified": verified}
        typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        _show(exporter, ledger, verified)
    _settle(exporter, targets, verified)


def _order(
    to: list[str] | None,
    quantization: list[str] | None,
    merge_into: str,
    dtype: str,
    *,
    ollama: bool,
) -> Order:
    """What the options ask for.

    Raises:
        ConfigError: a kind or a format that nobody knows.
    """
    import difflib
    from typing import get_args

    from minirl.errors import ConfigError
    from minirl.export.exporter import KINDS, WHOLE, Order
    from minirl.export.merged import Base, Dtype
    from minirl.export.quantize import QUANTIZATIONS

    formats = [q.lower() for q in quantization or []]
    kinds = list(dict.fromkeys(to or (["gguf"] if formats else ["gguf-lora"])))
    known = [*WHOLE, *QUANTIZATIONS]
    for option, given, choices in (
        ("--to", kinds, list(KINDS)),
        ("-q", formats, known),
        ("--merge-into", [merge_into], list(get_args(Base))),
        ("--dtype", [dtype], list(get_args(Dtype))),
    ):
        for word in given:
            if word not in choices:
                near = difflib.get_close_matches(word, choices, n=1)
                raise ConfigError(
                    f"{option} {word}: no such thing",
                    expected=", ".join(dict.fromkeys(choices)),
                    fix=f"did you mean {near[0]}?" if near else None,
                )
    if formats and "gguf" not in kinds:
        raise ConfigError("-q is about merged GGUFs", fix="add --to gguf, or leave -q out")
    if ollama and not any(kind.startswith("gguf") for kind in kinds):
        raise ConfigError("--ollama needs a GGUF", fix="add --to gguf, or --to gguf-lora")
    ordered = [kind for kind in KINDS if kind in kinds]
    return Order(ordered, list(dict.fromkeys(formats or ["q8_0"])))


def _wanted(verify: bool | None, targets: Sequence[Target], exporter: Exporter) -> bool:
    """Whether to verify: asked for, or not refused and possible."""
    from minirl.errors import MissingExtraError
    from minirl.export.llama import find_backend

    if verify is False:
        return False
    if not any(t.kind.startswith("gguf") for t in targets):
        return True
    try:
        find_backend()
    except MissingExtraError as error:
        exporter.missing.append(error)
        return verify is True
    return True


def _companions(
    session: Session,
    exporter: Exporter,
    targets: Sequence[Target],
    verified: dict[str, Any] | None,
    *,
    ollama: bool,
) -> None:
    """The Modelfile where it is asked for, and the model card."""
    from minirl.export.card import write_card
    from minirl.export.modelfile import write_modelfile

    ggufs = [t for t in targets if t.kind.startswith("gguf")]
    if ollama:
        for target in ggufs[:1]:
            write_modelfile(session.recipe, target, exporter.out / "Modelfile")
    if targets:
        write_card(session.run, exporter.out, verified)


def _show(exporter: Exporter, ledger: dict[str, Any], verified: dict[str, Any] | None) -> None:
    from minirl.report.console import results
    from minirl.report.export_table import export_lines, export_text

    console = results()
    lines = export_lines(ledger, verified) if ledger["files"] else []
    for line in [*lines, *export_text(ledger, verified)]:
        console.say(line)
    console.say(f"written to {exporter.out}")


def _tell_checked(found: dict[str, Any], *, as_json: bool) -> None:
    """Say what was found of files that were shown.

    Raises:
        ExportError: one of them is not the model that was trained.
    """
    from minirl.report.console import results
    from minirl.report.export_table import export_lines, export_text

    if as_json:
        typer.echo(json.dumps({"verified": found}, ensure_ascii=False))
    else:
        shown = {"model": found["reference"]["model"], "files": found["files"]}
        for line in [*export_lines(shown, found), *export_text(shown, found)]:
            results().say(line)
    _refuse({name: record["failures"] for name, record in found["files"].items()}, None)


def _refuse(failures: dict[str, list[str]], details: Path | None) -> None:
    from minirl.errors import ExportError

    failed = {name: told for name, told in failures.items() if told}
    if failed:
        raise ExportError(
            "not the model that was trained: "
            + "; ".join(f"{name}: {told[0]}" for name, told in failed.items()),
            fix="do not use it" + (f"; {details} has all figures" if details else ""),
        )


def _settle(exporter: Exporter, targets: Sequence[Target], verified: dict[str, Any] | None) -> None:
    """End with an error where something failed its verification, or could not be written.

    Raises:
        ExportError: an export is not the model that was trained.
        MissingExtraError: a package is missing; what was written is named.
    """
    from minirl.errors import MissingExtraError

    records = (verified or {"files": {}})["files"]
    failures = {t.name: records[t.name]["failures"] for t in targets if t.name in records}
    _refuse(failures, exporter.out / "verify.json")
    if exporter.missing:
        first = exporter.missing[0]
        names = ", ".join(t.name for t in targets) or "nothing"
        raise MissingExtraError(
            "; ".join(dict.fromkeys(e.message for e in exporter.missing)),
            got=f"written all the same, in {exporter.out}: {names}",
            fix="; ".join(dict.fromkeys(e.fix for e in exporter.missing if e.fix)) or first.fix,
        )


def _unsloth(session: Session, exporter: Exporter, formats: Sequence[str], console: Output) -> None:
    """Unsloth's own export, through its own converter and quantiser."""
    from minirl.cli.session import load
    from minirl.errors import ConfigError
    from minirl.models.backend import choose
    from minirl.models.machine import inspect
    from minirl.models.unsloth import save_gguf

    recipe = session.recipe
    if choose(recipe.model, recipe.sampling, inspect()).backend != "unsloth":
        raise ConfigError(
            "--unsloth needs the model on Unsloth, and transformers runs it here",
            fix="leave --unsloth out: minirl writes the same files itself",
        )
    loaded = load(session, console, adapter=session.run.adapter)
    save_gguf(loaded.model, loaded.tokenizer, exporter.out / "unsloth", formats)
    console.say(f"written to {exporter.out / 'unsloth'}, by Unsloth; not verified")
