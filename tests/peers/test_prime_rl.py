"""An exported package in the calls that prime-rl makes, of verifiers 0.4.

prime-rl itself needs CUDA. Its orchestrator loads the taskset, ships each task's data to verifiers'
environment server, and trains on the traces that come back (its ``orchestrator/envs.py`` and
``entrypoints/env_server.py``, as of August 2026); the same is done here, without it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from peers import gold_server, run_peer

from minirl.envs import make_env, recite
from minirl.envs.base import as_turns
from minirl.envs.exported.package import export_env
from minirl.envs.tool_calls import parse_tool_calls

pytestmark = [pytest.mark.network, pytest.mark.slow]
TASKS, GROUP = 12, 2

# What the training loop is configured with, in its words: [[orchestrator.train.source]] env = ...
ORCHESTRATOR = """
import asyncio, json, multiprocessing, socket, sys
import verifiers.v1 as vf
from verifiers.v1.serve import EnvClient, env_config_data, serve_env

async def train(config, given, address):
    client = EnvClient(address=address)
    await client.wait_for_server_startup(timeout=120)
    taskset = vf.load_taskset(config.taskset)
    assert not type(taskset).INFINITE
    tasks = list(taskset)
    policy = vf.EvalClientConfig(base_url=given["url"], api_key_var="MISSING_KEY")
    async def episode(task):
        got = await client.run(
            task_data=task.data.model_dump(mode="json"),
            client=policy, model="fake", sampling=vf.SamplingConfig(temperature=1.0),
        )
        (trace,) = got.traces
        said = [m.content for m in trace.assistant_messages]
        return [trace.task.data.index, got.ok and trace.ok, trace.reward, trace.metrics,
                len(said), [str(e) for e in trace.errors]]
    runs = [episode(task) for task in tasks for _ in range(given["group"])]
    return await asyncio.gather(*runs)

def main():
    given = json.load(sys.stdin)
    config = vf.resolve_env_config({"taskset": given["taskset"]})
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    pool = vf.pool_serve_kwargs(vf.ServeConfig().pool)
    serving = {**pool, "address": address, "config_data": env_config_data(config)}
    server = multiprocessing.get_context("spawn").Process(target=serve_env, kwargs=serving)
    server.start()
    try:
        print(json.dumps(asyncio.run(train(config, given, address))))
    finally:
        server.terminate()
        server.join(20)

if __name__ == "__main__":
    main()
"""


def test_the_orchestrators_calls_train_on_our_tasks_and_scores(
    peer: Callable[..., str], tmp_path: Path
) -> None:
    options = {"tool_format": "template"}
    env = make_env("calculator:3", options)
    package = export_env("calculator:3", options, tmp_path, name="calc").path
    plan, ours = {}, {}
    for index in range(TASKS):
        task = env.task("train", index)
        wrong = [turns for turns in env.decoys(task) if isinstance(turns, tuple)]
        turns = as_turns(env.gold(task) if index % 2 == 0 else wrong[index % len(wrong)])
        calls = [[(c.name, dict(c.arguments)) for c in parse_tool_calls(t)] for t in turns]
        plan[task.prompt[-1].content] = [c or t for c, t in zip(calls, turns, strict=True)]
        ours[index] = recite(env, task, [*turns, *["no idea"] * env.max_turns])
    with gold_server(plan, tmp_path) as url:
        taskset = {"id": "calc", "split": "train", "num_tasks": TASKS}
        given = {"taskset": taskset, "group": GROUP, "url": f"{url}/v1"}
        theirs = run_peer(peer("verifiers==0.4.0"), ORCHESTRATOR, given, [package])
    assert len(theirs) == TASKS * GROUP
    for index, ok, reward, metrics, turns, errors in theirs:
        assert (ok, errors) == (True, [])
        assert reward == ours[index].value
        assert metrics == {"solved": ours[index].solved, **ours[index].parts}
        assert turns == ours[index].parts["turns"]
    assert {reward for _, _, reward, *_ in theirs} == {0.0, 1.0}
    assert max(turns for *_, turns, _ in theirs) > 2
