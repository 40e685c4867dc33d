"""``openenv:`` gives the rewards of the environment called directly, in process and served."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from random import Random

import pytest
from peers import PACKAGES, run_peer

from minirl.envs import Environment, make_env, recite

pytestmark = [pytest.mark.network, pytest.mark.slow]
NEEDS = ("openenv-core==0.3.0",)
DIRECT = """
import json, sys
from peer_openenv import Guess, GuessAction
out = []
for seed, numbers in json.load(sys.stdin):
    env = Guess()
    env.reset(seed=seed)
    for number in numbers:
        seen = env.step(GuessAction(number=number))
        if seen.done:
            break
    out.append([seen.reward, seen.done])
print(json.dumps(out))
"""
SERVER = """
import socket, uvicorn
from openenv.core.env_server import create_fastapi_app
from peer_openenv import Guess, GuessAction, GuessObservation
app = create_fastapi_app(Guess, GuessAction, GuessObservation, max_concurrent_envs=8)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])
"""


@pytest.fixture(autouse=True)
def _among_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PACKAGES)


def compare(env: Environment, python: str, episodes: int) -> None:
    rng = Random(1)
    tasks = [env.task("train", i % 30) for i in range(episodes)]
    said = [[rng.randint(0, 99) for _ in range(5)] for _ in tasks]
    given = [(task.data["row"], numbers) for task, numbers in zip(tasks, said, strict=True)]
    theirs = run_peer(python, DIRECT, given, [PACKAGES])
    rewards = set()
    for task, numbers, (reward, done) in zip(tasks, said, theirs, strict=True):
        score = recite(env, task, [f'{{"number": {n}}}' for n in numbers])
        assert done
        assert score.parts["reward"] == reward
        assert score.solved == (reward == 1.0)
        rewards.add(reward)
    assert rewards >= {0.0, 0.3}


def test_in_process(peer: Callable[..., str]) -> None:
    python = peer(*NEEDS)
    options = {"python": python, "solved_at": 1.0, "tasks": 60, "timeout_s": 300}
    env = make_env("openenv:peer_openenv:Guess", options)
    compare(env, python, 250)  # some 1,200 actions
    env.pipe.close()  # type: ignore[attr-defined]


def test_served(peer: Callable[..., str]) -> None:
    python = peer(*NEEDS)
    server = subprocess.Popen([python, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        options = {"python": python, "solved_at": 1.0, "tasks": 60, "timeout_s": 300}
        env = make_env(f"openenv:{url}", options)
        compare(env, python, 60)
        assert recite(env, env.task("test", 0), '{"number": -1}').parts["malformed"] == 1.0
        env.pipe.close()  # type: ignore[attr-defined]
    finally:
        server.kill()
        server.wait(10)
        if server.stdout:
            server.stdout.close()
