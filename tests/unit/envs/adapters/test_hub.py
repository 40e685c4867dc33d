"""``hf:``: a local folder that ``datasets`` reads, and a hub that is out of reach."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from minirl.envs import make_env
from minirl.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    place = tmp_path / "sums"
    place.mkdir()
    for split, numbers in (("train", range(60)), ("test", range(55, 70))):
        rows = [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in numbers]
        (place / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return place


def test_a_folder_with_its_own_test_split(folder: Path) -> None:
    env = make_env(f"hf:{folder}", {"reward": "number"})
    assert (env.size("train"), env.size("test")) == (55, 15)  # five train rows are test rows too
    task = env.task("test", 0)
    assert (task.prompt[-1].content, env.label) == ("55 + 1?", "hf:sums")
    assert env.score(task, "Answer: 56").solved
    assert "test, row 0" in task.data["where"]


def test_splits_by_name_or_by_content(folder: Path) -> None:
    alone = make_env(f"hf:{folder}", {"train_split": "test", "test_split": "train"})
    assert (alone.size("train"), alone.size("test")) == (10, 60)
    with pytest.raises(ConfigError, match="no split 'dev'") as caught:
        make_env(f"hf:{folder}", {"test_split": "dev"})
    assert "one of train, test" in str(caught.value)
    (folder / "test.jsonl").unlink()
    content = make_env(f"hf:{folder}")
    assert (content.size("train") or 0) + (content.size("test") or 0) == 60
    assert 5 < (content.size("test") or 0) < 35


def test_parquet_and_a_broken_row(folder: Path) -> None:
    import datasets

    rows = {"question": ["a?", "b?"], "answer": ["1", ""]}
    for file in folder.glob("*.jsonl"):
        file.unlink()
    datasets.Dataset.from_dict(rows).to_parquet(folder / "train.parquet")
    with pytest.raises(ConfigError, match="train, row 1: column 'answer'"):
        make_env(f"hf:{folder}")


def test_a_hub_out_of_reach_is_told_at_once(folder: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set, and it is not in the cache"):
        make_env("hf:nobody/nothing")
    assert time.monotonic() - start < 30.0
