"""`minirl doctor`: on this machine, and on machines that are played."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from machines import BASE, L4, T4, installed, laptop, with_card

from minirl.config import ModelConfig, SamplingConfig
from minirl.models.backend import choose
from minirl.models.checks import Check, Outcome, plan_checks, run_check, try_nf4, try_torch
from minirl.models.machine import Machine
from minirl.models.obstacles import Finding


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``on(machine)`` makes doctor look at that machine, with a large disk, and try nothing out."""

    def play(machine: Machine, *failing: str) -> None:
        def outcome(check: Check) -> Outcome:
            bad = check.name in failing
            level = check.level if bad else "ok"
            fix = check.fix if bad else None
            return Outcome(check.name, Finding(level, f"{check.name}: as played", fix), 0.1)

        monkeypatch.setattr("minirl.models.machine.inspect", lambda: machine)
        monkeypatch.setattr("minirl.export.llama.backends.find_backend", lambda: "xllamacpp")
        monkeypatch.setattr("minirl.export.converter.find_converter", lambda: Path("converter.zip"))
        monkeypatch.setattr("minirl.models.checks.run_check", outcome)

    disk = namedtuple("disk", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: disk(9e12, 0, 9e12))
    return play


# What is told -------------------------------------------------------------------------------------


def test_a_machine_in_order(minirl, on):
    on(with_card(L4, versions={"vllm": "0.31.0"}))
    ended = minirl("doctor")
    assert ended.code == 0
    for line in (
        "card 0                NVIDIA L4, compute capability 8.9 (bf16 and fp16)",
        "24.1 GB, 23.8 GB of it free",
        "driver                580.95.05",
        "torch                 built for CUDA 13.0",
        "backend               unsloth, on cuda",
        "precision             bf16",
        "attention             xformers",
        "rollouts              vLLM, asleep while training (standby)",
        "ok      torch on cuda: as played (0.1 s)",
        "Ready to train.",
    ):
        assert line in ended.out
    assert "Findings" not in ended.out


def test_a_finding_comes_with_its_fix(minirl, on):
    on(with_card(T4, versions={"trl": "1.14.0"}))
    ended = minirl("doctor", "--quick")
    assert ended.code == 0  # transformers can train
    told = ended.out.partition("Findings")[2]
    assert "warning transformers runs the model, not unsloth: trl is 1.14.0" in told
    assert 'fix: pip install -c constraints.txt -e ".[cuda]"' in told
    (row,) = [x.split() for x in ended.out.splitlines() if x.startswith("  trl ")]
    assert row == ["trl", "1.14.0", "1.15.0", "must", "match"]
    assert "--quick tries nothing out" in ended.out


def test_json_holds_everything(minirl, on):
    on(with_card(T4, versions={"trl": "1.14.0"}), "unsloth")
    record = json.loads(minirl("doctor", "--json").out)
    assert record["ready"] is True
    assert record["recipe"] is None
    assert record["machine"]["cards"][0]["capability"] == [7, 5]
    assert record["machine"]["cards"][0]["bf16"] is False
    assert record["choice"] == {
        "backend": "transformers",
        "device": "cuda",
        "precision": "fp16",
        "attention": "sdpa",
        "engine": "torch",
        "standby": False,
    }
    rows = {p["package"]: p for p in record["packages"]}
    assert rows["trl"] == {
        "package": "trl",
        "installed": "1.14.0",
        "supported": "1.15.0",
        "verdict": "must match",
    }
    assert rows["torch"]["verdict"] == "ok"
    assert rows["vllm"] == {
        "package": "vllm",
        "installed": None,
        "supported": "0.31.0",
        "verdict": "not installed",
    }
    assert [d["what"] for d in record["disk"]] == ["models", "hub models", "runs"]
    assert [c["name"] for c in record["checks"]] == ["torch on cuda", "training", "4 bits on cuda"]
    assert all(f["fix"] for f in record["findings"])


def test_what_only_cards_need_is_one_line_without_one(minirl, on):
    on(laptop())
    out = minirl("doctor").out
    (line,) = [x for x in out.splitlines() if "unsloth" in x]
    assert "needed with an NVIDIA card only: unsloth, unsloth_zoo, triton" in line
    on(laptop(packages=installed(*BASE, bitsandbytes=None)))
    row = next(x for x in minirl("doctor").out.splitlines() if "bitsandbytes" in x)
    assert row.split() == ["bitsandbytes", "-", "0.50.2", "not", "installed"]


def test_what_export_uses_is_told(minirl, on):
    on(laptop())
    ended = minirl("doctor", "--quick")
    assert "llama.cpp             xllamacpp" in ended.out
    assert "GGUF converter        converter.zip" in ended.out
    assert json.loads(minirl("doctor", "--json").out)["export"] == {
        "llama.cpp": "xllamacpp",
        "GGUF converter": "converter.zip",
    }


def test_what_export_misses_is_a_note_with_its_command(minirl, on, monkeypatch, tmp_path):
    from minirl.export.converter import find_converter
    from minirl.export.llama import backends

    find_backend = backends.find_backend
    on(laptop())
    monkeypatch.setattr("minirl.export.llama.backends.find_backend", find_backend)
    monkeypatch.setattr("minirl.export.converter.find_converter", find_converter)
    monkeypatch.setattr(backends, "is_installed", lambda _: False)
    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path / "empty"))
    monkeypatch.delenv("MINIRL_LLAMA", raising=False)
    monkeypatch.delenv("MINIRL_GGUF_CONVERTER", raising=False)
    ended = minirl("doctor", "--quick")
    assert ended.code == 0  # training needs neither
    told = ended.out.partition("Findings")[2]
    assert "note    llama.cpp is not installed; without it minirl export cannot verify" in told
    assert 'fix: pip install -c constraints.txt -e ".[gguf]"' in told
    assert "fix: minirl models pull gguf-converter" in told
    assert "warning" not in told
    assert json.loads(minirl("doctor", "--quick", "--json").out)["export"] == {
        "llama.cpp": None,
        "GGUF converter": None,
    }


def test_a_wrong_setting_of_export_is_a_warning(minirl, on, monkeypatch):
    from minirl.export.llama.backends import find_backend

    on(laptop())
    monkeypatch.setattr("minirl.export.llama.backends.find_backend", find_backend)
    monkeypatch.setenv("MINIRL_LLAMA", "ollama")
    ended = minirl("doctor", "--quick")
    assert ended.code == 0
    told = ended.out.partition("Findings")[2]
    assert "warning MINIRL_LLAMA names no way to run llama.cpp" in told
    assert "xllamacpp, llama-server" in told


# Exit codes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "what", "fix"),
    [
        (["--set", "model.backend=unsloth"], "unsloth cannot run here", "backend=transformers"),
        (["--set", "sampling.engine=vllm"], "vLLM cannot run here", "model.backend=transformers"),
    ],
)
def test_a_recipe_that_cannot_run_here_ends_in_1(minirl, on, words, what, fix):
    on(laptop())
    ended = minirl("doctor", *words)
    assert ended.code == 1
    assert what in ended.out
    assert fix in ended.out
    assert "Not ready: 1 error." in ended.out
    assert "What runs" not in ended.out
    assert json.loads(minirl("doctor", *words, "--json").out)["choice"] is None


def test_an_8_bit_optimiser_without_bitsandbytes_is_told(minirl, on):
    on(laptop(packages=installed(*BASE, bitsandbytes=None)))
    ended = minirl("doctor", "--set", "train.optim=adamw_8bit")
    assert ended.code == 1
    assert "train.optim is adamw_8bit, which needs bitsandbytes" in ended.out
    assert "--set train.optim=adamw_torch" in ended.out


@pytest.mark.parametrize(
    ("failing", "words", "code"),
    [
        ("torch on cpu", [], 1),
        ("training", [], 1),
        ("4 bits on cpu", [], 0),
        ("4 bits on cpu", ["--set", "model.load_in_4bit=true"], 1),
        ("4 bits on cpu", ["--set", "train.optim=adamw_8bit"], 1),
        ("model hub", ["--network"], 0),
    ],
)
def test_a_check_that_fails_matters_as_far_as_the_recipe_needs_it(minirl, on, failing, words, code):
    on(laptop(), failing)
    ended = minirl("doctor", *words)
    assert ended.code == code
    told = ended.out.partition("Findings")[2]
    assert f"{'error' if code else 'warning':<8}{failing}: as played" in told
    assert "fix: " in told


def test_a_full_disk_is_told(minirl, on, monkeypatch):
    on(laptop())
    disk = namedtuple("disk", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: disk(1e12, 0, 2e9))
    ended = minirl("doctor", "--quick")
    assert ended.code == 0
    assert ended.out.count("only 2.0 GB are free") == 2  # enough for runs
    assert "MINIRL_CACHE=DIR" in ended.out
    monkeypatch.setattr("shutil.disk_usage", lambda path: disk(1e12, 0, 2e8))
    assert "--runs DIR" in minirl("doctor", "--quick").out


def test_a_mistyped_recipe_or_key_is_a_usage_error(minirl, on):
    on(laptop())
    assert minirl("doctor", "quikstart").code == 2
    ended = minirl("doctor", "--set", "model.backed=unsloth")
    assert ended.code == 2
    assert "did you mean 'model.backend'" in ended.err


def test_a_recipes_own_settings_are_asked_about(minirl, on):
    on(laptop())
    ended = minirl("doctor", "tiny", "--quick")
    assert ended.code == 0
    assert "What runs tiny" in ended.out


# Checks -------------------------------------------------------------------------------------------


def planned(machine: Machine, *, network: bool = False) -> list[Check]:
    choice = choose(ModelConfig(), SamplingConfig(), machine)
    return plan_checks(machine, choice, needs_bitsandbytes=False, network=network)


def test_unsloth_is_imported_only_where_it_can_be():
    def names(machine: Machine) -> list[str]:
        return [c.name for c in planned(machine)]

    assert names(with_card(T4))[-1] == "unsloth"
    assert "unsloth" not in names(with_card(T4, versions={"trl": "1.14.0"}))
    assert "unsloth" not in names(laptop(packages=installed(*BASE, unsloth="2026.10.7")))
    assert names(laptop(packages=installed(*BASE, bitsandbytes=None))) == [
        "torch on cpu",
        "training",
    ]


def test_the_network_is_asked_only_on_request():
    asked = {c.name for c in planned(laptop(), network=True)} - {c.name for c in planned(laptop())}
    assert asked == {"model hub", "package index"}


def test_every_check_has_a_fix():
    for check in [*planned(with_card(T4), network=True), *planned(laptop(), network=True)]:
        assert check.fix
        assert "minirl[" not in check.fix


@pytest.mark.parametrize(
    ("code", "timeout", "level", "what"),
    [
        ("print('noise'); print('all is well')", 60, "ok", "thing: all is well"),
        ("raise ValueError('no good')", 60, "error", "thing: ValueError: no good"),
        ("import os; os._exit(3)", 60, "error", "thing: it ended with exit status 3"),
        ("import time; time.sleep(60)", 0.3, "error", "thing: no answer within 0.3 s"),
    ],
)
def test_a_check_is_a_process_of_its_own(code, timeout, level, what):
    outcome = run_check(Check("thing", ("-c", code), "", "mend it", timeout=timeout))
    assert outcome.finding == Finding(level, what, None if level == "ok" else "mend it")
    assert outcome.seconds > 0


def test_a_check_that_prints_nothing_says_what_it_promised():
    assert (
        run_check(Check("thing", ("-c", ""), "it is there", "")).finding.what
        == "thing: it is there"
    )


def test_torch_and_nf4_are_really_tried(monkeypatch):
    import torch

    assert "right to" in try_torch("cpu")
    assert "as it should" in try_nf4("cpu")
    right = torch.Tensor.__matmul__
    with monkeypatch.context() as patch:
        patch.setattr(
            torch.Tensor, "__matmul__", lambda a, b: right(a, b) * (1 + (a.dtype == torch.float32))
        )
        with pytest.raises(ArithmeticError, match=r"100\.0 % off"):
            try_torch("cpu")
    import bitsandbytes.functional as bnb

    back = bnb.dequantize_4bit
    for scale in (1.2, float("nan")):
        monkeypatch.setattr(bnb, "dequantize_4bit", lambda q, s, scale=scale: back(q, s) * scale)
        with pytest.raises(ArithmeticError, match="and not about 9 %"):
            try_nf4("cpu")


def test_the_modules_own_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "minirl.models.checks", "torch", "cpu"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("a product of matrices is right to")


# This machine -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_doctor_on_this_machine(tmp_path: Path):
    def run(*words: str) -> str:
        command = [sys.executable, "-m", "minirl", "doctor", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        return done.stdout

    record = json.loads(run("quickstart", "--json"))
    assert record["ready"] is True
    assert record["recipe"] == "quickstart"
    assert [c["level"] for c in record["checks"]] == ["ok"] * len(record["checks"])
    assert {"training"} < {c["name"] for c in record["checks"]}
    text = run("quickstart", "--quick")
    assert "What runs quickstart" in text
    assert f"backend               {record['choice']['backend']}" in text
    assert list(tmp_path.iterdir()) == []  # it only looks
