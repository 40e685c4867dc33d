"""Every task of reasoning-gym: the adapter's scores are those of reasoning-gym by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.reasoning_gym_parity import (
    BLANKS,
    LATE,
    NO_SLOT,
    NO_TASK,
    RAISED,
    SCREENED,
    Oracle,
    compare,
)
from minirl.envs.adapters.reasoning_gym import env as env_module
from minirl.envs.adapters.reasoning_gym import list_tasks
from minirl.envs.adapters.reasoning_gym.env import ReasoningGym
from minirl.types import Score, Task

pytest.importorskip("reasoning_gym")
WITHOUT_ANSWER = {"boxnet", "rush_hour"}
WITHOUT_TASK = {"game_of_life_halting"}


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    process = Oracle()
    yield process
    process.close()


@pytest.mark.slow
def test_every_task_pays_what_reasoning_gym_pays(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env_module, "LOOKED_AT", 1)  # some draw for seconds, and one entry will do
    found = {name: compare(name, oracle, entries=1, fewest=1) for name in list_tasks()}
    assert {name: p.differs for name, p in found.items() if p.differs} == {}
    assert len(found) == 105
    assert {name for name, p in found.items() if p.answers < 20} == WITHOUT_TASK
    assert {name for name, p in found.items() if not p.full} == WITHOUT_TASK | WITHOUT_ANSWER
    assert sum(p.answers for p in found.values()) >= 2000
    assert sum(p.full for p in found.values()) >= 400
    assert sum(p.crumbs for p in found.values()) >= 200
    rules = {rule for p in found.values() for rule in p.excused}
    known = (BLANKS, LATE, NO_SLOT, NO_TASK, RAISED, SCREENED)
    assert all(rule.startswith(known) for rule in rules)
    assert {name for name, p in found.items() if NO_TASK in p.excused} == WITHOUT_TASK


def test_a_score_that_is_not_theirs_is_found(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compare("gcd", oracle, entries=2).differs == []
    true_score = ReasoningGym.score

    def kind(env: ReasoningGym, task: Task, text: str) -> Score:
        if text.endswith("no"):
            return Score(1.0, True, {"reasoning_gym": 1.0})
        return true_score(env, task, text)

    monkeypatch.setattr(ReasoningGym, "score", kind)
    differs = compare("gcd", oracle, entries=2).differs
    assert len(differs) == 2
    assert all("'no'" in told for told in differs)
