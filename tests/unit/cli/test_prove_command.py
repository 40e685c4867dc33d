"""`minirl prove`, and what `run` and `train` make of a probe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from minirl.rundir import RunDir, read_json, write_json

STEPS = ("--set", "train.steps=2", "--set", "train.save_every=1", "--set", "eval.tasks=4")
SMALL = (
    *("--tasks", "4", "--samples", "4", "--set", "prove.regression_tasks=2"),
    *("--set", "prove.regression_samples=1", "--set", "prove.checkpoint_samples=2"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_cache):
    """A run of two steps and its control, trained once."""
    from minirl.cli.main import main

    runs = tmp_path_factory.mktemp("trained")
    for name, changes in (("real", ()), ("flips", ("--set", "train.rewards=coin"))):
        with pytest.raises(SystemExit) as stop:
            main(["train", "tiny", *STEPS, *changes, "--name", name, "--runs", str(runs)])
        assert not stop.value.code
    return runs


@pytest.fixture
def runs(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs"


def test_a_proof_is_printed_and_written(minirl, runs):
    ended = minirl("prove", "real", *SMALL)
    assert ended.code == 0, ended.err
    record = read_json(runs / "real" / "prove.json")
    assert ended.out.startswith(record["verdict"].upper())
    assert "tuned - base, points" in ended.out
    assert record["random_reward"] is None
    assert [row["step"] for row in record["checkpoints"]] == [0, 1, 2]
    assert "base: 16" in ended.err  # progress, where there is no terminal

    # A control is put beside the samples that are there already.
    ended = minirl("prove", "real", *SMALL, "--random-reward", "flips")
    assert ended.code == 0, ended.err
    assert "base: 16, 16 at hand" in ended.err
    beside = read_json(runs / "real" / "prove.json")
    assert beside["random_reward"]["run"] == "runs/flips"
    assert beside["pass_at_k"] == record["pass_at_k"]
    record = beside

    again = minirl("prove", "real", "--json")
    assert "is there already" in again.err
    assert json.loads(again.out) == record

    ended = minirl("prove", "real", "--tasks", "5")
    assert ended.code == 1
    assert "--force proves anew" in ended.err
    ended = minirl("prove", "real", *SMALL[:3], "2", *SMALL[4:], "--force", "--json")
    assert json.loads(ended.out)["samples"] == 2


def test_ctrl_c_keeps_every_sample(minirl, runs, monkeypatch):
    import minirl.measure.prove.prove as module

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "divergence", stop)
        ended = minirl("prove", "real", *SMALL)
    assert ended.code == 130
    assert "every sample so far is kept: the same command goes on" in ended.err
    assert not (runs / "real" / "prove.json").exists()
    played = (runs / "real" / "prove" / "base.jsonl").read_bytes()

    ended = minirl("prove", "real", *SMALL)
    assert ended.code == 0
    assert "base: 16, 16 at hand" in ended.err
    assert (runs / "real" / "prove" / "base.jsonl").read_bytes() == played


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("prove", "none"), 1, "no run at runs/none"),
        (("prove", "real", "--set", "train.steps=9"), 2, "only keys of prove"),
        (("prove", "real", "--tasks", "99999"), 2, "prove.tasks asks for 99999"),
        (("prove", "real", "--samples", "1"), 2, "--samples"),
        (("prove", "real", "--set", "prove.regressions=['sort_word:3']"), 2, "sort_words"),
        (("prove", "real", "--random-reward", "real"), 2, "train.rewards: 'verifier'"),
        (("prove", "real", "--random-reward", "none"), 1, "no run at runs/none"),
    ],
)
def test_bad_input_costs_nothing(minirl, runs, words, code, told):
    ended = minirl(*words)
    assert (ended.code, told in ended.err) == (code, True), ended.err
    assert "Traceback" not in ended.err
    assert not (runs / "real" / "prove.json").exists()
    assert not list((runs / "real").glob("prove/*.jsonl"))


def test_a_control_of_another_recipe_is_refused(minirl, runs):
    config = read_json(runs / "flips" / "config.json")
    config["train"]["steps"] = 3
    write_json(runs / "flips" / "config.json", config)
    ended = minirl("prove", "real", "--random-reward", "flips")
    assert ended.code == 2
    assert "train.steps: 2 in runs/real, 3 in runs/flips" in ended.err


def test_a_run_without_an_adapter_cannot_be_proved(minirl, runs):
    shutil.rmtree(runs / "real" / "adapter")
    ended = minirl("prove", "real")
    assert ended.code == 1
    assert "has no adapter yet" in ended.err


# What training makes of a probe -------------------------------------------------------------------


def probed(verdict: str) -> RunDir:
    """A run of the recipe `tiny` that has only been probed."""
    from minirl.cli.session import read_recipe

    recipe = read_recipe("tiny", overrides=list(STEPS[1::2]), env=None, seed=None)
    config = recipe.model_dump(mode="json")
    run = RunDir.create(Path("runs/tiny"), recipe_toml=recipe.to_toml(), config=config, force=False)
    found = {"verdict": verdict, "reason": "0 % of groups of 8 carry signal"}
    write_json(run.probe, found | {"recommend": {"why": ["no G helps"]}})
    return run


@pytest.mark.parametrize("command", ["train", "run"])
def test_strict_refuses_where_the_probe_is_against_it(minirl, tiny_cache, command):
    run = probed("cold_start")
    ended = minirl(command, "tiny", *STEPS, "--strict")
    assert ended.code == 1
    assert "the probe is against this training. COLD START FIRST" in ended.err
    assert "no G helps" in ended.err
    assert run.probe.exists()
    assert not run.begun


def test_without_strict_it_warns_loudly_and_trains(minirl, tiny_cache):
    run = probed("saturated")
    ended = minirl("train", "tiny", *STEPS)
    assert ended.code == 0, ended.err
    assert "WARNING: the probe is against this training." in ended.err
    assert run.trained
    assert run.probe.exists()


def test_a_probe_of_another_recipe_is_not_taken(minirl, tiny_cache):
    run = probed("go")
    ended = minirl("train", "tiny", *STEPS, "--set", "sampling.max_tokens=9")
    assert ended.code == 2
    assert "sampling.max_tokens: 14 in the probe, 9 now" in ended.err
    assert not run.begun


def test_run_probes_first_and_says_what_it_found(minirl, tiny_cache):
    ended = minirl("run", "tiny", *STEPS, "--json")
    assert ended.code == 0, ended.err
    run = RunDir(Path("runs/tiny"))
    record = read_json(run.probe)
    assert "probing tiny on arithmetic" in ended.err
    assert f"probe: {record['reason']}"[:20] in ended.err or record["reason"] in ended.err
    assert run.eval.exists()
    assert not run.probe_journal.exists()
