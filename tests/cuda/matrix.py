"""Which version broke what: the contract tests under other versions than the pinned ones.

    python tests/cuda/matrix.py                     # the rows below
    python tests/cuda/matrix.py trl==1.14.0 unsloth==2026.10.6+unsloth_zoo==2026.10.6

A row replaces some packages and leaves the rest as they are installed. Each takes about five
minutes. Exit code 1 where a row fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent

# The pinned set, its neighbours below, and what the lower bounds of pyproject.toml promise.
ROWS = (
    "",
    "unsloth==2026.10.6+unsloth_zoo==2026.10.6",
    "trl==1.14.0",
    "transformers==5.16.0",
    "peft==0.21.0",
    "bitsandbytes==0.50.0",
)


def try_row(row: str) -> tuple[int, list[str]]:
    """Tests that passed, and the names of those that failed (or why none ran)."""
    with tempfile.TemporaryDirectory(prefix="minirl-matrix-") as home:
        overlay, result = Path(home) / "packages", Path(home) / "result.xml"
        if row:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            installed = subprocess.run([*pip, "--target", str(overlay), *row.split("+")])
            if installed.returncode:
                return 0, ["pip could not install it"]
        # In front of the environment's own packages, for the workers too.
        path = os.pathsep.join(filter(None, [str(overlay), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "pytest", "-q", str(HERE), f"--junitxml={result}"]
        subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True)
        if not result.exists():
            return 0, ["pytest did not get to its end"]
        cases = list(ET.parse(result).iter("testcase"))
        failed = [
            str(c.get("name"))
            for c in cases
            if c.find("failure") is not None or c.find("error") is not None
        ]
        skipped = [c for c in cases if c.find("skipped") is not None]
        passed = len(cases) - len(failed) - len(skipped)
        return passed, failed or ([] if passed else ["nothing ran: is unsloth installed?"])


def main(rows: Sequence[str]) -> int:
    broken = 0
    for row in rows or ROWS:
        passed, failed = try_row(row)
        broken += bool(failed)
        print(f"{row or 'as installed':<45} {passed:>3} passed, {len(failed):>3} failed")
        for name in failed:
            print(f"{'':<45}     {name}")
        sys.stdout.flush()
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
