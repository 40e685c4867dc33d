"""Unsloth has to be imported before transformers, peft and trl: so no command imports them before
it loads the model.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Runs a command that would load the model through Unsloth, and tells what is imported just then.
PROBE = """
import json, sys
from dataclasses import replace
import minirl.models.load as load
from minirl.cli.main import main


def import_unsloth(**_):
    early = [m for m in ("transformers", "peft", "trl") if m in sys.modules]
    print("REACHED", json.dumps(early))
    raise KeyboardInterrupt

real = load.choose
load.choose = lambda *a: replace(real(*a), backend="unsloth")
load.unsloth.import_unsloth = import_unsloth
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "words",
    [
        ("run", "tiny"),
        ("train", "tiny", "--env", "gsm8k:procedural"),
        ("sample", "tiny", "--policy", "base"),
        ("eval", "done"),
    ],
    ids=" ".join,
)
def test_nothing_that_unsloth_patches_is_imported_before_it(
    words: tuple[str, ...], tmp_path: Path, tiny_cache: Path
) -> None:
    if words[0] == "eval":
        small = ["--set", "train.steps=1", "--set", "train.group_size=2", "--name", "done"]
        command = [sys.executable, "-m", "minirl", "train", "tiny", *small]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    command = [sys.executable, "-c", PROBE, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    reached = [line for line in done.stdout.splitlines() if line.startswith("REACHED")]
    assert len(reached) == 1, done.stderr
    assert json.loads(reached[0].removeprefix("REACHED ")) == []
