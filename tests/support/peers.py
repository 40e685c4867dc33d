"""Other libraries in virtual environments of their own, and a server of prepared answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PACKAGES = Path(__file__).parents[1] / "peers" / "packages"


@contextmanager
def gold_server(plan: dict[str, list], folder: Path) -> Iterator[str]:
    """The address of a server that answers as the plan says (:mod:`gold_server`)."""
    file = folder / "plan.json"
    file.write_text(json.dumps(plan), encoding="utf-8")
    command = [sys.executable, "-I", str(Path(__file__).with_name("gold_server.py")), str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def run_peer(python: str, program: str, given: object, paths: Sequence[Path]) -> object:
    """What ``program`` prints as its last line, as JSON; it reads ``given`` from standard input."""
    run = subprocess.run(
        [python, "-c", program],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGES,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(map(str, paths))},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])
