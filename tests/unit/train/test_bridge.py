"""What TRL is handed: groups with signal, aligned lists, and metrics of the untouched draw."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from minirl.config import Recipe
from minirl.envs.base import EnvConfig, Environment
from minirl.rollout import ScriptedPolicy
from minirl.rundir import RunDir, read_jsonl
from minirl.train.bridge import RolloutBridge, reward_function
from minirl.train.stream import TaskStream
from minirl.types import Message, Score, Split, Task

G = 4


class Parity(Environment[EnvConfig]):
    """A gold answer scores by its task: even tasks are always solved, odd ones half the time."""

    name: ClassVar[str] = "parity"

    def __init__(self) -> None:
        super().__init__(EnvConfig())
        self.calls = 0

    def task(self, split: Split, index: int) -> Task:
        return Task("parity", split, index, (Message("user", str(index)),))

    def gold(self, task: Task) -> str:
        return "x" * (1 + task.index % 3)

    def decoys(self, task: Task) -> list[str]:
        return ["n"]

    def score(self, task: Task, text: str) -> Score:
        self.calls += 1
        solved = task.index % 2 == 0 or self.calls % 2 == 0
        return Score(float(solved), solved, {"even": float(task.index % 2 == 0)})

    def size(self, split: Split) -> int:
        return 1000


def _bridge(tmp_path: Path, rounds: int, **train: Any) -> RolloutBridge:
    env = Parity()
    recipe = Recipe.model_validate(
        {
            "env": {"name": "parity"},
            "train": {"group_size": G, "prompts_per_step": 6, **train},
            "stream": {"resample_rounds": rounds},
        }
    )
    stream = TaskStream(env, recipe.stream, seed=0)
    return RolloutBridge(ScriptedPolicy(env, "gold"), env, stream, recipe, RunDir(tmp_path))


def test_groups_without_signal_are_replaced_within_the_bound(tmp_path: Path) -> None:
    plain = _bridge(tmp_path / "a", 0).play_step(1, 6)
    assert {id(g) for g in plain.trained} == {id(g) for g in plain.played}
    idle = sum(not g.has_signal for g in plain.trained)
    assert 0 < idle < 6
    once = _bridge(tmp_path / "b", 1).play_step(1, 6)
    assert len(once.played) == 6 + idle  # one round draws as many as were missing
    many = _bridge(tmp_path / "c", 30).play_step(1, 6)
    assert all(g.has_signal for g in many.trained)
    assert len(many.trained) == 6
    assert many.played[:6] != many.trained


def test_metrics_describe_the_draw_before_replacement(tmp_path: Path) -> None:
    few, many = (_bridge(tmp_path / str(r), r).play_step(1, 6) for r in (0, 30))
    a, b = few.metrics(), many.metrics()
    assert b["rollouts"] > a["rollouts"] == 24
    for key in ("solved", "solved_n", "signal", "parts/even"):
        assert a[key] == b[key]
    assert a["signal"] == sum(g.has_signal for g in few.trained) / 6


def test_trl_gets_aligned_lists_group_by_group(tmp_path: Path) -> None:
    bridge = _bridge(tmp_path, 2)
    out = bridge(["-"] * 24, SimpleNamespace(state=SimpleNamespace(global_step=4)))
    assert {len(v) for v in out.values()} == {24}
    rollouts = [r for g in bridge.last.trained for r in g.rollouts]
    for i, r in enumerate(rollouts):
        assert out["prompt_ids"][i] == list(r.prompt_ids)
        assert out["completion_ids"][i] == list(r.completion_ids)
        assert out["env_mask"][i] == [1] * len(r.completion_ids)
        assert out["score_value"][i] == r.score.value
    assert all(len({tuple(p) for p in out["prompt_ids"][k : k + G]}) == 1 for k in range(0, 24, G))


def test_every_played_rollout_is_logged_with_its_step(tmp_path: Path) -> None:
    bridge = _bridge(tmp_path, 30)
    bridge(["-"] * 24, SimpleNamespace(state=SimpleNamespace(global_step=4)))
    lines = read_jsonl(bridge._run.rollouts)
    assert len(lines) == sum(len(g.rollouts) for g in bridge.last.played)
    assert {line["step"] for line in lines} == {5}
    assert sum(line["trained"] for line in lines) == 24


def test_the_reward_function_hands_scores_through_and_logs_the_metrics(tmp_path: Path) -> None:
    bridge = _bridge(tmp_path, 0)
    bridge.last = bridge.play_step(1, 6)
    logged: dict[str, Any] = {}
    reward = reward_function("parity", bridge)
    assert reward.__name__ == "parity"
    assert reward(score_value=[0.5, 1.0], log_metric=logged.__setitem__, prompts=[]) == [0.5, 1.0]
    assert logged == pytest.approx(bridge.last.metrics())


def test_coin_flips_replace_the_rewards_and_nothing_else(tmp_path: Path) -> None:
    plain = _bridge(tmp_path / "a", 0).play_step(3, 6)
    flipped = _bridge(tmp_path / "b", 0, rewards="coin").play_step(3, 6)
    again = _bridge(tmp_path / "c", 0, rewards="coin").play_step(3, 6)
    other = _bridge(tmp_path / "d", 0, rewards="coin").play_step(4, 6)
    assert [g.values for g in flipped.played] == [g.values for g in again.played]
    assert [g.values for g in flipped.played] != [g.values for g in other.played]
    assert [g.solved for g in flipped.played] == [g.solved for g in plain.played]
    assert flipped.metrics()["solved"] == plain.metrics()["solved"]


def test_coin_flips_are_fair_and_blind(tmp_path: Path) -> None:
    steps = [_bridge(tmp_path, 0, rewards="coin").play_step(s, 6) for s in range(200)]
    scores = [r.score for s in steps for g in s.played for r in g.rollouts]
    won = [s.value for s in scores]
    assert set(won) == {0.0, 1.0}
    n = len(won)
    assert abs(sum(won) / n - 0.5) < 3 * 0.5 / n**0.5
    agree = sum(s.value == s.solved for s in scores) / n
    assert abs(agree - 0.5) < 3 * 0.5 / n**0.5
