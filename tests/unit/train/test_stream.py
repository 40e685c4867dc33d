"""Which tasks are drawn: a seed's walk, the curriculum's preference, and exact resumption."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

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


# A probe's findings as priors ---------------------------------------------------------------------

PROBE: dict[str, Any] = {
    "group_size": 8,
    "fit": {"alpha": 0.3, "beta": 2.7},
    "tasks": [
        {"index": 3, "sampled": 8, "solved": 4},
        {"index": 7, "sampled": 300, "solved": 0},
        {"index": 999, "sampled": 8, "solved": 8},  # beyond the pool
    ],
}


def _curriculum(seed: int = 0, pool: int = 40) -> TaskStream:
    config = StreamConfig(strategy="curriculum", pool=pool)
    return TaskStream(make_env("arithmetic:2"), config, seed=seed)


def test_a_probes_fit_and_counts_become_priors_tempered() -> None:
    stream = _curriculum()
    stream.begin_from(PROBE)
    state = stream.state()
    assert state["prior"] == pytest.approx([0.2, 1.8])  # the fit, at the weight of two samples
    assert (state["a"][0], state["b"][0]) == pytest.approx((0.2, 1.8))
    assert (state["a"][3], state["b"][3]) == pytest.approx((4.2, 5.8))
    assert (state["a"][7], state["b"][7]) == pytest.approx((0.2, 9.8))  # 300 count as one group


def test_a_fit_that_knows_less_than_two_samples_is_taken_as_it_is() -> None:
    stream = _curriculum()
    stream.begin_from(PROBE | {"fit": {"alpha": 0.1, "beta": 0.4}})
    assert stream.state()["prior"] == [0.1, 0.4]


def test_priors_matter_to_what_is_drawn() -> None:
    half = set(range(10))
    tasks = [{"index": i, "sampled": 8, "solved": 4 if i in half else 0} for i in range(40)]
    knowing, blind = _curriculum(), _curriculum()
    knowing.begin_from(PROBE | {"tasks": tasks})
    first, second = (sum(i in half for i in _indices(s, range(50))) / 200 for s in (knowing, blind))
    assert first > 0.8
    assert 0.15 < second < 0.35


def test_discounted_evidence_falls_back_to_the_probes_prior() -> None:
    stream = _curriculum()
    stream.begin_from(PROBE)
    task = make_env("arithmetic:2").task("train", 3)
    stream.update([_group(task, 2)])
    state = stream.state()
    assert (state["a"][3], state["b"][3]) == pytest.approx((0.2 + 2 + 2, 1.8 + 2 + 6))


@pytest.mark.parametrize("probe_on_resume", ["same", "another", "gone"])
def test_a_resumed_curriculum_keeps_the_priors_it_began_from(probe_on_resume: str) -> None:
    whole, broken, resumed = _curriculum(5), _curriculum(5), _curriculum(5)
    for stream in (whole, broken):
        stream.begin_from(PROBE)
    for step in range(1, 6):
        for stream in (whole, broken):
            stream.update([_group(t, t.index % 9) for t in stream.draw(4, step=step)])
    if probe_on_resume != "gone":  # train reads probe.json before it restores
        fit = {"alpha": 9.0, "beta": 1.0} if probe_on_resume == "another" else PROBE["fit"]
        resumed.begin_from(PROBE | {"fit": fit})
    resumed.restore(json.loads(json.dumps(broken.state())))
    for step in range(6, 30):
        drawn = whole.draw(4, step=step)
        assert [t.index for t in drawn] == [t.index for t in resumed.draw(4, step=step)]
        for stream in (whole, resumed):
            stream.update([_group(t, t.index % 9) for t in drawn])
    assert whole.state() == resumed.state()


@pytest.mark.parametrize("fit", [(1e-6, 0.05), (0.02, 0.02)])
def test_a_prior_without_any_middle_does_not_always_draw_the_same_tasks(
    fit: tuple[float, float],
) -> None:
    stream = _curriculum()
    stream.begin_from(PROBE | {"fit": {"alpha": fit[0], "beta": fit[1]}, "tasks": []})
    drawn = []
    for step in range(20):
        tasks = stream.draw(4, step=step)
        drawn += [t.index for t in tasks]
        stream.update([_group(t, 0) for t in tasks])
    assert len(set(drawn)) > 25
