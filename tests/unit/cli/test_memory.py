"""Memory that does not suffice: said beforehand, told with advice, and lowered on request."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from minirl.rundir import read_jsonl

SMALL = {
    "train.steps": 3,
    "train.prompts_per_step": 2,
    "train.group_size": 4,
    "train.save_every": 1,
    "stream.resample_rounds": 0,
    "eval.tasks": 4,
}
SETTINGS = [w for k, v in SMALL.items() for w in ("--set", f"{k}={v}")]


@pytest.fixture
def small_card(monkeypatch: pytest.MonkeyPatch, tiny_cache: Path) -> list[int]:
    """Training runs out of memory from the second step on while more than 256 tokens may be
    computed at once; holds the sizes that were tried.
    """
    from minirl.train.trainer import SharedPrefixTrainer

    real, tried = SharedPrefixTrainer.training_step, []

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        tried.append(self._token_budget)
        if self.state.global_step >= 1 and tried[-1] > 256:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(SharedPrefixTrainer, "training_step", step)
    return tried


def test_running_out_is_told_with_what_to_lower(minirl, small_card):
    ended = minirl("train", "tiny", *SETTINGS)
    assert ended.code == 1
    assert "memory ran out" in ended.err
    assert "Tried to allocate 2.00 GiB" in ended.err
    assert "--set train.token_budget=1024, or --auto-fit" in ended.err
    assert "Traceback" not in ended.err


def test_auto_fit_goes_on_with_less_from_the_last_checkpoint(minirl, small_card, tmp_path):
    ended = minirl("run", "tiny", *SETTINGS, "--auto-fit", "--no-probe", "--json")
    assert ended.code == 0, ended.err
    assert "going on with train.token_budget = 1024" in ended.err
    assert "going on with train.token_budget = 256" in ended.err
    assert set(small_card) == {2048, 1024, 512, 256}
    run = tmp_path / "runs/tiny"
    metrics = read_jsonl(run / "train/metrics.jsonl")
    assert [m["step"] for m in metrics] == [1, 2, 3]
    environment = json.loads((run / "environment.json").read_text())
    assert environment["settled"] == {"train.token_budget": 256}
    assert environment["peak_memory"] > 1e8
    assert json.loads((run / "config.json").read_text())["train"]["token_budget"] is None


def test_a_lowered_run_is_the_run_that_asked_for_less(minirl, small_card, tmp_path):
    minirl("train", "tiny", *SETTINGS, "--auto-fit")
    minirl("train", "tiny", *SETTINGS, "--set", "train.token_budget=256", "--name", "asked")
    rewards = [
        [m["reward"] for m in read_jsonl(tmp_path / f"runs/{name}/train/metrics.jsonl")]
        for name in ("tiny", "asked")
    ]
    assert rewards[0] == rewards[1]


def test_a_resumed_run_keeps_what_was_settled(minirl, small_card, tmp_path, monkeypatch):
    small_card.clear()
    assert minirl("train", "tiny", *SETTINGS, "--set", "train.steps=1").code == 0
    environment = tmp_path / "runs/tiny/environment.json"
    record = json.loads(environment.read_text())
    record["settled"] = {"train.token_budget": 100}
    environment.write_text(json.dumps(record))
    (tmp_path / "runs/tiny/adapter/adapter_config.json").unlink()
    (tmp_path / "runs/tiny/adapter").rename(tmp_path / "old")
    shutil.rmtree(tmp_path / "runs/tiny/train/checkpoints")  # so that the step is trained again
    small_card.clear()
    ended = minirl("train", "tiny", *SETTINGS, "--set", "train.steps=1", "--resume")
    assert ended.code == 0, ended.err
    assert json.loads(environment.read_text())["settled"]["train.token_budget"] == 100
    assert set(small_card) == {100}


def test_what_will_not_fit_is_said_before_anything_is_loaded(minirl, tiny_cache, monkeypatch):
    monkeypatch.setattr("minirl.models.machine.available_memory", lambda: 700_000_000)
    loaded = []
    monkeypatch.setattr("minirl.models.load.load_model", lambda *a, **k: loaded.append(1) or 1 / 0)
    ended = minirl("train", "tiny", "--set", "train.group_size=64", *SETTINGS[:2])
    assert "will probably run out of memory" in ended.err
    assert ended.err.index("run out of memory") < ended.err.index("ZeroDivisionError")


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_running_out(error, ran_out):
    from minirl.models import memory

    assert memory.ran_out(error) is ran_out
