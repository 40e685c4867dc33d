"""Which tasks are drawn: a seed's walk, the curriculum's preference, and exact resumption."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from minirl.config import StreamConfig
from minirl.envs import make_env
from minirl.train.stream import TaskStream
from minirl.types import Group, Rollout, Score, StopReason, Task


def _group(task: Task, solved: int, n: int = 8) -> Group:
    scores = [Score(float(k < solved), k < solved) for k in range(n)]
    return Group(
        task,
        tuple(Rollout(task, (1,), (2,), (True,), (0.0,), (), StopReason.EOS, s) for s in scores),
    )


def _indices(stream: TaskStream, steps: range, n: int = 4) -> list[int]:
    return [t.index for step in steps for t in stream.draw(n, step=step)]


def test_uniform_walk_visits_every_task_once_a_lap_in_the_seeds_order() -> None:
    env = make_env("arithmetic:1")
    size = env.size("train")
    assert size is not None
    one, again, other = (TaskStream(env, StreamConfig(), seed=s) for s in (3, 3, 4))
    first = [t.index for t in one.draw(2 * size, step=1)]
    assert Counter(first[:size]) == Counter(range(size)) == Counter(first[size:])
    assert first[:size] != first[size:]
    assert first == [t.index for t in again.draw(2 * size, step=1)]
    assert first != [t.index for t in other.draw(2 * size, step=1)]


def test_without_an_end_of_tasks_seeds_do_not_share_any() -> None:
    env = make_env("arithmetic:5")
    assert env.size("train") is None
    a, b = (TaskStream(env, StreamConfig(), seed=s) for s in (0, 1))
    assert not set(_indices(a, range(5))) & set(_indices(b, range(5)))


def test_curriculum_prefers_tasks_solved_half_the_time() -> None:
    env = make_env("arithmetic:2")
    stream = TaskStream(env, StreamConfig(strategy="curriculum", pool=30), seed=0)
    half = set(range(10))
    for _ in range(3):
        stream.update([_group(env.task("train", i), 4 if i in half else 0) for i in range(30)])
    drawn = _indices(stream, range(50))
    assert sum(i in half for i in drawn) / len(drawn) > 0.8


def test_curriculum_draws_distinct_tasks_and_leaves_out_what_the_step_has_seen() -> None:
    stream = TaskStream(
        make_env("arithmetic:2"), StreamConfig(strategy="curriculum", pool=10), seed=0
    )
    first = [t.index for t in stream.draw(6, step=1)]
    second = [t.index for t in stream.draw(4, step=1, round_=1, exclude=first)]
    assert sorted(first + second) == list(range(10))
    assert len(stream.draw(15, step=2)) == 15  # a pool smaller than a step repeats


@pytest.mark.parametrize("strategy", ["uniform", "curriculum"])
def test_a_restored_stream_goes_on_as_the_unbroken_one(strategy: str) -> None:
    env = make_env("arithmetic:2")
    config = StreamConfig.model_validate({"strategy": strategy, "pool": 40})
    whole, broken = TaskStream(env, config, seed=5), TaskStream(env, config, seed=5)
    for stream in (whole, broken):
        for step in range(1, 6):
            tasks = stream.draw(4, step=step)
            stream.update([_group(t, t.index % 9) for t in tasks])
    resumed = TaskStream(env, config, seed=5)
    resumed.restore(json.loads(json.dumps(broken.state())))
    assert _indices(whole, range(6, 20)) == _indices(resumed, range(6, 20))
