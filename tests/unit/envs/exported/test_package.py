"""An exported package holds the same tasks and gives the same scores, by itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minirl.cli.main import app
from minirl.envs import Environment, make_env, recite
from minirl.envs.base import as_turns
from minirl.envs.exported.package import MARKER, export_env
from minirl.errors import ConfigError, EnvironmentFault
from minirl.types import SPLITS, Score

TOOL_ENV = f"{Path(__file__).parents[3] / 'support' / 'tool_env.py'}:SumByTool"

# What a served model would say, played in a process that has the package and no minirl.
PLAY = """
import importlib, json, sys
module, tasks = sys.argv[2], json.load(sys.stdin)
sys.path.insert(0, sys.argv[1])
load = importlib.import_module(f"{module}.load")
player = importlib.import_module(f"{module}._minirl.envs.exported.player")
env, out = load.environment(), []
for split, index, turns in tasks:
    play = player.Player(env, split, index)
    for text in turns:
        play.hear(text)
    score = play.final()
    prompt = load.wire(load.shown(play.opening))
    out.append([prompt, score.value, score.solved, dict(score.parts)])
unwanted = {"minirl", "torch", "transformers", "verifiers"}
taken = {m.partition(".")[0] for m in sys.modules} & unwanted
print(json.dumps({"out": out, "taken": sorted(taken)}))
"""


def written(env: Environment, tasks: int) -> Iterator[tuple[str, int, list[str], Score]]:
    for split in SPLITS:
        for index in range(tasks):
            task = env.task(split, index)
            for turns in (env.gold(task), *env.decoys(task), "Answer: 7", "9" * 5000, "\x00"):
                texts = list(as_turns(turns))
                yield split, index, texts, recite(env, task, texts)


@pytest.mark.parametrize(
    ("spec", "options", "tasks", "least"),
    [
        ("arithmetic:4", {}, 16, 1000),
        ("countdown:3", {"worked_example": False}, 16, 1000),
        (TOOL_ENV, {}, 20, 300),
    ],
)
def test_the_package_scores_as_we_do(
    tmp_path: Path, spec: str, options: dict, tasks: int, least: int
) -> None:
    done = export_env(spec, options, tmp_path, name="my-env")
    env = make_env(spec, options)
    ours = list(written(env, tasks))
    run = subprocess.run(
        [sys.executable, "-I", "-c", PLAY, str(done.path), "my_env"],
        input=json.dumps([row[:3] for row in ours]),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(run.stdout)
    assert theirs["taken"] == []
    assert len(ours) >= least
    assert {score.solved for *_, score in ours} == {True, False}
    for (split, index, _, score), (prompt, *judged) in zip(ours, theirs["out"], strict=True):
        shown = [{"role": m.role, "content": m.content} for m in env.task(split, index).prompt]
        assert prompt == shown
        assert judged == [score.value, score.solved, dict(score.parts)]


def test_a_worked_example_with_calls_opens_as_servers_take_it(tmp_path: Path) -> None:
    options = {"tool_format": "template"}
    done = export_env("calculator:3", options, tmp_path, name="my-env")
    run = subprocess.run(
        [sys.executable, "-I", "-c", PLAY, str(done.path), "my_env"],
        input=json.dumps([("train", 0, [])]),
        capture_output=True,
        text=True,
        check=True,
    )
    ((opening, *_),) = json.loads(run.stdout)["out"]
    task = make_env("calculator:3", options).task("train", 0)
    assert [m["content"] for m in opening] == [m.content for m in task.prompt]
    asked = [call for m in opening for call in m.get("tool_calls", ())]
    answered = [m["tool_call_id"] for m in opening if m["role"] == "tool"]
    assert [call["id"] for call in asked] == answered
    assert len(set(answered)) == len(answered) > 1
    said = [call for m in task.prompt for call in m.tool_calls]
    for call, ours in zip(asked, said, strict=True):
        assert call["function"]["name"] == ours.name
        assert json.loads(call["function"]["arguments"]) == dict(ours.arguments)


def test_it_needs_neither_torch_nor_minirl(tmp_path: Path) -> None:
    done = export_env("arithmetic", {}, tmp_path)
    assert done.path == tmp_path / "minirl-arithmetic"
    assert done.needs == ("pydantic", "tomli_w")
    text = (done.path / "pyproject.toml").read_text(encoding="utf-8")
    assert "torch" not in text
    assert '"verifiers>=0.3.1"' in text
    for file in done.path.rglob("*.py"):
        assert not re.search(r"^ *(from|import) minirl[. ]", file.read_text("utf-8"), re.MULTILINE)


def test_the_written_code_is_clean(tmp_path: Path) -> None:
    done = export_env(TOOL_ENV, {}, tmp_path, name="clean")
    config = Path(__file__).parents[4] / "pyproject.toml"
    files = sorted((done.path / "clean").glob("*.py"))
    check = [sys.executable, "-m", "ruff", "check", "--config", str(config), "--ignore", "I001"]
    run = subprocess.run([*check, *map(str, files)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert len(files) == 6


def test_a_package_whose_tasks_changed_refuses_to_load(tmp_path: Path) -> None:
    done = export_env("arithmetic", {}, tmp_path)
    universe = done.path / "minirl_arithmetic" / "_minirl" / "envs" / "arithmetic.py"
    text = universe.read_text(encoding="utf-8")
    universe.write_text(text.replace("What is {render", "What was {render"), encoding="utf-8")
    program = (
        f"import sys; sys.path.insert(0, {str(done.path)!r}); import minirl_arithmetic.load as m"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"{program}; m.environment()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "differ from those that were exported" in run.stderr


@pytest.mark.parametrize(
    "name", ["", "A", "a_b", "../x", "a/b", "minirl", "os", "class", "-a", "é"]
)
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    if not name:
        name = " "
    with pytest.raises(ConfigError, match="name of a package"):
        export_env("arithmetic", {}, tmp_path / "out", name=name)
    assert not (tmp_path / "out").exists()


def test_only_an_earlier_export_is_replaced_and_only_by_force(tmp_path: Path) -> None:
    done = export_env("sort_words:3", {}, tmp_path, name="mine")
    stray = done.path / "stray"
    stray.write_text("x")
    with pytest.raises(ConfigError, match="there already"):
        export_env("sort_words:3", {}, tmp_path, name="mine")
    assert stray.exists()
    export_env("sort_words:3", {}, tmp_path, name="mine", force=True)
    assert not stray.exists()
    (done.path / MARKER).unlink()
    with pytest.raises(ConfigError, match="no export of minirl"):
        export_env("sort_words:3", {}, tmp_path, name="mine", force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


BROKEN = {
    "import minirl.types\nfrom minirl.envs import": "cannot be exported",
    "import beside\nfrom minirl.envs import": "beside it",
    "FILE = open('data.txt').read()\nfrom minirl.envs import": "does not work by itself",
}


@pytest.mark.parametrize("start", BROKEN)
def test_what_cannot_travel_is_refused_and_leaves_nothing(
    tmp_path: Path, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(TOOL_ENV.rpartition(":")[0]).read_text(encoding="utf-8")
    env = tmp_path / "env.py"
    env.write_text(source.replace("from minirl.envs import", start), encoding="utf-8")
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "data.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    out = tmp_path / "out"
    with pytest.raises(EnvironmentFault, match=BROKEN[start]):
        export_env("env.py:SumByTool", {}, out, name="broken")
    assert not out.exists() or list(out.iterdir()) == []


def test_the_command(tmp_path: Path) -> None:
    words = ["envs", "export", "countdown:2", "--out", str(tmp_path), "--option", "high=30"]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    assert "vf-eval minirl-countdown-2" in run.output
    settings = (tmp_path / "minirl-countdown-2/minirl_countdown_2/settings.py").read_text()
    assert "OPTIONS = {'high': 30}" in settings
    assert CliRunner().invoke(app, ["envs", "export", "countdown", "--to", "x"]).exit_code != 0
