"""Imports go downward only: the table below is the architecture, and this test keeps it true.

Each module's source is read with ``ast``, so that imports inside functions and under
``TYPE_CHECKING`` count as well. What is imported through a computed name is not seen.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[2] / "minirl"

# Room -> the rooms it may import. A room is a module or a folder at the top of the package.
BOTTOM = {"errors", "types"}
BASE = BOTTOM | {"config", "rundir", "stats", "rewards", "sandbox"}
ENGINE = BASE | {"envs"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "types": {"errors"},
    "config": BOTTOM,
    "rundir": BOTTOM | {"config"},
    "stats": BOTTOM,
    "sandbox": BOTTOM,
    "rewards": BOTTOM | {"sandbox"},
    "envs": BASE,
    "models": ENGINE,
    "rollout": ENGINE,
    # A served model is a policy by its shape alone. Apart from rollout, which knows no network.
    "endpoint": BASE,
    "train": ENGINE | {"models", "rollout"},
    "measure": ENGINE | {"models", "rollout"},
    "export": ENGINE | {"models", "rollout", "measure"},  # plays what was measured once more
    "plan": ENGINE | {"models"},  # names and machines; nothing of it loads a model
    "report": BASE,
    "cli": ENGINE
    | {"endpoint", "models", "plan", "rollout", "train", "measure", "export", "report", "__init__"},
    "testing": ENGINE | {"report"},  # for authors' tests: audits, and tells what failed
    "__init__": {"types", "envs"},  # the public API
    "__main__": {"cli"},
}

TORCH = {"torch", "accelerate", "bitsandbytes", "peft", "transformers", "trl", "unsloth", "vllm"}
NO_TORCH = BASE | {"envs", "endpoint", "plan", "report", "testing", "__init__", "__main__"}
NO_DATASETS = BASE | {"endpoint", "plan", "report", "testing", "__init__", "__main__"}
# What a command's module may import before the command runs; everything else slows `--help` down.
CLI_AT_START = {"typer", "click", "rich"}
CLI_ROOMS_AT_START = {"errors", "__init__"}


class Import(NamedTuple):
    line: int
    name: str  # absolute and dotted
    at_start: bool  # runs when the module is imported

    @property
    def root(self) -> str:
        return self.name.partition(".")[0]

    @property
    def room(self) -> str:
        """Which room of minirl; ``__init__`` for the package itself."""
        return self.name.split(".")[1] if "." in self.name else "__init__"


def imports_of(tree: ast.Module, module: str, is_package: bool) -> Iterator[Import]:
    """Every import in ``tree``, those by ``import_module("a literal")`` included."""
    later = set()  # nodes that do not run when the module is imported
    for node in ast.walk(tree):
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if function or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            later |= {id(inner) for statement in node.body for inner in ast.walk(statement)}

    parents = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*here, *([node.module] if node.module else [])])
            # `from minirl import stats` imports a room; deeper names change nothing.
            names = [f"{base}.{a.name}" for a in node.names] if base == "minirl" else [base]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in {"import_module", "__import__"}:
                names = [str(node.args[0].value)]
        for name in names:
            yield Import(getattr(node, "lineno", 0), name, id(node) not in later)


def violations(source: str, path: str) -> list[str]:
    """What is wrong with the imports of ``path`` (relative to the package), in words."""
    parts = path.removesuffix(".py").split("/")
    is_package = parts[-1] == "__init__"
    room = parts[0]
    if room not in MAY_IMPORT:
        return [f"{path}: '{room}' is no room of the house; add it to MAY_IMPORT, with its layer"]
    module = ".".join(["minirl", *(parts[:-1] if is_package else parts)])
    found = []
    for item in imports_of(ast.parse(source), module, is_package):
        where = f"{path}:{item.line}"
        wrong = _inner(room, item) if item.root == "minirl" else _outer(room, path, item)
        if wrong:
            found.append(f"{where}: {wrong}")
    return found


def _inner(room: str, item: Import) -> str | None:
    if item.name == "minirl.__version__" or item.room == room:
        return None
    if item.room not in MAY_IMPORT:
        return f"imports minirl.{item.room}, which is no room; import public names from their rooms"
    if item.room not in MAY_IMPORT[room]:
        return f"{room} may not import {item.room}"
    if room == "cli" and item.at_start and item.room not in CLI_ROOMS_AT_START:
        return f"cli must import {item.room} inside a function"
    return None


def _outer(room: str, path: str, item: Import) -> str | None:
    root = item.root
    if root in sys.stdlib_module_names:
        return None
    if room in BOTTOM:
        return f"{room} uses the standard library only, not {root}"
    if root in {"unsloth", "unsloth_zoo"} and path != "models/unsloth.py":
        return "only models/unsloth.py imports unsloth"
    if root == "trl" and room != "train":
        return "only train knows TRL"
    if (room in NO_TORCH and root in TORCH) or (room in NO_DATASETS and root == "datasets"):
        return f"{room} does without {root}"
    if room == "cli" and item.at_start and root not in CLI_AT_START:
        return f"cli must import {root} inside a function"
    return None


MODULES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


def test_the_walk_finds_the_package():
    assert {"__init__.py", "errors.py", "stats/rates.py", "envs/base.py"} <= set(MODULES)


@pytest.mark.parametrize("path", MODULES)
def test_imports_go_downward(path):
    assert violations((PACKAGE / path).read_text(encoding="utf-8"), path) == []


def test_the_table_has_no_cycle():
    settled: set[str] = set()
    while ready := {r for r, below in MAY_IMPORT.items() if r not in settled and below <= settled}:
        settled |= ready
    assert settled == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("rewards/answer.py", "from minirl.train import grpo", "rewards may not import train"),
        ("envs/base.py", "def f():\n    import minirl.rollout", "envs may not import rollout"),
        ("models/load.py", "from ..rollout import play", "models may not import rollout"),
        ("rollout/engine.py", "from minirl import models", "rollout may not import models"),
        ("train/grpo.py", "from minirl.measure.evaluate import go", "train may not import measure"),
        ("measure/__init__.py", "from ..train import grpo", "measure may not import train"),
        ("utils.py", "", "'utils' is no room"),
        ("stats/rates.py", "from minirl import Task", "minirl.Task, which is no room"),
        ("envs/puzzle.py", "def f():\n    import torch.nn as nn", "envs does without torch"),
        ("envs/puzzle.py", "m = importlib.import_module('torch')", "envs does without torch"),
        ("report/page.py", "import transformers", "report does without transformers"),
        ("config.py", "import datasets", "config does without datasets"),
        ("types.py", "import numpy", "types uses the standard library only"),
        ("models/load.py", "import unsloth", "only models/unsloth.py imports unsloth"),
        ("measure/evaluate.py", "from trl import GRPOTrainer", "only train knows TRL"),
        ("cli/run.py", "import minirl.config", "cli must import config inside a function"),
        ("cli/run.py", "import numpy", "cli must import numpy inside a function"),
    ],
)
def test_the_checker_catches(path, source, complaint):
    found = violations(source, path)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("models/unsloth.py", "import unsloth"),
        ("train/grpo.py", "from trl import GRPOTrainer\nfrom minirl.models import load"),
        ("cli/run.py", "import typer\nfrom minirl.errors import MinirlError\nfrom . import main"),
        ("cli/run.py", "def run():\n    import torch\n    from minirl.train import grpo"),
        ("cli/run.py", "if TYPE_CHECKING:\n    from minirl.config import Recipe"),
        ("cli/main.py", "from minirl import __version__"),
        ("envs/adapters/hub.py", "from ..base import Environment\nimport datasets"),
    ],
)
def test_the_checker_allows(path, source):
    assert violations(source, path) == []
