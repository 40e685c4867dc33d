"""`minirl eval` and `minirl sample` against a server: figures, spend, and going on after anything
that can end a run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from openai_server import KEY, OpenAIServer, openai_server, solve

from minirl.rundir import read_json, read_jsonl
from minirl.stats import wilson_interval

MODEL = "Big/Model-8B"
RUN = "runs/quickstart-big-model-8b"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("MINIRL_API_KEY", KEY)


@pytest.fixture(scope="module")
def _process():
    with openai_server() as server:
        yield server


@pytest.fixture
def server(_process: OpenAIServer) -> OpenAIServer:
    _process.plan()
    return _process


def words(server, *more, command="eval"):
    return (
        command, "quickstart", "--env", "arithmetic:1", "--endpoint", server.url,
        "--model", MODEL, "--retries", "1", "--choices", "2", *more,
    )  # fmt: skip


SMALL = ("--set", "eval.tasks=12", "--set", "eval.samples=2")


def asked_twice(log: Path) -> list[str]:
    """Requests that the server answered more than once."""
    asked = Counter(
        json.dumps([line["body"]["messages"], line["body"]["seed"], line["body"].get("n")])
        for line in read_jsonl(log)
    )
    return [key for key, times in asked.items() if times > 1]


def files_of(path: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in path.rglob("*") if p.is_file()}


# Figures --------------------------------------------------------------------------------------


def test_eval_is_what_the_server_answered(minirl, server, tmp_path):
    ended = minirl(*words(server, *SMALL))
    assert ended.code == 0, ended.err
    right = 0
    for body in server.bodies:
        keys = [json.dumps([body["messages"], body["seed"], k]) for k in range(body["n"])]
        right += sum(random.Random(key).random() < 0.5 for key in keys)
    found = read_json(tmp_path / RUN / "eval.json")
    solved = found["base"]["solved"]
    assert (solved["n"], solved["tasks"]) == (24, 12)
    assert round(solved["value"] * 24) == right
    assert solved["low"] < wilson_interval(right, 24)[0] + 0.1
    assert (found["tuned"], found["difference"], found["mcnemar_p"]) == (None, None, None)
    assert found["endpoint"] == {
        "url": server.url + "/v1",
        "model": MODEL,
        "left_out": [],
        "tokens_estimated": False,
    }
    assert found["base"]["truncated"] == 0
    counted = [len(f"Answer: {solve(b['messages'][-1]['content'])}") for b in server.bodies]
    assert 8 <= found["base"]["mean_tokens"] <= max(counted) + 1
    assert found["spent"]["requests"] == 12
    assert found["spent"]["completion_tokens"] == found["base"]["mean_tokens"] * 24
    assert MODEL in ended.out
    assert f"{100 * right / 24:.1f} %" in ended.out
    lines = read_jsonl(tmp_path / RUN / "samples.jsonl")
    assert sum(line["solved"] for line in lines) == right
    assert read_json(tmp_path / RUN / "environment.json")["endpoint"]["model"] == MODEL

    again = minirl(*words(server, *SMALL, "--json"))
    assert "there already" in again.err
    assert json.loads(again.out) == {"run": RUN, "adapter": None, "eval": found}
    assert len(server.bodies) == 12

    other = minirl(*words(server, "--set", "eval.tasks=13", "--set", "eval.samples=2"))
    assert other.code == 2
    assert "eval.tasks: 12 in the run, 13 now" in other.err
    forced = minirl(*words(server, "--set", "eval.tasks=13", "--force", "--json"))
    assert json.loads(forced.out)["eval"]["base"]["solved"]["n"] == 13


def test_the_key_stands_nowhere(minirl, server, tmp_path):
    server.plan(turns=[f"You sent {KEY}"])
    ended = minirl(*words(server, *SMALL))
    assert ended.code == 0
    files = files_of(tmp_path)
    assert len(files) >= 6
    assert not [name for name, data in files.items() if KEY.encode() in data]
    assert KEY not in ended.out + ended.err
    assert "You sent [key]" in (tmp_path / RUN / "samples.jsonl").read_text()
    assert {r["authorization"] for r in server.log()["requests"]} == {f"Bearer {KEY}"}


def test_the_key_is_not_taken_elsewhere(minirl, server):
    with openai_server() as elsewhere:
        location = {"Location": elsewhere.url + "/v1/chat/completions"}
        server.plan(always={"kind": "status", "status": 307, "headers": location})
        ended = minirl(*words(server, *SMALL))
        assert (ended.code, elsewhere.log()["requests"]) == (1, [])
        assert "redirects are not followed" in ended.err


def test_sample_shows_what_a_server_says(minirl, server, tmp_path):
    server.plan(turns=["\x1b[2J\x00 Answer: 1"])
    ended = minirl(*words(server, "--tasks", "2", "-n", "3", command="sample"))
    assert ended.code == 0
    assert ended.out.count(r"\x1b[2J\x00 Answer: 1") == 6
    assert f"{MODEL}: solved 0.0 %" in ended.out
    records = minirl(*words(server, "--tasks", "2", "-n", "3", "--json", command="sample")).out
    assert [json.loads(line)["tokens"] for line in records.splitlines()] == [16] * 6
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["eval", "sample", "probe"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "m"], "--model goes with --endpoint"),
        (["--max-requests", "3"], "--max-requests goes with --endpoint"),
        (["--endpoint", "http://h"], "--endpoint needs --model"),
        (["--endpoint", "h:80", "--model", "m"], "no URL of http"),
        (["--endpoint", "http://h", "--model", "m", "--max-cost", "1"], "--price-in"),
        (["--endpoint", "http://h", "--model", "m", "--price-in", "1"], "--price-out"),
        (
            ["--endpoint", "http://h", "--model", "m", "--price-in", "inf", "--price-out", "1"],
            "finite",
        ),
        (["--endpoint", "http://u:pass@h", "--model", "m"], "password"),
        (["--endpoint", "http://h", "--model", "m", "--concurrency", "0"], "concurrency"),
    ],
)
def test_options_that_do_not_go_together(minirl, command, options, told, tmp_path):
    ended = minirl(command, "quickstart", *options)
    assert ended.code == 2
    assert told in ended.err
    assert "u:pass" not in ended.err
    assert not (tmp_path / "runs").exists()


def test_options_of_one_kind_of_eval(minirl, server, tmp_path):
    assert "--seed goes with --endpoint" in minirl("eval", "quickstart", "--seed", "1").err
    both = minirl(*words(server, "--policy", "gold", command="sample"))
    assert "contradict" in both.err
    too_many = minirl(*words(server, "--set", "eval.tasks=99"))
    assert (too_many.code, "held-out tasks" in too_many.err) == (2, True)
    assert server.bodies == []


def test_a_trained_run_is_left_alone(minirl, server, tmp_path):
    assert minirl(*words(server, *SMALL)).code == 0
    (tmp_path / RUN / "train").mkdir()
    before = files_of(tmp_path / RUN)
    for more in ((), ("--force",)):
        ended = minirl(*words(server, *SMALL, *more))
        assert (ended.code, "has been trained" in ended.err) == (1, True)
    assert files_of(tmp_path / RUN) == before


# Ends that are not the end --------------------------------------------------------------------


def evaluated(where: Path) -> dict:
    """eval.json without the address, which differs between servers."""
    found = read_json(where / RUN / "eval.json")
    return {**found, "endpoint": {**found["endpoint"], "url": None}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """eval.json of a run that nothing happened to."""
    where = tmp_path_factory.mktemp("undisturbed")
    with openai_server() as server:
        command = [sys.executable, "-m", "minirl", *words(server, *SMALL)]
        subprocess.run(command, cwd=where, check=True, capture_output=True, timeout=60)
    return evaluated(where)


def test_a_server_that_dies_half_way(minirl, tmp_path, undisturbed):
    log = tmp_path / "log.jsonl"
    with openai_server(log_file=str(log), die_after=7) as server:
        ended = minirl(*words(server, *SMALL, "--concurrency", "2"))
        assert ended.code == 1
        assert "the same command goes on" in ended.err
        assert "fails, after 1 retry" in ended.err
        assert not (tmp_path / RUN / "eval.json").exists()
        again = minirl(*words(server, *SMALL))  # it is still dead
        assert again.code == 1
        port = server.port
    assert len(read_jsonl(tmp_path / RUN / "eval.answers.jsonl")) >= 6 * 2
    with openai_server(port, log_file=str(log)) as server:
        ended = minirl(*words(server, *SMALL))
        assert ended.code == 0, ended.err
        assert "completions are there already" in ended.err
    assert asked_twice(log) == []
    assert len(read_jsonl(log)) == 12
    assert evaluated(tmp_path) == undisturbed


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_command_that_is_stopped(minirl, tmp_path, undisturbed, stop):
    log = tmp_path / "log.jsonl"
    with openai_server(log_file=str(log), delay=0.2) as server:
        given = words(server, *SMALL, "--concurrency", "1")
        with subprocess.Popen(
            [sys.executable, "-m", "minirl", *given],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ},
        ) as process:
            deadline = time.monotonic() + 30
            while (not log.exists() or len(read_jsonl(log)) < 4) and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(stop)
            _, err = process.communicate(timeout=20)
        kept = len(read_jsonl(tmp_path / RUN / "eval.answers.jsonl")) // 2
        assert kept >= 3
        if stop == signal.SIGINT:
            assert process.returncode == 130
            assert "the same command goes on" in err
            assert "Traceback" not in err
        server.plan()
        assert minirl(*given).code == 0
        assert len(server.bodies) == 12 - kept
    assert len(asked_twice(log)) <= 1  # the one that was on its way
    assert evaluated(tmp_path) == undisturbed


@pytest.mark.parametrize(
    ("cap", "larger"),
    [
        (["--max-requests", "5"], ["--max-requests", "12"]),
        (["--max-tokens-total", "1200"], ["--max-tokens-total", "9999"]),
        (
            ["--max-cost", "0.0012", "--price-in", "1", "--price-out", "1"],
            ["--max-cost", "1", "--price-in", "1", "--price-out", "1"],
        ),
    ],
)
def test_a_cap_on_spend(minirl, server, tmp_path, cap, larger, undisturbed):
    ended = minirl(*words(server, *SMALL, *cap))
    assert ended.code == 1
    assert "the cap on spend is reached" in ended.err
    assert "with a larger --max-requests, --max-tokens-total or --max-cost" in ended.err
    first = len(server.bodies)
    assert 0 < first < 12
    assert f"{first:,} requests" in ended.err
    assert ("$0.0" in ended.err) == ("--max-cost" in cap)
    assert minirl(*words(server, *SMALL, *cap)).code == 1
    assert len(server.bodies) == first
    assert minirl(*words(server, *SMALL, *larger)).code == 0
    assert len(server.bodies) == 12
    found = evaluated(tmp_path)
    cost = found["spent"].pop("cost")
    without = {**undisturbed["spent"]}
    del without["cost"]
    assert found == {**undisturbed, "spent": without}
    tokens = found["spent"]["prompt_tokens"] + found["spent"]["completion_tokens"]
    assert cost == (pytest.approx(tokens / 1e6) if "--max-cost" in cap else None)
