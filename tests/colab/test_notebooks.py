"""The notebooks are clean, thin, and run from top to bottom on the tiny model."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from typer.testing import CliRunner

from minirl.cli.main import app
from minirl.config import list_recipes
from minirl.models.catalogue import resolve_model

COLAB = Path(__file__).parents[2] / "colab"
NOTEBOOKS = sorted(COLAB.glob("*.ipynb"))

# What replaces the first cell's choices: a run of seconds.
PARAMETERS = """
CPU = True
RECIPE = "tiny"
NAME = "tested"
CHANGES = "--set train.steps=2 --set train.prompts_per_step=2 --set train.group_size=4 {more}"
"""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def sources(path: Path, kind: str = "code") -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == kind]


def parameters(path: Path) -> int:
    """Index of the cell with the user's choices."""
    (index,) = (
        i for i, c in enumerate(read(path).cells) if "parameters" in c.metadata.get("tags", ())
    )
    return index


def execute(path: Path, where: Path, choices: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a notebook in ``where`` with ``choices`` after its own; a failing cell raises."""
    resolve_model("tiny")
    # The command `minirl` is the package under test, installed as a script or not.
    command = where / "bin" / "minirl"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m minirl "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    monkeypatch.setenv("IPYTHONDIR", str(where / ".ipython"))
    notebook = read(path)
    chosen = nbformat.v4.new_code_cell(choices)  # type: ignore[no-untyped-call]
    notebook.cells.insert(parameters(path) + 1, chosen)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(where)}}
    )
    return client.execute()


def printed(notebook: Any) -> str:
    return "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {
        "quickstart",
        "own_environment",
        "probe_and_prove",
        "export",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_valid_and_stripped(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.colab.gpuType == "T4"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_names_nobodys_machine_and_not_the_other_minirl(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|Users|work|tmp|content)/|[A-Z]:\\\\", text)
    assert not re.search(r"https?://", text)
    # On PyPI the name belongs to somebody else: only a checkout may be installed.
    for install in re.findall(r"pip install[^\n]*", text):
        assert re.search(r" -e '\.\{extra\}'", install), install
        assert not re.search(r"[ '\"]minirl\b", install), install


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_commands_exist(path: Path) -> None:
    commands = re.findall(r"^%sh minirl ([a-z]+)", "\n".join(sources(path)), re.MULTILINE)
    assert len(commands) >= 4
    for command in set(commands):
        asked = CliRunner().invoke(app, [command, "--help"])
        assert asked.exit_code == 0, command
    assert set(re.findall(r'"([a-z0-9.-]+-t4)"', "\n".join(sources(path)))) <= set(list_recipes())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_thin(path: Path) -> None:
    """Its cells call commands; Python is there to set up and to download."""
    setup = parameters(path) + 2  # the choices, a title, the setup
    for index, cell in enumerate(read(path).cells):
        if cell.cell_type != "code" or index in (parameters(path), setup):
            continue
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if lines[0].startswith("%%writefile") or "google.colab" in cell.source:
            continue
        assert all(line.startswith("%sh ") for line in lines), cell.source


def test_the_setup_is_the_same_everywhere() -> None:
    setups = {read(path).cells[parameters(path) + 2].source for path in NOTEBOOKS}
    assert len(setups) == 1


@pytest.mark.slow
def test_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = PARAMETERS.format(more="--set eval.tasks=6")
    done = execute(COLAB / "quickstart.ipynb", tmp_path, choices, monkeypatch)
    run = tmp_path / "runs" / "tested"
    evaluation = json.loads((run / "eval.json").read_text())
    assert evaluation["base"]["solved"]["n"] == evaluation["tuned"]["solved"]["n"] == 6
    assert len((run / "train" / "metrics.jsonl").read_text().splitlines()) == 2
    out = printed(done)
    assert "held-out tasks, T = 1" in out, "the table of the evaluation"
    assert "tuned - base:" in out
    assert "base: solved" in out
    assert "tuned: solved" in out
    assert (tmp_path / "tested-adapter.tar.gz").stat().st_size > 1000


@pytest.mark.slow
def test_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = PARAMETERS.format(more="--set eval.tasks=6")
    done = execute(COLAB / "own_environment.ipynb", tmp_path, choices, monkeypatch)
    evaluation = json.loads((tmp_path / "runs" / "tested" / "eval.json").read_text())
    assert evaluation["env"] == "initials"
    assert evaluation["base"]["solved"]["n"] == 6
    out = printed(done)
    assert re.search(r"gold: solved 100\S* %", out)
    assert re.search(r"cheater: solved 0\S* %", out)


@pytest.mark.slow
def test_probe_and_prove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = PARAMETERS.format(more="--set probe.groups=24 --set probe.escalate=40")
    choices += 'PROOF = "--tasks 6 --samples 4 --set prove.regression_tasks=4"\n'
    done = execute(COLAB / "probe_and_prove.ipynb", tmp_path, choices, monkeypatch)
    run = tmp_path / "runs" / "tested"
    probe = json.loads((run / "probe.json").read_text())
    proof = json.loads((run / "prove.json").read_text())
    assert 24 * 4 <= probe["samples"] <= 24 * 4 + 40
    assert (proof["tasks"], proof["samples"]) == (6, 4)
    out = printed(done)
    assert probe["reason"][:20] in out
    assert proof["verdict"].upper() in out
    page = (run / "report.html").read_text(encoding="utf-8")
    assert proof["reasons"][0][:20] in page


@pytest.mark.slow
@pytest.mark.network
def test_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(
        "xllamacpp", reason="no llama.cpp: pip install -c constraints.txt '.[gguf]'"
    )
    choices = PARAMETERS.format(more="--set eval.tasks=12")
    done = execute(COLAB / "export.ipynb", tmp_path, choices, monkeypatch)
    export = tmp_path / "runs" / "tested" / "export"
    verified = json.loads((export / "verify.json").read_text())["files"]
    assert set(verified) == {"tested-lora.gguf", "tested-q8_0.gguf", "tested-q4_k_m.gguf"}
    assert all(record["passed"] for record in verified.values())
    assert all(record["answers"]["solved"]["n"] == 12 for record in verified.values())
    assert verified["tested-lora.gguf"]["distributions"]["top1"]["value"] >= 0.99
    assert (export / "Modelfile").read_text().startswith("# ")
    assert "tested-lora.gguf" in printed(done)
    assert (tmp_path / "tested-export.tar.gz").stat().st_size > 1_000_000


def test_the_environment_of_the_notebook_keeps_its_promises(tmp_path: Path) -> None:
    from minirl.envs import make_env

    (cell,) = (s for s in sources(COLAB / "own_environment.ipynb") if s.startswith("%%writefile"))
    first, _, body = cell.partition("\n")
    path = tmp_path / first.split()[1]
    path.write_text(body, encoding="utf-8")
    env = make_env(f"{path}:Initials")
    answers = {}
    for split in ("train", "test"):
        tasks = [env.task(split, i) for i in range(300)]  # type: ignore[arg-type]
        assert all(env.score(task, env.gold(task)).value == 1.0 for task in tasks)  # type: ignore[arg-type]
        assert not any(env.score(t, text).value for t in tasks for text in env.decoys(t))
        assert not any(env.score(t, t.prompt[2].content).value for t in tasks)
        answers[split] = {task.data["answer"] for task in tasks}
        assert len(answers[split]) == 300
    assert not answers["train"] & answers["test"]


def test_a_command_that_fails_stops_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = 'CPU, RECIPE, NAME, CHANGES = True, "no-such-recipe", "x", ""'
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="exit code 2: minirl"):
        execute(COLAB / "own_environment.ipynb", tmp_path, choices, monkeypatch)
    assert not (tmp_path / "runs").exists()
