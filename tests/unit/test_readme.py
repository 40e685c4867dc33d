"""The README's example environment works as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minirl.envs import make_env
from minirl.rollout import ScriptedPolicy, play

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def example(tmp_path: Path) -> str:
    block = re.search(r"```python\n# (\w+\.py)\n(.*?)```", README.read_text(), re.DOTALL)
    assert block
    path = tmp_path / block[1]
    path.write_text(block[2])
    return f"{path}:Reverse"


def test_the_example_environment_pays_gold_and_not_cheats(example: str) -> None:
    env = make_env(example)
    tasks = [env.task(split, i) for split in ("train", "test") for i in range(100)]
    for script, want in (("gold", 1.0), ("cheater", 0.0)):
        groups = play(ScriptedPolicy(env, script), env, tasks, 6, max_tokens=10_000, seed=0)  # type: ignore[arg-type]
        assert {r.score.value for g in groups for r in g.rollouts} == {want}


def test_its_tasks_are_distinct_and_its_splits_disjoint(example: str) -> None:
    env = make_env(example)
    size = env.size("test")
    strings = {
        s: [env.task(s, i).data["answer"] for i in range(min(size or 500, 500))]
        for s in ("train", "test")
    }
    assert all(len(set(found)) == len(found) for found in strings.values())
    assert not set(strings["train"]) & set(strings["test"])
