"""The rollouts of a run: counted all, shown as many as fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minirl.report.page.choose import RULE, choose
from minirl.report.page.encode import Encoder
from minirl.report.page.html import script_json
from minirl.report.page.read import Reader, number, record_at, shown
from minirl.report.page.tokens import Decoder, Vocabulary, byte_pieces
from minirl.report.page.training import StepRollouts
from minirl.rundir import RunDir

MOST = 5000  # rollouts in a page
FEW = 200  # that tell how long the others are
BUDGET = 4_300_000  # bytes that they may take, so that the page stays below 5 MB


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rollout lies, and what the choice among them looks at."""

    source: str
    path: Path
    offset: int
    step: int | None
    task: str
    solved: bool


@dataclass(slots=True)
class Found:
    """Every rollout of a run, and each training step's rewards."""

    places: list[Place] = field(default_factory=list)
    steps: dict[int, StepRollouts] = field(default_factory=dict)


def find(reader: Reader, run: RunDir) -> Found:
    """Go through the files once, keeping figures and places only."""
    found = Found()
    for offset, record in reader.lines(run.rollouts):
        step = int(number(record.get("step")) or 0)
        rollouts = found.steps.setdefault(step, StepRollouts())
        rollouts.values.append(number(record.get("value")) or 0.0)
        rollouts.solved.append(bool(record.get("solved")))
        rollouts.tokens += number(record.get("tokens")) or 0.0
        found.places.append(_place("training", run.rollouts, offset, step, record))
    for offset, record in reader.lines(run.samples):
        source = f"eval: {shown(str(record.get('policy', '?')), 60)}"
        found.places.append(_place(source, run.samples, offset, None, record))
    for path in sorted(run.prove_samples.glob("*.jsonl")):
        source = f"prove: {shown(path.stem, 60)}"
        for offset, record in reader.lines(path):
            found.places.append(_place(source, path, offset, None, record))
    return found


def _place(source: str, path: Path, offset: int, step: int | None, record: dict[str, Any]) -> Place:
    task = shown(str(record.get("task", "?")), 200)
    return Place(source, path, offset, step, task, bool(record.get("solved")))


def samples(
    reader: Reader, run: RunDir, found: Found, *, most: int = MOST, budget: int = BUDGET
) -> dict[str, Any] | None:
    """The page's rollouts; None where there are none.

    Args:
        most: rollouts.
        budget: bytes of JSON that they may take; fewer are shown where they are long.
    """
    if not found.places:
        return None
    folders = [run.adapter, *(run.checkpoint(s) for s in reversed(run.checkpoint_steps()))]
    vocabulary = Vocabulary.find(reader, folders)
    decoders: list[Decoder] = [*([vocabulary.pieces] if vocabulary else []), byte_pieces]
    strata = [(p.source, p.task if p.step is None else p.step, p.solved) for p in found.places]
    most = min(most, max(1, len(strata)))
    if most > FEW:  # a few tell how many fit, so that not all of many long ones are encoded twice
        few = _record(found.places, choose(strata, FEW), decoders)
        most = min(most, int(budget / _size(few["rows"]) * FEW))
    while True:
        chosen = choose(strata, most)
        record = _record(found.places, chosen, decoders)
        size = _size(record)
        if size <= budget or most <= 1:
            return record
        most = max(1, min(len(chosen) - 1, int(0.95 * len(chosen) * budget / size)))


def _size(value: Any) -> int:
    """Bytes in the page."""
    return len(script_json(value).encode())


def _record(
    places: Sequence[Place], chosen: Sequence[int], decoders: Sequence[Decoder]
) -> dict[str, Any]:
    encoder = Encoder(decoders)
    names = list(dict.fromkeys(p.source for p in places))
    rows = []
    for position in chosen:
        place = places[position]
        record = record_at(place.path, place.offset)
        if record is not None:
            rows.append(encoder.row(names.index(place.source), place.step, record))
    of = dict.fromkeys(names, 0)
    for place in places:
        of[place.source] += 1
    return {
        "sources": [
            {"name": name, "shown": sum(r[0] == i for r in rows), "of": of[name]}
            for i, name in enumerate(names)
        ],
        "shown": len(rows),
        "of": len(places),
        "rule": RULE if len(rows) < len(places) else None,
        "tasks": encoder.tasks.values,
        "prompts": encoder.prompts.values,
        "reasons": encoder.reasons.values,
        "parts": encoder.parts.values,
        "rows": rows,
    }
