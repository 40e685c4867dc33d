"""Base against tuned: the statistics by hand, and the whole step on the tiny model."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from minirl.config import Recipe, parse_recipe
from minirl.envs import make_env
from minirl.errors import ConfigError
from minirl.measure.evaluate import SAMPLING_SEED, compare, evaluate, play_in_parts, summarise
from minirl.measure.tasks import held_out
from minirl.models.load import load_model
from minirl.models.tiny import OPTIONS
from minirl.rollout import ScriptedPolicy
from minirl.rundir import RunDir, read_jsonl
from minirl.types import Group, Rollout, Score, StopReason, Task

pytestmark = pytest.mark.usefixtures("tiny_cache")


def recipe_of(**sections: Any) -> Recipe:
    raw = {
        "env": {"name": "arithmetic", "options": OPTIONS},
        "model": {"name": "tiny", "precision": "fp32", "lora_r": 4},
        "sampling": {"max_tokens": 16, "batch": 32},
        **sections,
    }
    return parse_recipe(raw, source="test")


def rollout(task: Task, solved: bool, tokens: int = 2, **options: Any) -> Rollout:
    made = Rollout(
        task,
        (1,),
        (5,) * tokens,
        (True,) * tokens,
        (-0.5,) * tokens,
        (),
        StopReason.EOS,
        Score(float(solved), solved),
    )
    return replace(made, **options)


def groups_of(*solved: list[int]) -> list[Group]:
    tasks = [Task("hand", "test", i, ()) for i in range(len(solved))]
    return [
        Group(t, tuple(rollout(t, bool(s)) for s in row))
        for t, row in zip(tasks, solved, strict=True)
    ]


# compare -------------------------------------------------------------------------------------


def test_one_sample_a_task_by_hand():
    """Tasks 0 to 9: both solve 0 and 1, tuned gains 2 to 6, base alone solves 7, none 8 and 9."""
    base = groups_of(*([int(i in (0, 1, 7))] for i in range(10)))
    tuned = groups_of(*([int(i < 7)] for i in range(10)))
    result = compare("hand", recipe_of(), base, tuned)
    assert (result.gained, result.lost) == (5, 1)
    assert result.mcnemar_p == pytest.approx(2 * (1 + 6) / 2**6)  # 2 P[Bin(6, 1/2) <= 1]
    assert result.base.solved.value == pytest.approx(0.3)
    assert result.tuned.solved.value == pytest.approx(0.7)
    assert result.difference.value == pytest.approx(0.4)
    assert result.difference.low < 0.4 < result.difference.high
    assert (result.base.solved.n, result.base.solved.tasks, result.difference.tasks) == (10, 10, 10)
    # Wilson's interval for 3 of 10.
    assert result.base.solved.low == pytest.approx(0.1078, abs=1e-4)
    assert result.base.solved.high == pytest.approx(0.6032, abs=1e-4)


def test_several_samples_a_task_have_no_gained_and_lost():
    recipe = recipe_of(eval={"samples": 2})
    result = compare("hand", recipe, groups_of([1, 0], [0, 0]), groups_of([1, 1], [1, 0]))
    assert (result.gained, result.lost, result.mcnemar_p) == (None, None, None)
    assert (result.base.solved.value, result.tuned.solved.value) == (0.25, 0.75)
    assert (result.base.solved.n, result.base.solved.tasks) == (4, 2)
    assert result.difference.value == pytest.approx(0.5)


def test_equal_groups_differ_by_nothing():
    groups = groups_of([1], [0], [1], [0])
    result = compare("hand", recipe_of(), groups, groups)
    assert (result.gained, result.lost, result.mcnemar_p) == (0, 0, 1.0)
    assert result.difference.value == 0
    assert result.base == result.tuned


def test_pairs_are_of_the_same_task():
    groups = groups_of([1], [0], [1])
    for wrong in (groups[::-1], groups[:2], []):
        with pytest.raises(ValueError, match="same tasks"):
            compare("hand", recipe_of(), groups, wrong)


def test_summary_by_hand():
    task = Task("hand", "test", 0, ())
    cut = {"stop": StopReason.LENGTH}
    rollouts = (
        rollout(task, True, 4, score=Score(1.0, True, {"lenient": 1.0})),
        rollout(task, False, 2, score=Score(0.0, False, {"lenient": 1.0}), **cut),
        rollout(task, False, 3, score=Score(0.0, False, {"lenient": 0.0}), **cut),
        rollout(task, False, 3, score=Score(0.0, False, {"lenient": 0.0})),
    )
    result = summarise([Group(task, rollouts)])
    assert (result.solved.value, result.truncated, result.mean_tokens) == (0.25, 0.5, 3.0)
    assert result.lenient is not None
    assert result.lenient.value == 0.5
    masked = rollout(task, True, 3, loss_mask=(True, False, True))
    without = summarise([Group(task, (*rollouts, masked))])
    assert without.lenient is None  # not every rollout reports it
    assert without.mean_tokens == 14 / 5  # what the environment wrote does not count


# The tasks -----------------------------------------------------------------------------------


def test_held_out_tasks_are_the_first_of_the_test_split():
    env = make_env("arithmetic:2")
    tasks = held_out(env, 5)
    assert [(t.split, t.index) for t in tasks] == [("test", i) for i in range(5)]
    assert tasks == [env.task("test", i) for i in range(5)]


def test_more_tasks_than_the_split_has_are_refused():
    env = make_env("arithmetic:1")
    size = env.size("test")
    assert size is not None
    assert len({t.id for t in held_out(env, size)}) == size
    with pytest.raises(ConfigError, match=f"has {size} held-out tasks") as caught:
        held_out(env, size + 1)
    assert f"--set eval.tasks={size}" in str(caught.value)


@pytest.mark.parametrize("samples", [1, 3, 40])
def test_parts_are_whole_and_their_seeds_differ(samples):
    recipe = recipe_of(
        eval={"tasks": 7, "samples": samples}, sampling={"batch": 8, "max_tokens": 200}
    )
    env = make_env("arithmetic", OPTIONS)
    tasks = held_out(env, 7)
    policy = ScriptedPolicy(env, "gold")
    seeds, progress = [], []
    plain = policy.sample
    policy.sample = lambda requests, seed: seeds.append(seed) or plain(requests, seed=seed)
    groups = play_in_parts(policy, env, tasks, recipe, "base", lambda *p: progress.append(p))
    assert [g.task for g in groups] == tasks
    assert all(len(g.rollouts) == samples for g in groups)
    assert len(set(seeds)) == len(seeds) == len(progress) == -(-7 // max(1, 8 // samples))
    assert min(seeds) >= SAMPLING_SEED
    assert progress[-1] == ("base", 7 * samples, 7 * samples)


# The whole step ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded():
    return load_model(recipe_of().model, seed=0)


def run_evaluation(tmp_path, loaded, **options):
    recipe = recipe_of(eval={"tasks": 24, **options})
    run = RunDir.create(tmp_path / "run", recipe_toml="", config={}, force=False)
    env = make_env(recipe.env.name, recipe.env.options)
    progress = []
    result = evaluate(recipe, loaded, env, run, on_progress=lambda *p: progress.append(p))
    return result, run, progress


def test_a_new_adapter_equals_the_base(tmp_path, loaded):
    result, run, _ = run_evaluation(tmp_path, loaded)
    assert result.base == result.tuned
    assert (result.gained, result.lost, result.difference.value) == (0, 0, 0.0)
    assert 0 < result.base.solved.value < 1
    lines = read_jsonl(run.samples)
    for base, tuned in zip(lines[:24], lines[24:], strict=True):
        assert {**base, "policy": None} == {**tuned, "policy": None}


def test_a_random_adapter_differs_and_the_base_does_not_move(tmp_path, loaded):
    before, *_ = run_evaluation(tmp_path / "a", loaded)
    kept = {n: p.detach().clone() for n, p in loaded.model.named_parameters()}
    generator = torch.Generator().manual_seed(1)
    for name, parameter in loaded.model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    try:
        result, run, progress = run_evaluation(tmp_path / "b", loaded)
    finally:
        loaded.model.load_state_dict(kept, strict=False)
    assert result.base == before.base
    assert result.tuned.solved.value < result.base.solved.value
    assert result.difference.value == pytest.approx(
        result.tuned.solved.value - result.base.solved.value
    )

    written = json.loads(run.eval.read_text())
    assert written == json.loads(json.dumps(result.as_record()))
    assert (written["env"], written["temperature"]) == ("arithmetic", 1.0)
    assert written["base"]["solved"]["n"] == 24
    assert written["base"]["lenient"] is not None
    assert written["lost"] - written["gained"] == round(-24 * written["difference"]["value"])

    lines = read_jsonl(run.samples)
    assert [line["policy"] for line in lines] == ["base"] * 24 + ["tuned"] * 24
    for name in ("base", "tuned"):
        mine = [line for line in lines if line["policy"] == name]
        assert [m["task"] for m in mine] == [f"arithmetic/test/{i}" for i in range(24)]
        assert sum(m["solved"] for m in mine) == 24 * written[name]["solved"]["value"]
        assert sum(m["tokens"] for m in mine) == 24 * written[name]["mean_tokens"]
        for m in mine:
            assert len(m["completion_ids"]) == len(m["loss_mask"]) == len(m["logprobs"])
            assert m["prompt"][-1]["role"] == "user"
    assert [p[0] for p in progress] == ["base", "tuned"]
    assert progress[-1][1:] == (24, 24)


def test_greedy_samples_of_a_task_are_alike(tmp_path, loaded):
    _, run, _ = run_evaluation(tmp_path, loaded, temperature=0.0, samples=2, tasks=6)
    lines = read_jsonl(run.samples)
    assert len(lines) == 24
    for one, two in zip(lines[::2], lines[1::2], strict=True):
        assert one["completion_ids"] == two["completion_ids"]
