"""Exported packages under verifiers' own loaders, scoring and evaluation tool."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest
from peers import gold_server, run_peer

from minirl.envs import Environment, make_env, recite
from minirl.envs.base import as_turns
from minirl.envs.exported.package import Exported, export_env
from minirl.envs.tool_calls import parse_tool_calls

pytestmark = [pytest.mark.network, pytest.mark.slow]
V0, V1 = ("verifiers==0.3.1", "reasoning-gym==0.1.25"), ("verifiers==0.4.0",)
TOOL_ENV = f"{Path(__file__).parents[1] / 'support' / 'tool_env.py'}:SumByTool"
SPECS = {"one-line": "arithmetic:3", "many-right": "countdown:3", "with-tool": TOOL_ENV}
EVALUATED = 40

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
    return {name: export_env(spec, {}, out, name=name) for name, spec in SPECS.items()}


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
    env = make_env(SPECS[name])
    tasks = 12 if name != "with-tool" else 50
    said = answers(env, tasks)
    given = {"name": name, "tasks": tasks, "answers": said}
    theirs = run_peer(peer(*needs), program, given, [exported[name].path])
    assert len(said) > 500
    solved = 0
    for (split, index, turns), (reward, metrics) in zip(said, theirs, strict=True):
        score = recite(env, env.task(split, index), turns)
        assert reward == score.value
        assert metrics["solved"] == score.solved
        assert {k: metrics[k] for k in score.parts} == dict(score.parts)
        solved += score.solved
    assert 2 * tasks <= solved < len(said)


def plan_of(env: Environment) -> tuple[dict[str, list], float]:
    """A server's answers for the first test tasks, right for some, and the share that is right."""
    plan: dict[str, list] = {}
    values = []
    for index in range(EVALUATED):
        task = env.task("test", index)
        gold, decoys = list(as_turns(env.gold(task))), env.decoys(task)
        turns = gold if index % 3 == 0 else list(as_turns(decoys[index % len(decoys)]))
        values.append(recite(env, task, [*turns, *["no idea"] * env.max_turns]).value)
        calls = [[(c.name, dict(c.arguments)) for c in parse_tool_calls(t)] for t in turns]
        plan[task.prompt[-1].content] = [c or t for c, t in zip(calls, turns, strict=True)]
    return plan, fmean(values)


@pytest.mark.parametrize("name", ["one-line", "with-tool"])
@pytest.mark.parametrize("needs", [V0, V1], ids=["v0", "v1"])
def test_their_evaluation_tool_reports_our_average(
    peer: Callable[..., str],
    exported: dict[str, Exported],
    tmp_path: Path,
    name: str,
    needs: tuple[str, ...],
) -> None:
    plan, ours = plan_of(make_env(SPECS[name]))
    tool = str(Path(peer(*needs)).with_name("vf-eval"))
    env = {
        **os.environ,
        "PYTHONPATH": str(exported[name].path),
        "FAKE_KEY": "x",
        "HF_HUB_OFFLINE": "1",
    }
    with gold_server(plan, tmp_path) as url:
        if needs is V0:
            words = [name, "-n", str(EVALUATED), "-r", "1", "-m", "fake", "-b", f"{url}/v1"]
            words += ["-k", "FAKE_KEY", "-d", "-s", "--disable-env-server", "-o", str(tmp_path)]
        else:
            words = [name, "--env.taskset.split", "test", "-n", str(EVALUATED), "-m", "fake"]
            words += ["--client.base-url", f"{url}/v1", "--client.api-key-var", "FAKE_KEY"]
            words += ["--no-push", "--no-rich", "-o", str(tmp_path)]
        run = subprocess.run(
            [tool, *words], capture_output=True, text=True, env=env, cwd=tmp_path, check=False
        )
    assert run.returncode == 0, run.stderr[-3000:]
    if needs is V0:
        (file,) = tmp_path.rglob("metadata.json")
        theirs = json.loads(file.read_text())["avg_reward"]
    else:
        (file,) = tmp_path.rglob("traces.jsonl")
        episodes = [json.loads(line) for line in file.read_text().splitlines()]
        traces = [t for e in episodes for t in e["traces"]]
        assert len(traces) == EVALUATED
        assert not any(t["errors"] for t in traces)
        theirs = fmean(t["rewards"]["reward"]["score"] for t in traces)
    assert theirs == ours
    assert 0.3 < ours < 0.7
