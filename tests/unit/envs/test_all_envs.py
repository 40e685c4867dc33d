"""The contract that every built-in environment keeps at every level: the audit, on few tasks.

`minirl envs check NAME` does the same on 1,000 tasks a level.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minirl.envs import Environment, list_envs, make_env
from minirl.envs.audit import AuditSettings, Subject
from minirl.envs.audit.checks import NAMES, run_checks
from minirl.envs.audit.elsewhere import elsewhere
from minirl.envs.audit.levels import across_levels
from minirl.envs.base import as_turns
from minirl.errors import ConfigError
from minirl.rewards import strict_answer
from minirl.types import SPLITS

BUILT_IN = [info for info in list_envs() if info.source == "built-in"]
SPECS = [f"{info.name}:{level}" for info in BUILT_IN for level in info.levels]
EASIEST = [f"{info.name}:{info.levels[0]}" if info.levels else info.name for info in BUILT_IN]
HARDEST = [f"{info.name}:{info.levels[-1]}" if info.levels else info.name for info in BUILT_IN]
TASKS = 8  # of each split
# At every level; the rest (hostile text, threads, guesses, …) at the hardest one.
EVERYWHERE = ("contract", "gold", "alternatives", "decoys", "shifted", "distinct", "disjoint")
SETTINGS = AuditSettings(tasks=TASKS, slow_task_s=2.0, slow_score_s=2.0, check_budget_s=1.0)


@pytest.fixture(scope="module", autouse=True)
def _no_hub() -> Iterator[None]:
    """gsm8k then holds the same problems on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


def failures(spec: str, checks: tuple[str, ...]) -> list[str]:
    def make() -> Environment:
        return make_env(spec)

    subject = Subject(make(), make, SETTINGS)
    results = list(run_checks(subject, checks))
    assert next(r.tries for r in results if r.check == "gold") >= 1
    return [f"{r.check}: {r.detail} {r.example}" for r in results if r.failed]


@pytest.mark.parametrize("spec", HARDEST)
def test_the_audit_passes_at_the_hardest_level(spec: str) -> None:
    assert failures(spec, NAMES) == []


@pytest.mark.parametrize("spec", [s for s in SPECS if s not in HARDEST])
def test_right_answers_pass_and_decoys_fail_at_every_level(spec: str) -> None:
    assert failures(spec, EVERYWHERE) == []


def test_tasks_and_scores_are_the_same_in_another_process_and_at_another_date() -> None:
    cheap = [spec for spec in EASIEST if spec != "strategy_2048:1"]  # a score there is a whole game
    found = elsewhere(cheap, {}, tasks=2, timeout_s=600)
    assert set(found) == set(cheap)
    for results in found.values():
        assert [r.example for r in results if r.failed] == []
        assert all(r.tries > 0 for r in results), results


@pytest.mark.parametrize("info", BUILT_IN, ids=lambda info: info.name)
def test_splits_are_disjoint_across_the_levels(info) -> None:
    result = across_levels([make_env(f"{info.name}:{level}") for level in info.levels], 100)
    assert result.example is None


@pytest.mark.parametrize("spec", HARDEST)
def test_what_the_audit_leaves_to_the_house(spec: str) -> None:
    env = make_env(spec)
    task = env.task("train", 0)
    assert "key" in task.data
    assert task.prompt[0].role == "system"
    assert len(set(map(as_turns, env.decoys(task)))) >= 3
    with pytest.raises(ConfigError):
        env.task("train", -1)
    sizes = [env.size(split) for split in SPLITS]
    if None not in sizes:
        assert 0.2 < sizes[1] / sum(sizes) < 0.4  # type: ignore[operator, arg-type]


@pytest.mark.parametrize("spec", HARDEST)
def test_tasks_stay_the_same_without_the_worked_example(spec: str) -> None:
    env = make_env(spec)
    if "worked_example" not in env.Config.model_fields:
        pytest.skip("it has no worked example")
    bare = make_env(env.label, {"worked_example": False})
    for index in range(5):
        shown, plain = env.task("test", index), bare.task("test", index)
        assert len(plain.prompt) < len(shown.prompt)
        assert plain.prompt[-1] == shown.prompt[-1]
        assert plain.data == shown.data


@pytest.mark.parametrize("spec", HARDEST)
def test_single_turn_gold_is_in_the_slot_and_scored_in_bulk(spec: str) -> None:
    env = make_env(spec)
    task = env.task("train", 0)
    gold = env.gold(task)
    if env.max_turns > 1 or not isinstance(gold, str):
        pytest.skip("an episode of several turns")
    scores = env.score_many([(task, gold), (task, "")])
    assert [(s.value, s.solved) for s in scores] == [(1.0, True), (0.0, False)]
    if strict_answer(gold) is not None:
        assert scores[0].parts == {"strict": 1.0, "format": 1.0, "lenient": 1.0}
