"""The command line answers at once: nothing heavy loads before a command needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import minirl

HELP_WITHIN_S = 0.3
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "numpy", "scipy"}

LIST_MODULES_AFTER_HELP = """
import contextlib, io, json, sys
from minirl.cli.main import main
sys.argv = ["minirl", "--help"]
printed = io.StringIO()
code = 0
with contextlib.redirect_stdout(printed):
    try:
        main()
    except SystemExit as stop:
        code = stop.code or 0
print(json.dumps({"code": code, "help": printed.getvalue(), "modules": sorted(sys.modules)}))
"""


def python(*args: str) -> str:
    done = subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def children_cpu_s() -> float:
    """Processor seconds of all the processes that this one has waited for."""
    times = os.times()
    return times.children_user + times.children_system


def test_help_loads_nothing_heavy():
    seen = json.loads(python("-c", LIST_MODULES_AFTER_HELP))
    assert seen["code"] == 0
    assert "Usage" in seen["help"]
    assert "minirl.cli.main" in seen["modules"]
    assert HEAVY.intersection(seen["modules"]) == set()


def test_help_is_quick():
    python("-m", "minirl", "--help")  # compiles the bytecode
    took = []
    for _ in range(5):
        before = children_cpu_s()
        python("-m", "minirl", "--help")
        took.append(children_cpu_s() - before)
    # Processor time, and the best of five: what the program needs on one core, whatever else the
    # machine is doing. It starts no threads and waits for nothing.
    assert min(took) < HELP_WITHIN_S


def test_importing_the_package_loads_nothing_heavy():
    modules = json.loads(
        python("-c", "import minirl, sys, json; print(json.dumps([*sys.modules]))")
    )
    assert {*HEAVY, "pydantic", "minirl.types"}.intersection(modules) == set()


def test_version_is_the_one_in_pyproject():
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    declared = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"]
    assert minirl.__version__ == declared


@pytest.mark.parametrize("name", minirl.__all__)
def test_every_public_name_loads(name):
    assert getattr(minirl, name) is not None
    assert name in dir(minirl)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        minirl.nonsense  # noqa: B018
