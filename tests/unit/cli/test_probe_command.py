"""`minirl probe`, whole: verdicts, files, going on, ladders; with scripts, the tiny model, and a
server.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from coin_policy import CoinPolicy, same
from openai_server import OpenAIServer, openai_server

from minirl.rundir import read_json, read_jsonl

RUN = "runs/quickstart"
ONE = ("probe", "quickstart", "--env", "arithmetic:1")
SHORT = ("--set", "probe.escalate_tasks=1", "--set", "probe.escalate=40")


def timeless(record):
    """A probe without what the clock says."""
    rungs = [timeless(r) for r in record.get("levels", [])]
    left = {k: v for k, v in record.items() if k not in ("seconds", "levels")}
    return {**left, "levels": rungs} if rungs else left


@pytest.fixture
def scripted(monkeypatch):
    """No model is loaded: a coin of a known probability plays."""
    state = SimpleNamespace(p=0.5, calls=0, stop_at=None)

    class Coin(CoinPolicy):
        def sample(self, requests, *, seed):
            state.calls += 1
            if state.calls == state.stop_at:
                raise KeyboardInterrupt
            return super().sample(requests, seed=seed)

    monkeypatch.setattr("minirl.cli.session.load", lambda *_, **__: object())
    monkeypatch.setattr("minirl.cli.session.describe_machine", lambda *_: {"device": "coin"})
    monkeypatch.setattr("minirl.cli.settle.settle", lambda session, *_, **__: session)
    monkeypatch.setattr("minirl.cli.price.price", lambda *_: None)
    monkeypatch.setattr("minirl.cli.probe._policy", lambda s, _: Coin(s.env, same(state.p)))
    return state


@pytest.fixture(scope="module")
def _process():
    with openai_server() as server:
        yield server


@pytest.fixture
def server(_process: OpenAIServer) -> OpenAIServer:
    _process.plan()
    return _process


def served(server, *more):
    server = ("--endpoint", server.url, "--model", "Big/Model-8B", "--choices", "8")
    return (*ONE, *server, "--retries", "1", *more)


SERVED = "runs/quickstart-big-model-8b"

# Scripts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "verdict", "strict", "title"),
    [
        (0.5, "go", 0, "GO: "),
        (0.0, "cold_start", 1, "COLD START FIRST: "),
        (1.0, "saturated", 1, "SATURATED: "),
    ],
)
def test_verdicts(minirl, scripted, tmp_path, p, verdict, strict, title):
    scripted.p = p
    ended = minirl(*ONE, *SHORT, "--strict")
    assert ended.code == strict
    assert title in ended.out
    found = read_json(tmp_path / RUN / "probe.json")
    assert (found["verdict"], found["decided"], found["endpoint"]) == (verdict, True, None)
    assert found["solved"]["n"] >= 24 * 8
    assert found["solved"]["low"] <= p <= found["solved"]["high"]
    assert not (tmp_path / RUN / "probe.partial.jsonl").exists()
    assert read_json(tmp_path / RUN / "environment.json") == {"device": "coin"}


def test_it_is_there_already_until_forced(minirl, scripted, tmp_path):
    first = json.loads(minirl(*ONE, "--json").out)
    calls = scripted.calls
    ended = minirl(*ONE, "--json")
    assert "there already" in ended.err
    assert json.loads(ended.out) == first == read_json(tmp_path / RUN / "probe.json")
    assert scripted.calls == calls
    scripted.p = 1.0
    assert json.loads(minirl(*ONE, "--json", "--force").out)["verdict"] == "saturated"


def test_an_interrupted_probe_goes_on(minirl, scripted, tmp_path):
    scripted.p = 0.02
    whole = json.loads(minirl(*ONE, *SHORT, "--name", "whole", "--json").out)
    needed, scripted.calls, scripted.stop_at = scripted.calls, 0, 3
    ended = minirl(*ONE, *SHORT)
    assert ended.code == 130
    assert "the same command goes on" in ended.err
    assert len(read_jsonl(tmp_path / RUN / "probe.partial.jsonl")) == 16
    assert minirl(*ONE, "--seed", "5").code == 2  # another probe
    assert timeless(json.loads(minirl(*ONE, *SHORT, "--json").out)) == timeless(whole)
    assert scripted.calls == needed + 1


def test_another_recipe_needs_another_name(minirl, scripted):
    assert minirl(*ONE).code == 0
    for more in (("--set", "sampling.max_tokens=40"), ("--env", "countdown")):
        ended = minirl(*ONE[:2], *more)
        assert ended.code == 2
        assert "was probed with another recipe" in ended.err


def test_a_ladder(minirl, scripted, tmp_path, monkeypatch):
    chances = {"1": 1.0, "2": 0.5, "3": 0.0}
    monkeypatch.setattr("minirl.cli.probe._policy", lambda s, _: LadderCoin(s.env, chances))
    ended = minirl("probe", "quickstart", *SHORT, "--levels", "1,2,3")
    assert ended.code == 0, ended.err
    ladder = read_json(tmp_path / RUN / "ladder.json")
    assert [r["verdict"] for r in ladder["levels"]] == ["saturated", "go", "cold_start"]
    assert ladder["start"] == "2"
    assert "start at level 2" in ended.out
    assert {p.name for p in (tmp_path / RUN / "ladder").iterdir()} == {"1.json", "2.json", "3.json"}
    assert not (tmp_path / RUN / "probe.json").exists()


class LadderCoin(CoinPolicy):
    """A coin for each level, told apart by the task."""

    def __init__(self, env, chances):
        super().__init__(env, same(0.5))
        self._chances = chances

    def sample(self, requests, *, seed):
        level = requests[0].task.env.partition(":")[2]
        self._chance = same(self._chances[level])
        self._env = type(self._env)(self._env.Config(**self._env.levels[level]), level=level)
        return super().sample(requests, seed=seed)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*ONE, "--levels", "1,9"), "has no level '9'"),
        (("probe", "quickstart", "--env", "gsm8k:procedural", "--levels", "nine"), "no level"),
        (("probe", "tinny"), "no recipe"),
    ],
)
def test_what_cannot_be_probed(minirl, scripted, words, told, tmp_path):
    ended = minirl(*words)
    assert ended.code == 2
    assert told in ended.err
    assert scripted.calls == 0
    assert not (tmp_path / RUN / "config.json").exists()


# The tiny model -------------------------------------------------------------------------------


def test_a_model_of_this_machine(minirl, tiny_cache, tmp_path):
    few = ("--set", "probe.groups=24", "--set", "train.group_size=4")
    ended = minirl("probe", "tiny", *few)
    assert ended.code == 0, ended.err
    found = read_json(tmp_path / "runs/tiny/probe.json")
    assert (found["model"], found["samples"], found["verdict"]) == ("tiny", 96, "go")
    assert 0.1 < found["solved"]["value"] < 0.6
    assert found["price"]["seconds_low"] < found["price"]["seconds"]
    assert "training here" in ended.out
    assert minirl("probe", "tiny", *few, "--json").code == 0


# A server -------------------------------------------------------------------------------------


def test_a_served_model(minirl, server, tmp_path):
    server.plan(p=0.3)
    ended = minirl(*served(server, "--json"))
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found == read_json(tmp_path / SERVED / "probe.json")
    assert found["endpoint"]["model"] == found["model"] == "Big/Model-8B"
    assert found["endpoint"]["url"] == server.url + "/v1"
    assert (found["verdict"], found["price"]) == ("go", None)
    assert found["solved"]["low"] < 0.3 < found["solved"]["high"]
    assert found["tokens"] == found["spent"]["completion_tokens"]
    assert found["samples"] == sum(b.get("n", 1) for b in server.bodies)
    assert found["spent"]["requests"] == len(server.bodies)
    assert "asking http://127.0.0.1" in ended.err
    assert read_json(tmp_path / SERVED / "config.json")["model"]["name"] == "Big/Model-8B"

    trained = minirl("train", "quickstart", "--env", "arithmetic:1", "--name", SERVED[5:])
    assert trained.code == 2
    assert "model.name: 'Big/Model-8B' in the probe, 'smollm2-135m' now" in trained.err

    evaluated = minirl("eval", *served(server, "--set", "eval.tasks=5", "--json")[1:])
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["eval"]["base"]["solved"]["n"] == 5
    assert minirl(*served(server)).code == 0  # the probe is what it was


def test_a_served_ladder(minirl, server, tmp_path):
    ended = minirl(*served(server, "--levels", "1,2"))
    assert ended.code == 0, ended.err
    ladder = read_json(tmp_path / SERVED / "ladder.json")
    assert [r["endpoint"]["model"] for r in ladder["levels"]] == ["Big/Model-8B"] * 2
    assert [r["verdict"] for r in ladder["levels"]] == ["go", "go"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """probe.json of a run that nothing happened to."""
    where = tmp_path_factory.mktemp("undisturbed")
    with openai_server(n=False) as server:
        command = [sys.executable, "-m", "minirl", *served(server)]
        subprocess.run(command, cwd=where, check=True, capture_output=True, timeout=60)
    return compared(where)


def compared(where):
    """What must not depend on what happened on the way: everything but times and the address."""
    found = timeless(read_json(where / SERVED / "probe.json"))
    return {**found, "endpoint": {**found["endpoint"], "url": None}}


def asked_twice(log):
    asked = Counter(json.dumps([r["body"]["messages"], r["body"]["seed"]]) for r in read_jsonl(log))
    return [key for key, times in asked.items() if times > 1]


def test_a_server_that_dies_half_way(minirl, tmp_path, undisturbed):
    """One that ignores n, so that groups are broken in two."""
    log = tmp_path / "log.jsonl"
    with openai_server(log_file=str(log), n=False, die_after=90) as server:
        ended = minirl(*served(server))
        assert ended.code == 1
        assert "the same command goes on" in ended.err
        port = server.port
    kept = len(read_jsonl(tmp_path / SERVED / "probe.answers.jsonl"))
    assert 80 <= kept <= 90
    assert len(read_jsonl(tmp_path / SERVED / "probe.partial.jsonl")) == 8
    with openai_server(port, log_file=str(log), n=False) as server:
        ended = minirl(*served(server))
        assert ended.code == 0, ended.err
    assert len(asked_twice(log)) <= 90 - kept  # those that went out as it died
    assert compared(tmp_path) == undisturbed


def test_a_command_that_is_killed(minirl, tmp_path, undisturbed):
    log = tmp_path / "log.jsonl"
    with openai_server(log_file=str(log), n=False, delay=0.03) as server:
        given = served(server, "--concurrency", "2")
        with subprocess.Popen(
            [sys.executable, "-m", "minirl", *given], cwd=tmp_path, stderr=subprocess.PIPE
        ) as process:
            deadline = time.monotonic() + 30
            while (not log.exists() or len(read_jsonl(log)) < 30) and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)
        server.plan(n=False)
        assert minirl(*given).code == 0
    assert len(asked_twice(log)) <= 2
    assert compared(tmp_path) == undisturbed


def test_a_probe_is_gone_on_with_by_what_began_it(minirl, server, scripted, tmp_path):
    ended = minirl(*served(server, "--max-requests", "12"))
    assert ended.code == 1
    assert "cap on spend" in ended.err
    here = (*ONE, "--set", "model.name=Big/Model-8B", "--name", SERVED[5:])
    other = minirl(*here)
    assert other.code == 2
    assert "was begun with a server" in other.err
    assert minirl(*here, "--force").code == 0
    assert not (tmp_path / SERVED / "probe.answers.jsonl").exists()
    scripted.stop_at = scripted.calls + 2
    assert minirl(*here, "--force").code == 130
    assert "a model that was loaded here" in minirl(*served(server)).err
