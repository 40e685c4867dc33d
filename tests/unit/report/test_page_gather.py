"""What the page shows, from whatever is in the run directory at any time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import finished_run as made
import numpy as np
import pytest

from minirl.report.page import gather, render
from minirl.report.page.gather import inputs
from minirl.report.page.html import script_json
from minirl.report.page.read import Reader
from minirl.report.page.samples import find, samples
from minirl.report.page.training import POINTS, StepRollouts, training
from minirl.report.text import visible
from minirl.rundir import RunDir, read_jsonl, write_json
from minirl.stats import clustered_rate, wilson_interval
from minirl.stats.rates import mean_interval

PARTS = ("probe", "ladder", "training", "eval", "prove", "export", "samples")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return made.full_run(tmp_path_factory.mktemp("runs") / "full")


@pytest.fixture(scope="module")
def data(full: RunDir) -> dict[str, Any]:
    return gather(full).data


def test_a_whole_run_has_every_part(full, data):
    summary = gather(full).summary()
    assert summary["parts"] == list(PARTS)
    assert summary["notes"] == []
    facts = dict(data["facts"])
    assert facts["Model"] == "smollm2-135m, LoRA r = 16, α = 32"
    assert facts["Environment"] == "arithmetic:2"
    assert facts["Training"] == "30 steps of 4 tasks × 8 rollouts, curriculum task stream"
    assert facts["Settled here"] == "train.micro_batch = 16"
    assert facts["Seed"] == "3"
    assert "torch 2.13.0+cpu" in facts["Versions"]
    assert data["trained"] is True
    assert data["peak_memory"] == 2_345_678_901
    assert data["recipe"] == "seed = 3\n"


def test_a_run_that_has_only_begun_says_what_makes_the_rest(tmp_path):
    run = made.make_run(tmp_path / "bare run")
    data = gather(run).data
    assert [data[p] for p in PARTS] == [None] * 7
    quoted = f"'{run.path}'"
    assert data["commands"]["prove"] == f"minirl prove {quoted}"
    assert data["commands"]["training"] == f"minirl train {quoted}/recipe.toml --name {quoted}"
    assert data["notes"] == []
    render(data)


def test_numbers_go_through_as_they_were_written(full, data):
    for name in ("eval", "prove"):
        record = json.loads(getattr(full, name).read_text())
        shown = {k: v for k, v in data[name].items() if k != "rules"}
        assert shown["difference"] == pytest.approx(record["difference"], rel=1e-5)
        assert shown.keys() == record.keys()
    prove = json.loads(full.prove.read_text())
    for i, span in enumerate(prove["pass_at_k"]["base"]):
        assert data["prove"]["pass_at_k"]["base"][i] == pytest.approx(span, rel=1e-5)
    assert data["probe"]["title"] == "Go"
    assert "tasks" not in data["probe"]
    assert data["probe"]["task_count"] == 48


def first_drawn(run: RunDir) -> dict[int, list[list[dict[str, Any]]]]:
    """The groups of each step's first draw, counted independently of the page."""
    out: dict[int, list[list[dict[str, Any]]]] = {}
    for record in read_jsonl(run.rollouts):
        groups = out.setdefault(record["step"], [])
        if not groups or len(groups[-1]) == made.G:
            groups.append([])
        groups[-1].append(record)
    return {step: groups[:4] for step, groups in out.items()}


def test_curves_pool_the_groups_as_they_were_drawn(full, data):
    curves, drawn = data["training"], first_drawn(full)
    assert curves["window"] == 5
    assert curves["step"] == list(range(1, 31))
    assert curves["by_group"] is True
    for at in (0, 3, 17, 29):
        groups = [g for step in range(max(1, at - 3), at + 2) for g in drawn[step]]
        by_task = [(sum(r["solved"] for r in g), len(g)) for g in groups]
        rate = clustered_rate(by_task)
        solved = curves["solved"][at]
        assert solved["n"] == 8 * len(groups)
        assert (solved["value"], solved["low"], solved["high"]) == pytest.approx(
            (rate.value, rate.low, rate.high), rel=1e-5
        )
        useful = sum(0 < k < n for k, n in by_task)
        signal = curves["signal"][at]
        assert signal["n"] == len(groups)
        assert (signal["low"], signal["high"]) == pytest.approx(
            wilson_interval(useful, len(groups)), rel=1e-5
        )
        means = np.array([np.mean([r["value"] for r in g]) for g in groups])
        low, high = mean_interval(means, 8.0 * len(groups))
        reward = curves["reward"][at]
        assert (reward["value"], reward["low"], reward["high"]) == pytest.approx(
            (means.mean(), low, high), rel=1e-5
        )


def test_cost_is_the_sum_of_what_was_logged(full, data):
    metrics, rollouts = read_jsonl(full.metrics), read_jsonl(full.rollouts)
    cost = data["training"]["cost"]
    assert cost["seconds"] == pytest.approx(sum(m["time"]["step"] for m in metrics), rel=1e-5)
    assert cost["sampling"] == pytest.approx(60.0)
    assert cost["rollouts"] == 30 * 5 * 8
    assert cost["tokens"] == sum(r["tokens"] for r in rollouts)
    assert cost["tokens_seen"] == 27_000
    series = data["training"]["series"]
    assert series["entropy"] == pytest.approx([m["entropy"] for m in metrics], rel=1e-5)
    assert series["seconds"] == [3.0] * 30


def test_without_the_rollouts_the_logged_means_are_pooled():
    metrics = [
        {"step": s, "solved": 0.25, "solved_n": 32.0, "signal": 0.5, "reward": 0.3} for s in (1, 2)
    ]
    curves = training(metrics, {}, group_size=8, steps=None)
    assert curves is not None
    assert curves["by_group"] is False
    low, high = wilson_interval(16, 64)
    assert curves["solved"][1] == pytest.approx(
        {"value": 0.25, "low": low, "high": high, "n": 64}, rel=1e-5
    )
    assert curves["signal"][1]["n"] == 8
    assert curves["reward"][1]["low"] is None


def test_long_trainings_are_thinned_and_end_with_their_last_step():
    metrics = [{"step": s, "solved": 0.5, "solved_n": 8.0, "signal": 1.0} for s in range(1, 3001)]
    curves = training(metrics, {}, group_size=8, steps=3000)
    assert curves is not None
    assert len(curves["step"]) == POINTS
    assert curves["step"][-1] == curves["done"] == 3000
    assert curves["window"] == 150
    assert curves["solved"][-1]["n"] == 150 * 8


@pytest.mark.parametrize(
    "row",
    [
        {"step": 1},
        {"step": 1, "solved": "x", "solved_n": None, "time": 3},
        {"step": 1, "solved": float("nan"), "solved_n": 8, "signal": 7.0, "time": {"step": "x"}},
    ],
)
def test_odd_metrics_draw_nothing_and_break_nothing(row):
    played = {1: StepRollouts([1.0] * 3, [True] * 3)}
    curves = training([row, {"no": "step"}], played, group_size=2, steps=1)
    assert curves is not None
    assert curves["done"] == 1
    script_json(curves)


def test_torn_and_damaged_lines_are_left_out(tmp_path):
    run = made.make_run(tmp_path / "mid")
    made.add_training(run, made.Writer(made.tokenizer(run.checkpoint(2))), steps=3)
    whole = gather(run).data
    for path in (run.metrics, run.rollouts):
        with path.open("ab") as out:
            out.write(b'{"step": 4, "solved": 0.')
    torn = gather(run).data
    assert torn["training"] == whole["training"]
    assert torn["samples"] == whole["samples"]
    assert torn["notes"] == []
    lines = run.rollouts.read_bytes().splitlines(keepends=True)
    run.rollouts.write_bytes(lines[0] + b"\xff{{\n" + b"".join(lines[1:]))
    damaged = gather(run).data
    assert damaged["samples"] == whole["samples"]
    assert damaged["notes"] == ["train/rollouts.jsonl has 1 damaged line, left out."]


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": ' * 100_000, "\x00"])
@pytest.mark.parametrize("name", ["config", "environment", "probe", "ladder", "eval", "prove"])
def test_a_damaged_file_is_noted_and_the_rest_is_shown(tmp_path, full, name, text):
    run = RunDir(tmp_path / "run")
    shutil.copytree(
        full.path, run.path, ignore=lambda _, names: [n for n in names if ".jsonl" in n]
    )
    path: Path = getattr(run, name)
    path.write_text(text)
    data = gather(run).data
    assert len(data["notes"]) == 1
    assert data["notes"][0].startswith(f"{path.name} ")
    others = {"probe", "ladder", "eval", "prove"} - {name}
    assert all(data[o] is not None for o in others)
    if name in ("probe", "ladder", "eval", "prove"):
        assert data[name] is None
    render(data)


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [t for k, v in value.items() for t in (k, *texts(v))]
    return [t for v in value for t in texts(v)] if isinstance(value, list) else []


def test_hostile_text_is_made_visible_wherever_it_stands(tmp_path):
    run = made.make_run(tmp_path / "bad")
    evil = "\u202e<script>\x00\x1b[2J\u2028\ud800"
    config = run.read_config()
    config["description"] = evil
    config["model"]["name"] = evil
    (run.path / "config.json").write_text(json.dumps(config))
    write_json(
        run.environment,
        {"env": "\x1b[31m", "seed": 10**400, "gpu": "\u202e", "settled": {"\x00": "\x00"}},
    )
    run.probe.write_text(json.dumps({"verdict": evil, "reason": evil, evil: [evil]}))
    record = {
        "policy": evil,
        "task": evil,
        "prompt": [{"role": evil, "content": evil}],
        "messages": [
            {"role": "assistant", "content": evil, "tool_calls": [
                {"function": {"name": evil, "arguments": {evil: evil}}}, {"function": 3}, 4]},
            {"role": "tool", "content": evil},
            "no message",
        ],
        "value": 1e400, "solved": 1, "parts": {evil: 1.0}, "reason": evil, "stop": evil,
        "tokens": "many",
    }  # fmt: skip
    run.samples.write_text(json.dumps(record).replace("1e400", "1e999") + "\n")
    data = gather(run).data
    assert data["samples"]["shown"] == 1
    for text in texts(data):
        assert visible(text, limit=10**9) == text  # nothing invisible is left
    assert data["description"] == visible(evil)
    render(data).encode("utf-8")


def test_twenty_thousand_rollouts_are_cut_to_a_fair_five_thousand(tmp_path):
    run = made.make_run(tmp_path / "many")
    line = {"task": "t", "messages": [], "value": 0.0, "stop": "eos", "tokens": 1}
    run.rollouts.parent.mkdir()
    with run.rollouts.open("w") as out:
        for i in range(20_000):
            out.write(json.dumps({**line, "step": i // 40 + 1, "solved": i % 40 == 7}) + "\n")
    held = gather(run).data["samples"]
    assert (held["shown"], held["of"]) == (5000, 20_000)
    assert held["sources"] == [{"name": "training", "shown": 5000, "of": 20_000}]
    assert held["rule"].startswith("Every training step")
    solved = {r[1] for r in held["rows"] if r[4]}
    assert solved == {r[1] for r in held["rows"] if not r[4]} == set(range(1, 501))
    assert held == gather(run).data["samples"]


def test_long_rollouts_are_fewer_so_that_the_page_stays_small(tmp_path):
    run = made.make_run(tmp_path / "long")
    writer = made.Writer(made.tokenizer(run.adapter))
    made.add_training(run, writer, steps=4, words=400)
    reader = Reader(run.path)
    found = find(reader, run)
    whole = samples(reader, run, found)
    assert whole is not None
    assert whole["shown"] == whole["of"] == 160
    assert whole["rule"] is None
    cut = samples(reader, run, found, budget=150_000)
    assert cut is not None
    assert 20 < cut["shown"] < 160
    assert len(json.dumps(cut, ensure_ascii=False).encode()) < 170_000
    assert {r[1] for r in cut["rows"]} == {1, 2, 3, 4}


def test_text_that_must_be_escaped_counts_as_long_as_it_gets(tmp_path):
    run = made.make_run(tmp_path / "tags")
    line = {"task": "t", "prompt": [], "value": 0.0, "stop": "eos", "tokens": 1, "solved": False}
    with run.samples.open("w") as out:
        for _ in range(400):
            message = {"role": "assistant", "content": "<" * 3000}
            out.write(json.dumps({**line, "policy": "base", "messages": [message]}) + "\n")
    reader = Reader(run.path)
    held = samples(reader, run, find(reader, run), budget=1_000_000)
    assert held is not None
    assert 500_000 < len(script_json(held)) <= 1_000_000


def test_without_a_tokenizer_turns_are_shaded_whole(tmp_path):
    run = made.make_run(tmp_path / "plain")
    writer = made.Writer(made.tokenizer(tmp_path / "elsewhere"))
    made.add_eval(run, writer, tasks=3)
    turns = [t for r in gather(run).data["samples"]["rows"] for t in r[10] if t[0] == "a"]
    assert {len(t) for t in turns} == {4}
    made.tokenizer(run.checkpoint(5))
    turns = [t for r in gather(run).data["samples"]["rows"] for t in r[10] if t[0] == "a"]
    assert {len(t) for t in turns} == {7}


def test_every_file_that_the_page_shows_is_watched(full):
    watched = {str(p.relative_to(full.path)) for p in inputs(full)}
    assert watched == {
        "recipe.toml", "config.json", "environment.json", "probe.json", "ladder.json",
        "train/metrics.jsonl", "train/rollouts.jsonl", "eval.json", "samples.jsonl", "prove.json",
        "prove/base.jsonl", "prove/tuned.jsonl", "export/export.json", "export/verify.json",
        "adapter/tokenizer.json",
    }  # fmt: skip
