"""Policies without a model."""

from __future__ import annotations

import pytest

from minirl.envs import make_env
from minirl.errors import UnknownNameError
from minirl.rollout import ScriptedPolicy
from minirl.types import Message, Request, StopReason


@pytest.fixture
def env():
    return make_env("arithmetic:1")


def drawn(policy, env, n, *, index=0, seed=0, max_tokens=500, turn=0):
    task = env.task("train", index)
    return policy.sample([Request((), n, max_tokens, task, turn)], seed=seed)[0]


def texts(policy, env, n, **options):
    return [policy.decode(s.ids) for s in drawn(policy, env, n, **options)]


def test_gold_writes_the_reference_solution_and_closes_its_turn(env):
    policy = ScriptedPolicy(env, "gold")
    task = env.task("train", 0)
    for sample in drawn(policy, env, 3):
        assert policy.decode(sample.ids) == env.gold(task)
        assert sample.stop is StopReason.EOS
        assert len(sample.ids) == len(env.gold(task).encode()) + 1  # the closing token
        assert sample.logprobs == (0.0,) * len(sample.ids)


def test_a_text_that_does_not_fit_is_cut_off(env):
    policy = ScriptedPolicy(env, "gold")
    gold = env.gold(env.task("train", 0))
    exact, short = len(gold.encode()) + 1, len(gold.encode())
    assert drawn(policy, env, 1, max_tokens=exact)[0].stop is StopReason.EOS
    cut = drawn(policy, env, 1, max_tokens=short)[0]
    assert (cut.stop, len(cut.ids)) == (StopReason.LENGTH, short)
    assert texts(policy, env, 1, max_tokens=5) == [gold[:5]]


def test_random_writes_the_solutions_of_other_tasks(env):
    policy = ScriptedPolicy(env, "random")
    golds = {env.gold(env.task("train", i)) for i in range(env.size("train"))}
    written = texts(policy, env, 20)
    assert set(written) <= golds
    assert len(set(written)) > 5
    assert texts(policy, env, 20) == written
    assert texts(policy, env, 20, seed=1) != written


def test_random_does_not_depend_on_which_requests_stand_beside_it(env):
    policy = ScriptedPolicy(env, "random")
    requests = [Request((), 2, 500, env.task("train", i), 0) for i in range(3)]
    together = policy.sample(requests, seed=4)
    assert [policy.sample([r], seed=4)[0] for r in requests] == together


def test_cheater_goes_through_every_trick(env):
    policy = ScriptedPolicy(env, "cheater")
    task = env.task("train", 0)
    tricks = [*env.decoys(task), "", task.prompt[-1].content]
    written = texts(policy, env, len(tricks) + 2)
    assert written[: len(tricks)] == tricks
    assert written[-2] == "\n".join([env.gold(task)] * 2)
    assert written[-1].startswith(env.gold(task) + "\n")


def test_several_turns_follow_the_gold_texts(env):
    env.gold = lambda task: ["one", "two"]
    policy = ScriptedPolicy(env, "gold")
    assert [texts(policy, env, 1, turn=t) for t in range(3)] == [["one"], ["two"], ["two"]]


def test_messages_are_encoded_as_bytes(env):
    policy = ScriptedPolicy(env, "gold")
    ids = policy.encode_open([Message("user", "é")])
    assert bytes(ids).decode() == "user: é\n"
    assert policy.encode_reply([Message("tool", "3")]) == tuple(b"tool: 3\n")


def test_an_unknown_script_is_named_with_the_known_ones(env):
    with pytest.raises(UnknownNameError, match="gold, random, cheater"):
        ScriptedPolicy(env, "oracle")  # type: ignore[arg-type]
