"""Everything that the page shows, from whatever is in the run directory."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minirl import __version__
from minirl.report.page.exported import exported
from minirl.report.page.facts import facts
from minirl.report.page.read import Reader, cleaned, number, shown
from minirl.report.page.samples import find, samples
from minirl.report.page.training import training
from minirl.report.page.words import PROBE_RULES, PROBE_TITLES, PROVE_RULES, commands
from minirl.rundir import RunDir

RECIPE = 20_000  # characters of recipe.toml that are shown


@dataclass(frozen=True, slots=True)
class Gathered:
    """The page's data.

    Attributes:
        data: JSON-ready, its texts made visible.
    """

    data: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """Which parts are there, and how many rollouts are shown of how many."""
        held = self.data["samples"] or {"shown": 0, "of": 0}
        return {
            "parts": [p for p in PARTS if self.data[p] is not None],
            "rollouts": {"shown": held["shown"], "of": held["of"]},
            "notes": self.data["notes"],
        }


PARTS = ("probe", "ladder", "training", "eval", "prove", "export", "samples")


def inputs(run: RunDir) -> list[Path]:
    """The files that a page is made of, those that are there."""
    files = [
        run.path / "recipe.toml",
        run.config,
        run.environment,
        run.probe,
        run.ladder,
        run.metrics,
        run.rollouts,
        run.eval,
        run.samples,
        run.prove,
        run.export / "export.json",
        run.export / "verify.json",
        run.adapter / "tokenizer.json",
        *sorted(run.prove_samples.glob("*.jsonl")),
    ]
    return [f for f in files if f.is_file()]


def gather(run: RunDir) -> Gathered:
    """Read what is there; what is missing is None, what is damaged is noted."""
    reader = Reader(run.path)
    config = reader.json(run.config) or {}
    machine = reader.json(run.environment) or {}
    found = find(reader, run)
    train = _section(_settled(config, machine), "train")
    curves = training(
        [record for _, record in reader.lines(run.metrics)],
        found.steps,
        group_size=max(1, int(number(train.get("group_size")) or 1)),
        steps=int(number(train.get("steps")) or 0) or None,
    )
    probe, prove = reader.json(run.probe), reader.json(run.prove)
    parts: dict[str, Any] = {
        "probe": _probe(probe) if probe else None,
        "ladder": _ladder(reader.json(run.ladder)),
        "training": curves,
        "eval": reader.json(run.eval),
        "prove": prove and {**prove, "rules": PROVE_RULES},
        "export": exported(reader, run),
    }
    held = samples(reader, run, found)
    name = run.path.resolve().name
    return Gathered(
        {
            "format": 1,
            "minirl": __version__,
            "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            "name": shown(name, 200),
            "description": shown(str(config.get("description") or "")),
            "facts": cleaned(facts(config, machine, parts)),
            "recipe": shown(reader.text(run.path / "recipe.toml") or "", RECIPE),
            "limit": number(_section(config, "sampling").get("max_tokens")),
            "group_size": number(train.get("group_size")),
            "peak_memory": number(machine.get("peak_memory")),
            "trained": run.trained,
            **{key: cleaned(value) for key, value in parts.items()},
            "samples": held,
            "commands": {k: shown(v) for k, v in commands(shlex.quote(str(run.path))).items()},
            "notes": [shown(n) for n in reader.notes],
        }
    )


def _settled(config: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with what this machine decided where it was left open."""
    out = {k: dict(v) if isinstance(v, dict) else v for k, v in config.items()}
    for key, value in _section(machine, "settled").items():
        section, _, name = key.partition(".")
        if isinstance(out.get(section), dict):
            out[section][name] = value
    return out


def _section(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _probe(record: Mapping[str, Any]) -> dict[str, Any]:
    """probe.json without the tasks' posteriors, with the rule in words."""
    verdict = str(record.get("verdict"))
    tasks = record.get("tasks")
    return {
        **{k: v for k, v in record.items() if k != "tasks"},
        "title": PROBE_TITLES.get(verdict, verdict),
        "rule": PROBE_RULES.get(verdict),
        "task_count": len(tasks) if isinstance(tasks, list) else None,
    }


def _ladder(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if record is None:
        return None
    levels = record.get("levels")
    rungs = [_probe(r) for r in levels if isinstance(r, dict)] if isinstance(levels, list) else []
    return {**record, "levels": rungs}
