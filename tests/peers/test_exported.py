"""Exported packages under verifiers' own loaders, scoring and evaluation tool."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from peers import gold_server, run_peer

from minirl.envs import Environment, make_env, recite
from minirl.envs.base import as_turns
from minirl.envs.exported.package import Exported, export_env
from minirl.envs.tool_calls import parse_tool_calls
from minirl.types import Score

pytestmark = [pytest.mark.network, pytest.mark.slow]
V0, V1 = ("verifiers==0.3.1", "reasoning-gym==0.1.25"), ("verifiers==0.4.0",)
TOOL_ENV = f"{Path(__file__).parents[1] / 'support' / 'tool_env.py'}:SumByTool"
SPECS: dict[str, tuple[str, dict[str, Any]]] = {
    "one-line": ("arithmetic:3", {}),
    "many-right": ("countdown:3", {}),
    "own-file": (TOOL_ENV, {}),
    "tools-in-text": ("calculator:1", {}),
    "tools": ("calculator:3", {"tool_format": "template"}),
    "game": ("gridworld:3", {}),
}
EVALUATED = 40
LOST = "no idea"  # said when there is no more to say

# Their own rollout loop and rubric, with a client that says what is prepared.
V0_SCORES = """
import asyncio, json, sys
import verifiers as vf
from verifiers.clients import Client
from verifiers.types import Response, ResponseMessage

class Prepared(Client):
    def __init__(self, turns): super().__init__(None); self.turns = iter(turns)
    async def get_response(self, prompt, model, sampling_args, tools=None, **kwargs):
        text = next(self.turns, "no idea")
        message = ResponseMessage(content=text, finish_reason="stop", is_truncated=False)
        return Response(id="1", created=0, model=model, message=message)
for name in list(Client.__abstractmethods__): setattr(Prepared, name, lambda *a, **k: None)
Prepared.__abstractmethods__ = frozenset()

async def main():
    given = json.load(sys.stdin)
    env = vf.load_environment(given["name"], num_train=given["tasks"], num_eval=given["tasks"])
    rows = {"train": env.get_dataset().to_list(), "test": env.get_eval_dataset().to_list()}
    out = []
    for split, index, turns in given["answers"]:
        state = await env.rollout(rows[split][index], Prepared(turns), "m", {})
        await env.rubric.score_rollout(state)
        out.append([state["reward"], state["metrics"]])
    print(json.dumps(out))
asyncio.run(main())
"""

# Their own trace and scoring.
V1_SCORES = """
import asyncio, json, sys
import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_taskset, taskset_config_type

async def main():
    given = json.load(sys.stdin)
    config = taskset_config_type(given["name"])
    tasks = {s: list(load_taskset(config(id=given["name"], split=s, num_tasks=given["tasks"])))
             for s in ("train", "test")}
    out = []
    for split, index, turns in given["answers"]:
        task = tasks[split][index]
        data = vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)
        trace = vf.Trace(task=data, agent=vf.AgentInfo(config=vf.AgentConfig()))
        for text in turns:
            said = vf.AssistantMessage(content=text)
            trace.nodes.append(vf.MessageNode(message=said, sampled=True))
        await task.score(trace)
        out.append([trace.reward, trace.metrics])
    print(json.dumps(out))
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    out = tmp_path_factory.mktemp("exported")
    return {
        name: export_env(spec, options, out, name=name) for name, (spec, options) in SPECS.items()
    }


def answers(env: Environment, tasks: int) -> list[tuple[str, int, list[str]]]:
    out = []
    for split in ("train", "test"):
        for index in range(tasks):
            task = env.task(split, index)
            for turns in (env.gold(task), *env.decoys(task), "9" * 3000, "\x00", "Answer: 1"):
                out.append((split, index, list(as_turns(turns))))
    return out


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(("needs", "program"), [(V0, V0_SCORES), (V1, V1_SCORES)], ids=["v0", "v1"])
def test_they_score_as_we_do(
    peer: Callable[..., str],
    exported: dict[str, Exported],
    name: str,
    needs: tuple[str, ...],
    program: str,
) -> None:
    env = make_env(*SPECS[name])
    tasks = 12 if name != "own-file" else 50
    said = answers(env, tasks)
    given = {"name": name, "tasks": tasks, "answers": said}
    theirs = run_peer(peer(*needs), program, given, [exported[name].path])
    assert len(said) > 500
    solved = 0
    for (split, index, turns), (reward, metrics) in zip(said, theirs, strict=True):
        if needs is V0:  # there, a model that is silent is asked again
            turns = [*turns, *[LOST] * env.max_turns]
        score = recite(env, env.task(split, index), turns)
        assert reward == score.value
        assert metrics["solved"] == score.solved
        assert {k: metrics[k] for k in score.parts} == dict(score.parts)
        solved += score.solved
    assert 2 * tasks <= solved < len(said)


def test_pip_installs_the_package_whole(
    peer: Callable[..., str], exported: dict[str, Exported], tmp_path: Path
) -> None:
    python, env = peer(*V0), make_env(*SPECS["game"])
    pip = [python, "-m", "pip", "-q", "--disable-pip-version-check", "--no-input"]
    home = tmp_path / "installed"
    subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(exported["game"].path)], check=True
    )
    (wheel,) = map(str, tmp_path.glob("*.whl"))
    # What it says it needs is what a Python with verifiers has.
    subprocess.run([*pip, "install", "--no-index", "--dry-run", wheel], check=True)
    alone = ["--no-index", "--no-deps", "--target", str(home)]
    subprocess.run([*pip, "install", *alone, wheel], check=True)
    said = [("test", i, list(env.gold(env.task("test", i)))) for i in range(5)]
    given = {"name": "game", "tasks": 5, "answers": said}
    assert [reward for reward, _ in run_peer(python, V0_SCORES, given, [home])] == [1.0] * 5


def plan_of(env: Environment) -> tuple[dict[str, list], list[Score]]:
    """A server's answers for the first test tasks, right for some, and what they score."""
    plan: dict[str, list] = {}
    scores = []
    for index in range(EVALUATED):
        task = env.task("test", index)
        gold = list(as_turns(env.gold(task)))
        # An empty reply is an error of the server to verifiers 0.3, and reaches no environment.
        decoys = [turns for turns in env.decoys(task) if all(as_turns(turns))]
        turns = gold if index % 3 == 0 else list(as_turns(decoys[index % len(decoys)]))
        scores.append(recite(env, task, [*turns, *[LOST] * env.max_turns]))
        if env.episode(task).tools:  # then the server calls them in its own protocol
            calls = [[(c.name, dict(c.arguments)) for c in parse_tool_calls(t)] for t in turns]
            plan[task.prompt[-1].content] = [c or t for c, t in zip(calls, turns, strict=True)]
        else:
            plan[task.prompt[-1].content] = turns
    assert len(plan) == EVALUATED
    assert 0.3 < fmean(score.value for score in scores) < 0.7
    return plan, scores


def tool_of_theirs(
    python: str, name: str, words: list[str], package: Path, folder: Path
) -> subprocess.CompletedProcess[str]:
    """One of the commands that verifiers installs, run on an exported package."""
    env = {**os.environ, "PYTHONPATH": str(package), "FAKE_KEY": "x", "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [str(Path(python).with_name(name)), *words],
        capture_output=True,
        text=True,
        env=env,
        cwd=folder,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run


@pytest.mark.parametrize("name", ["one-line", "tools", "game"])
def test_their_evaluation_tool_gives_our_scores_v0(
    peer: Callable[..., str], exported: dict[str, Exported], tmp_path: Path, name: str
) -> None:
    plan, ours = plan_of(make_env(*SPECS[name]))
    with gold_server(plan, tmp_path) as url:
        words = [name, "-n", str(EVALUATED), "-r", "1", "-m", "fake", "-b", f"{url}/v1"]
        words += ["-k", "FAKE_KEY", "-d", "-s", "--disable-env-server", "-o", str(tmp_path)]
        tool_of_theirs(peer(*V0), "vf-eval", words, exported[name].path, tmp_path)
    (file,) = tmp_path.rglob("metadata.json")
    assert json.loads(file.read_text())["avg_reward"] == fmean(score.value for score in ours)
    (file,) = tmp_path.rglob("results.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == EVALUATED
    for row in rows:
        score = ours[row["example_id"]]
        assert (row["reward"], row["solved"]) == (score.value, score.solved)
        assert {part: row[part] for part in score.parts} == dict(score.parts)


@pytest.mark.parametrize("name", ["one-line", "tools", "game"])
def test_their_evaluation_tool_gives_our_scores_v1(
    peer: Callable[..., str], exported: dict[str, Exported], tmp_path: Path, name: str
) -> None:
    plan, ours = plan_of(make_env(*SPECS[name]))
    with gold_server(plan, tmp_path) as url:
        words = [name, "--env.taskset.split", "test", "-n", str(EVALUATED), "-m", "fake"]
        words += ["--client.base-url", f"{url}/v1", "--client.api-key-var", "FAKE_KEY"]
        words += ["--no-push", "--no-rich", "-o", str(tmp_path)]
        tool_of_theirs(peer(*V1), "vf-eval", words, exported[name].path, tmp_path)
    (file,) = tmp_path.rglob("traces.jsonl")
    episodes = [json.loads(line) for line in file.read_text().splitlines()]
    traces = [trace for episode in episodes for trace in episode["traces"]]
    assert len(traces) == EVALUATED
    for trace in traces:
        score = ours[trace["task"]["data"]["index"]]
        assert not trace["errors"]
        assert trace["rewards"]["reward"]["score"] == score.value
        assert trace["metrics"] == {"solved": score.solved, **score.parts}


@pytest.mark.parametrize("name", ["tools", "game"])
def test_their_validation_tool_accepts_every_task(
    peer: Callable[..., str], exported: dict[str, Exported], tmp_path: Path, name: str
) -> None:
    words = [name, "--taskset.split", "test", "-n", "25", "--runtime.type", "subprocess"]
    words += ["--no-rich", "-o", str(tmp_path)]
    tool_of_theirs(peer(*V1), "vf-validate", words, exported[name].path, tmp_path)
    (file,) = tmp_path.rglob("summary.json")
    summary = json.loads(file.read_text())
    # Gold is accepted, and saying nothing is not.
    for found in (summary["outcomes"], summary["checks"]["gold"], summary["checks"]["noop"]):
        assert {outcome: count for outcome, count in found.items() if count} == {"valid": 25}
