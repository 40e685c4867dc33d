"""`minirl doctor`: what this machine is, what will be used on it, and how to mend what is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from minirl.cli import options as o

if TYPE_CHECKING:
    from collections.abc import Callable

    from minirl.config import Recipe
    from minirl.models.backend import Choice, Finding
    from minirl.models.checks import Outcome
    from minirl.models.machine import Machine

EXAMPLE = "Example:  minirl doctor quickstart"

_MODELS_BYTES = 5e9  # a 4B model in 4 bits, or a 1.7B one in 16
_RUNS_BYTES = 1e9  # some checkpoints of an adapter with its optimiser, and all rollouts


def command(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="The recipe to ask about; any, without it."),
    ] = None,
    overrides: o.Set = None,
    runs: o.Runs = o.RUNS,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look only; do not try out the packages.")
    ] = False,
    network: Annotated[
        bool, typer.Option("--network", help="Ask the model hub and the package index, too.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Examine hardware, driver and packages, and say what will be used and what to mend."""
    import json

    from minirl.models.machine import inspect
    from minirl.report.console import notices, results
    from minirl.report.doctor_table import show_doctor

    asked = _read(recipe, overrides or [])
    machine = inspect()
    choice, findings = _decide(asked, machine)
    disk = disk_space(runs)
    tools, missing = export_tools()
    findings += [*disk_findings(disk), *missing]
    outcomes = [] if quick else _try_out(machine, choice, asked, network, notices())
    record = report(recipe, machine, choice, findings, outcomes, disk, tools)
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    else:
        show_doctor(results(), record)
    if not record["ready"]:
        raise typer.Exit(1)


def _read(recipe: str | None, overrides: list[str]) -> Recipe:
    from minirl.cli.session import read_recipe
    from minirl.config import apply_override, parse_recipe

    if recipe is not None:
        return read_recipe(recipe, overrides=overrides, env=None, seed=None)
    raw: dict[str, Any] = {"env": {"name": "arithmetic"}}  # the one key without a default
    for override in overrides:
        apply_override(raw, override)
    return parse_recipe(raw, source="the command line")


def _decide(recipe: Recipe, machine: Machine) -> tuple[Choice | None, list[Finding]]:
    """What runs the recipe; None, with the reason, where nothing does."""
    from minirl.errors import MinirlError
    from minirl.models.backend import Finding, choose
    from minirl.models.supported import install_command

    findings = []
    if recipe.train.optim != "adamw_torch" and not machine.has("bitsandbytes"):
        findings.append(
            Finding(
                "error",
                f"train.optim is {recipe.train.optim}, which needs bitsandbytes",
                f"{install_command('bitsandbytes', extra='4bit')}, "
                "or --set train.optim=adamw_torch",
            )
        )
    try:
        choice = choose(recipe.model, recipe.sampling, machine)
    except MinirlError as error:
        expected = f" (expected: {error.expected})" if error.expected else ""
        blocked = Finding("error", f"{error.message}{expected}", error.fix or "minirl doctor")
        return None, [blocked, *findings]
    return choice, [*choice.findings, *findings]


def _try_out(
    machine: Machine, choice: Choice | None, recipe: Recipe, network: bool, console: Any
) -> list[Outcome]:
    """Run the checks, one after another, with a bar where somebody watches."""
    from minirl.models.checks import plan_checks, run_check
    from minirl.report.console import progress_bar

    if choice is None:
        return []
    eight_bit = recipe.train.optim != "adamw_torch"
    checks = plan_checks(
        machine,
        choice,
        needs_bitsandbytes=recipe.model.load_in_4bit or eight_bit,
        network=network,
    )
    outcomes = []
    with progress_bar(console) as progress:
        bar = progress.add_task("trying out", total=len(checks), note="")
        for check in checks:
            progress.update(bar, note=check.name)
            outcomes.append(run_check(check))
            progress.advance(bar)
    return outcomes


def report(
    recipe: str | None,
    machine: Machine,
    choice: Choice | None,
    findings: list[Finding],
    outcomes: list[Outcome],
    disk: list[dict[str, Any]],
    tools: dict[str, str | None],
) -> dict[str, Any]:
    """Everything as plain data: what `--json` prints."""
    from dataclasses import asdict

    import minirl

    hardware = asdict(machine)
    del hardware["packages"]
    for told, card in zip(hardware["cards"], machine.cards, strict=True):
        told["bf16"] = card.bf16
    decided = asdict(choice) if choice else None
    if decided:
        del decided["findings"]
    levels = [f.level for f in findings] + [o.finding.level for o in outcomes]
    return {
        "minirl": minirl.__version__,
        "ready": choice is not None and "error" not in levels,
        "recipe": recipe,
        "machine": hardware,
        "packages": package_rows(machine),
        "choice": decided,
        "disk": disk,
        "export": tools,
        "checks": [
            {"name": o.name, **asdict(o.finding), "seconds": round(o.seconds, 2)} for o in outcomes
        ],
        "findings": [asdict(f) for f in findings],
    }


def package_rows(machine: Machine) -> list[dict[str, str | None]]:
    """Each package that matters here: installed, supported, verdict."""
    from minirl.models.machine import PACKAGES
    from minirl.models.supported import BESIDE, mismatches, supported_versions

    wanted = {**BESIDE, **supported_versions()}
    wrong = {m.package: m for m in mismatches(machine)}
    rows: list[dict[str, str | None]] = []
    for package in PACKAGES:
        installed, verdict = machine.packages.get(package), "ok"
        if package in wrong:
            verdict = "must match" if wrong[package].strict else "differs"
            verdict = verdict if installed else "missing"
        elif installed is None:
            needed = bool(machine.cards or machine.present) or package == "bitsandbytes"
            verdict = "not installed" if needed else "not needed"  # the rest is for NVIDIA cards
        elif package == "vllm" and machine.unmet:
            verdict = "does not fit"
        rows.append(
            {
                "package": package,
                "installed": installed,
                "supported": wanted.get(package),
                "verdict": verdict,
            }
        )
    return rows


def export_tools() -> tuple[dict[str, str | None], list[Finding]]:
    """What `minirl export` runs of llama.cpp: which or where it is, None with a finding where it is
    not. Nothing of it is loaded.
    """
    from minirl.errors import MinirlError, MissingExtraError
    from minirl.export.converter import find_converter
    from minirl.export.llama.backends import find_backend
    from minirl.models.backend import Finding

    looked_for: list[tuple[str, Callable[[], object], str]] = [
        ("llama.cpp", find_backend, "minirl export cannot verify a GGUF"),
        ("GGUF converter", find_converter, "minirl export writes a GGUF of the adapter alone"),
    ]
    tools: dict[str, str | None] = {}
    findings = []
    for name, find, without in looked_for:
        try:
            tools[name] = str(find())
        except MinirlError as error:
            tools[name] = None
            level: Literal["note", "warning"] = (
                "note" if isinstance(error, MissingExtraError) else "warning"
            )
            fix = error.fix or f"expected: {error.expected}"
            findings.append(Finding(level, f"{error.message}; without it {without}", fix))
    return tools, findings


def disk_space(runs: Path) -> list[dict[str, Any]]:
    """Free bytes where models and runs are kept."""
    import shutil

    from minirl.models.store import cache_dir

    places = [("models", cache_dir()), ("hub models", _hub_cache()), ("runs", runs.absolute())]
    rows = []
    for what, path in places:
        there = next(p for p in (path, *path.parents) if p.exists())
        rows.append({"what": what, "path": str(path), "free": shutil.disk_usage(there).free})
    return rows


def _hub_cache() -> Path:
    """Where huggingface_hub keeps models, without importing it."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{base}/huggingface"
    return (Path(home) / "hub").expanduser().absolute()


def disk_findings(disk: list[dict[str, Any]]) -> list[Finding]:
    """Places with too little room left."""
    from minirl.models.backend import Finding

    elsewhere = {
        "models": "MINIRL_CACHE=DIR minirl ...",
        "hub models": "HF_HOME=DIR minirl ...",
        "runs": "--runs DIR",
    }
    return [
        Finding(
            "warning",
            f"only {d['free'] / 1e9:.1f} GB are free for {d['what']} in {d['path']}",
            f"free some space, or keep them elsewhere: {elsewhere[d['what']]}",
        )
        for d in disk
        if d["free"] < (_RUNS_BYTES if d["what"] == "runs" else _MODELS_BYTES)
    ]
