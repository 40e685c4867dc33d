"""The contract that every built-in environment keeps at every level."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from minirl.envs import Environment, list_envs, make_env
from minirl.errors import ConfigError
from minirl.rewards import strict_answer
from minirl.types import SPLITS, Split, Task, json_line

BUILT_IN = [info for info in list_envs() if info.source == "built-in"]
SPECS = [f"{info.name}:{level}" for info in BUILT_IN for level in info.levels]
SPECS += [info.name for info in BUILT_IN]
TASKS = 200

HOSTILE = ("\x00", "Answer: " + "9" * 100_000, "(" * 100_000, "Answer: \ud800", "\u202e", "Answer:")


@pytest.fixture(scope="module", autouse=True)
def _no_hub() -> Iterator[None]:
    """gsm8k then holds the same problems on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module", params=SPECS)
def env(request: pytest.FixtureRequest) -> Environment:
    return make_env(request.param)


def some(env: Environment, split: Split, n: int = TASKS) -> list[Task]:
    size = env.size(split)
    return [env.task(split, i) for i in range(n if size is None else min(n, size))]


def fingerprint(spec: str) -> str:
    env = make_env(spec)
    tasks = [env.task(split, i) for split in SPLITS for i in (7, 0, 3)]
    tasks.append(env.task("train", 1030))
    lines = [json_line([t.id, [m.as_dict() for m in t.prompt], dict(t.data)]) for t in tasks]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("split", SPLITS)
def test_gold_is_solved(env: Environment, split: Split) -> None:
    for task in some(env, split):
        score = env.score(task, env.gold(task))
        assert (score.value, score.solved) == (1.0, True), (task.id, env.gold(task), score)
        assert score.parts == {"strict": 1.0, "format": 1.0, "lenient": 1.0}


@pytest.mark.parametrize("split", SPLITS)
def test_decoys_score_zero(env: Environment, split: Split) -> None:
    for task in some(env, split):
        decoys = env.decoys(task)
        assert len(set(decoys)) >= 15
        for text in decoys:
            score = env.score(task, text)
            assert (score.value, score.solved) == (0.0, False), (task.id, text, score)


def test_the_gold_of_another_task_scores_zero_almost_always(env: Environment) -> None:
    tasks = some(env, "train")
    pairs = zip(tasks, [*tasks[1:], tasks[0]], strict=True)
    solved = sum(env.score(task, env.gold(other)).solved for task, other in pairs)
    assert solved <= 0.15 * len(tasks)


def test_the_best_constant_answer_stays_near_the_floor(env: Environment) -> None:
    tasks = some(env, "train")
    answers = {strict_answer(env.gold(task)) for task in tasks[:60]}
    best = max(sum(env.score(t, f"Answer: {a}").solved for t in tasks) for a in answers)
    assert best <= 0.2 * len(tasks)


def test_tasks_are_distinct_and_splits_are_disjoint_by_content(env: Environment) -> None:
    train, test = some(env, "train", 600), some(env, "test", 600)
    for content in (lambda t: t.prompt[-1].content, lambda t: t.data["key"]):
        ours, theirs = [content(t) for t in train], [content(t) for t in test]
        assert len(set(ours)) == len(ours)
        assert len(set(theirs)) == len(theirs)
        assert not set(ours) & set(theirs)


def test_splits_are_disjoint_across_the_levels_of_an_environment() -> None:
    for info in BUILT_IN:
        envs = [make_env(f"{info.name}:{level}") for level in info.levels]
        train, test = (
            {t.data["key"] for env in envs for t in some(env, split, 400)} for split in SPLITS
        )
        assert not train & test


def test_about_a_third_is_held_out(env: Environment) -> None:
    train, test = env.size("train"), env.size("test")
    if train is not None and test is not None:
        assert 0.2 < test / (train + test) < 0.4


def test_past_the_end_train_starts_again_and_test_is_an_error(env: Environment) -> None:
    train, test = env.size("train"), env.size("test")
    if train is not None:
        assert env.task("train", train).prompt == env.task("train", 0).prompt
    if test is not None:
        with pytest.raises(ConfigError, match=f"only {test} different"):
            env.task("test", test)
    with pytest.raises(ConfigError, match="start at 0"):
        env.task("train", -1)


def test_the_prompt_holds_no_right_answer_in_the_slot(env: Environment) -> None:
    for task in some(env, "test"):
        for message in task.prompt:
            assert env.score(task, message.content).value == 0.0
            for line in message.content.splitlines():
                assert env.score(task, line).value == 0.0
        shown = "\n".join(message.content for message in task.prompt).splitlines()
        assert env.gold(task).splitlines()[-1] not in shown


def test_the_prompt_has_a_rule_one_example_and_the_question(env: Environment) -> None:
    task = env.task("train", 0)
    assert [m.role for m in task.prompt] == ["system", "user", "assistant", "user"]
    assert strict_answer(task.prompt[2].content) is not None


def test_tasks_stay_the_same_without_the_worked_example(env: Environment) -> None:
    bare = make_env(env.label, {"worked_example": False})
    for with_it, without in zip(some(env, "test", 20), some(bare, "test", 20), strict=True):
        assert [m.role for m in without.prompt] == ["system", "user"]
        assert without.prompt[-1] == with_it.prompt[-1]
        assert without.data == with_it.data


def test_task_order_of_asking_does_not_matter(env: Environment) -> None:
    again = make_env(env.label)
    last_first = [again.task("train", i) for i in (1500, 9, 4, 0)]
    assert last_first[::-1] == [env.task("train", i) for i in (0, 4, 9, 1500)]


def test_hostile_text_scores_zero(env: Environment) -> None:
    task = env.task("train", 0)
    for text in HOSTILE:
        assert env.score(task, text).value == 0.0


def test_an_episode_is_one_step(env: Environment) -> None:
    task = env.task("train", 0)
    episode = env.episode(task)
    assert (episode.messages, episode.tools) == (task.prompt, ())
    assert env.score_many([(task, env.gold(task)), (task, "")])[0].solved


def test_every_environment_has_a_documented_config() -> None:
    for info in BUILT_IN:
        cls = type(make_env(info.name))
        undocumented = [n for n, f in cls.Config.model_fields.items() if not f.description]
        assert not undocumented
        assert info.doc


def test_tasks_are_the_same_in_another_process() -> None:
    program = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('contract', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['contract'] = module\n"
        "spec.loader.exec_module(module)\n"
        "for s in sys.argv[1:]:\n"
        "    print(module.fingerprint(s))\n"
        "assert 'torch' not in sys.modules\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, *SPECS],
        capture_output=True,
        text=True,
        check=True,
        env={
            "PYTHONHASHSEED": "12345",
            "PYTHONPATH": ":".join(p for p in sys.path if p),
            "HF_HUB_OFFLINE": "1",
        },
    )
    assert run.stdout.split() == [fingerprint(spec) for spec in SPECS]
