"""The whole proof on the tiny model: what it writes, and that it goes on where it stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from minirl.config import Recipe, parse_recipe
from minirl.envs import make_env
from minirl.errors import ConfigError, RunDirError
from minirl.measure.prove.adapters import fingerprint
from minirl.measure.prove.prove import prove
from minirl.models.tiny import OPTIONS
from minirl.rundir import RunDir, read_json, read_jsonl

TASKS, SAMPLES = 6, 8


def recipe_of(**prove_section: Any) -> Recipe:
    section = {"tasks": TASKS, "samples": SAMPLES, "checkpoint_samples": 4, "regression_tasks": 3}
    raw = {
        "env": {"name": "arithmetic", "options": OPTIONS},
        "model": {"name": "tiny", "precision": "fp32", "lora_r": 4},
        "sampling": {"max_tokens": 14, "batch": 32},
        "train": {"steps": 9},
        "prove": {**section, "regression_samples": 2, **prove_section},
    }
    return parse_recipe(raw, source="test")


def save(loaded: Any, folder: Path) -> None:
    loaded.model.save_pretrained(folder, selected_adapters=["default"])


@pytest.fixture
def run(tiny: Any, tmp_path: Path) -> RunDir:
    """A trained run, as far as a proof looks at it: an adapter and two checkpoints."""
    from proof_models import stir

    run = RunDir.create(tmp_path / "run", recipe_toml="", config={}, force=False)
    save(tiny, run.adapter)
    save(tiny, run.checkpoint(9))
    stir(tiny.model, 0.02, seed=3)
    save(tiny, run.checkpoint(4))
    stir(tiny.model, 0.05)
    return run


@pytest.fixture
def env() -> Any:
    return make_env("arithmetic", OPTIONS)


def without_time(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k != "seconds"}


def test_everything_is_told_and_lies_on_disk(tiny: Any, run: RunDir, env: Any) -> None:
    told: dict[str, tuple[int, int]] = {}
    record = prove(
        recipe_of(), tiny, env, run, on_progress=lambda n, d, t: told.__setitem__(n, (d, t))
    )
    assert without_time(read_json(run.prove)) == json.loads(json.dumps(without_time(record)))
    assert (record["tasks"], record["samples"]) == (TASKS, SAMPLES)
    assert record["adapter"] == fingerprint(run.adapter)
    assert record["pass_at_k"]["k"] == [1, 2, 4, 8]

    for name in ("base", "tuned", "guess"):
        assert told[name] == (TASKS * SAMPLES, TASKS * SAMPLES)
        lines = read_jsonl(run.prove_samples / f"{name}.jsonl")
        assert len(lines) == TASKS * SAMPLES
        solved = sum(line["solved"] for line in lines) / len(lines)
        summary = record["guess"] if name == "guess" else record[name]
        assert summary["solved"]["value"] == pytest.approx(solved)
    by_task = [
        {
            name: any(
                r["solved"] for r in read_jsonl(run.prove_samples / f"{name}.jsonl")[at : at + 8]
            )
            for name in ("base", "tuned")
        }
        for at in range(0, TASKS * SAMPLES, SAMPLES)
    ]
    coverage = record["coverage"]
    assert coverage["both"] == sum(t["base"] and t["tuned"] for t in by_task)
    assert coverage["base_only"] == sum(t["base"] and not t["tuned"] for t in by_task)

    # The start, a checkpoint on the way, and the end; that of the last step is the adapter's own.
    assert [row["step"] for row in record["checkpoints"]] == [0, 4, 9]
    assert not (run.prove_samples / "step-9.jsonl").exists()
    assert {r["env"] for r in record["regressions"]} == {"sort_words:3"}
    assert told["likelihoods"][0] == told["likelihoods"][1]
    assert record["kl"]["tuned_base"]["value"] > 0
    assert record["random_reward"] is None


def test_an_interrupted_proof_goes_on(
    tiny: Any, run: RunDir, env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prove(recipe_of(), tiny, env, run)
    kept = {p.name: p.read_bytes() for p in run.prove_samples.glob("*.jsonl")}
    run.prove.unlink()
    shutil.rmtree(run.prove_samples)

    def stop(name: str, done: int, total: int) -> None:
        if name == "tuned" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove(recipe_of(), tiny, env, run, on_progress=stop)
    assert not run.prove.exists()
    assert (run.prove_samples / "base.jsonl").read_bytes() == kept["base.jsonl"]

    base_played = []
    again = prove(
        recipe_of(),
        tiny,
        env,
        run,
        on_progress=lambda n, d, t: base_played.append(d) if n == "base" else None,
    )
    assert base_played == [TASKS * SAMPLES]  # at hand already, nothing played
    assert without_time(again) == without_time(whole)
    assert {p.name: p.read_bytes() for p in run.prove_samples.glob("*.jsonl")} == kept


def test_samples_of_other_settings_are_not_mixed_in(tiny: Any, run: RunDir, env: Any) -> None:
    small = {"checkpoint_samples": 0, "regression_tasks": 0}
    prove(recipe_of(**small), tiny, env, run)
    with pytest.raises(RunDirError, match=r"temperature: 1\.0 then, 0\.7 now"):
        prove(recipe_of(temperature=0.7, **small), tiny, env, run)
    record = prove(recipe_of(**small), tiny, env, run)
    assert (record["checkpoints"], record["regressions"]) == ([], [])


def test_too_few_held_out_tasks(tiny: Any, run: RunDir, env: Any) -> None:
    with pytest.raises(ConfigError, match=r"prove\.tasks asks for 100000"):
        prove(recipe_of(tasks=100_000), tiny, env, run)
    assert not run.prove_samples.exists()


def test_a_control_is_measured_on_the_same_tasks(
    tiny: Any, run: RunDir, env: Any, tmp_path: Path
) -> None:
    """As its own control, a run differs from the base by what it differs itself, to the sample."""
    other = RunDir.create(tmp_path / "other", recipe_toml="", config={}, force=False)
    shutil.copytree(run.adapter, other.adapter)
    record = prove(recipe_of(regression_tasks=0), tiny, env, run, random_reward=other)
    control = record["random_reward"]
    assert control["samples"] == 4
    assert control["pass_at_k"]["k"] == [1, 2, 4]
    lines = read_jsonl(next(run.prove_samples.glob("random-reward-*.jsonl")))
    assert control["solved"]["value"] == pytest.approx(sum(r["solved"] for r in lines) / len(lines))
