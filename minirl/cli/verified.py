"""What `minirl export` verifies: its own files as they are written, or any that it is shown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minirl.cli.session import Session
    from minirl.export.exporter import Exporter
    from minirl.export.verify import Target, Verifier
    from minirl.report.console import Output


def verify_exports(
    session: Session,
    exporter: Exporter,
    targets: Sequence[Target],
    positions: int,
    tasks: int,
    console: Output,
) -> dict[str, Any]:
    """Check what has not passed yet as it lies there now; write verify.json after each file."""
    from minirl.export.files import digest
    from minirl.rundir import read_json, write_json

    path = exporter.out / "verify.json"
    told = {"positions": positions, "tasks": tasks, "adapter_sha256": exporter.adapter_sha256}
    found = read_json(path) if path.exists() else {}
    if found.get("asked") != told:
        found = {"asked": told, "reference": None, "files": {}}

    def passed(target: Target) -> bool:
        kept = found["files"].get(target.name)
        return bool(kept and kept["passed"] and kept["sha256"] == digest(target.path))

    left = [t for t in targets if exporter.force or not passed(t)]
    if not left:
        console.say(f"{path}: everything is verified already; --force verifies anew")
        return found
    with _verifier(session, exporter, left, positions, tasks, console) as verifier:
        for target in left:
            found["files"][target.name] = verifier.verify(target)
            found["reference"] = verifier.reference()
            write_json(path, found)
    return found


def check_files(
    session: Session,
    exporter: Exporter,
    paths: Sequence[Path],
    base: Path | None,
    positions: int,
    tasks: int,
    console: Output,
) -> dict[str, Any]:
    """Check files that are there, whoever made them. Nothing is written but the base's GGUF, where
    an adapter GGUF needs one and none is named.

    Raises:
        ModelError: one of them is no export, or a damaged one.
    """
    from dataclasses import replace

    from minirl.export.verify.targets import target_of

    targets = [target_of(path, base) for path in paths]
    if any(t.kind == "gguf-lora" and t.base is None for t in targets):
        made = exporter.base_gguf()
        targets = [replace(t, base=t.base or made) if t.kind == "gguf-lora" else t for t in targets]
    with _verifier(session, exporter, targets, positions, tasks, console) as verifier:
        files = {str(target.path): verifier.verify(target) for target in targets}
        return {"reference": verifier.reference(), "files": files}


@contextmanager
def _verifier(
    session: Session,
    exporter: Exporter,
    targets: Sequence[Target],
    positions: int,
    tasks: int,
    console: Output,
) -> Iterator[Verifier]:
    """The trained model, loaded, with progress bars."""
    from minirl.cli.session import guarded, load
    from minirl.cli.settle import memory_advised
    from minirl.errors import ModelError
    from minirl.export.families import family_of
    from minirl.export.verify import Verifier
    from minirl.measure.tasks import held_out
    from minirl.report.console import progress_bar
    from minirl.report.text import duration

    guarded(session.env, "task", lambda: held_out(session.env, tasks, key="--tasks"))
    console.say(
        f"verifying {', '.join(t.name for t in targets)} against the trained model: {positions:,} "
        f"places of text, {tasks} held-out tasks of {session.env.label}"
    )
    with progress_bar(console) as progress, memory_advised(session, sampling=True):
        loaded = load(session, console, adapter=session.run.adapter)
        bars: dict[str, tuple[Any, float]] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = (progress.add_task(what, total=total, note=""), time.monotonic())
                if not console.is_terminal:
                    console.say(f"{what}: {total:,}" if total > 1 else what)
            bar, began = bars[what]
            rate = done / max(time.monotonic() - began, 1e-9)
            note = f"{rate:.0f}/s, {duration((total - done) / rate)} left" if rate else ""
            progress.update(bar, completed=done, total=total, note=note)

        try:
            family = family_of(exporter.base_config())
        except ModelError:  # a merged GGUF of another family: llama.cpp alone judges it
            family = None
        yield Verifier(
            session.recipe,
            loaded,
            session.env,
            session.run.adapter,
            family,
            positions=positions,
            tasks=tasks,
            report=show,
        )
