"""The tiny model plays through llama.cpp what it plays through transformers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tiny_gguf import Trained
from tool_env import SumByTool

from minirl.envs import EnvConfig, make_env
from minirl.envs.tool_calls import tool_call_text
from minirl.errors import ModelError
from minirl.export.llama import LlamaPolicy, LlamaServer
from minirl.export.llama.policy import seed_of
from minirl.models.chat import ChatCodec
from minirl.models.policy import ModelPolicy
from minirl.models.sampler import SamplingParams
from minirl.models.tiny import OPTIONS
from minirl.rollout import Policy, Sessionless, play
from minirl.types import Request, Rollout, Sample, StopReason, Task

GREEDY = SamplingParams(temperature=0.0)


def policies(
    served: LlamaServer, trained: Trained, params: SamplingParams
) -> tuple[LlamaPolicy, ModelPolicy]:
    return (
        LlamaPolicy(served, ChatCodec(trained.tokenizer), params),
        ModelPolicy(trained.model, trained.tokenizer, params, use_adapter=False),
    )


def played(policy: Policy, n: int, tasks: int, seed: int = 0) -> list[Rollout]:
    env = make_env("arithmetic", OPTIONS)
    asked = [env.task("test", i) for i in range(tasks)]
    return [r for g in play(policy, env, asked, n, max_tokens=16, seed=seed) for r in g.rollouts]


def test_greedy_plays_alike(served: LlamaServer, trained: Trained) -> None:
    ours, theirs = (played(p, 1, 12) for p in policies(served, trained, GREEDY))
    assert [r.completion_ids for r in ours] == [r.completion_ids for r in theirs]
    assert [r.score for r in ours] == [r.score for r in theirs]
    assert len({r.text for r in ours}) > 6
    for one, other in zip(ours, theirs, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_samples_follow_the_seed_and_differ_within_a_group(
    served: LlamaServer, trained: Trained
) -> None:
    policy, _ = policies(served, trained, SamplingParams(1.0))
    first, again, other = (
        [r.completion_ids for r in played(policy, 6, 2, seed)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert len(set(first[:6])) > 2
    assert seed_of(0, 1) != seed_of(1, 0)


class ToolFirst(Sessionless):
    """Writes a right tool call in its first turn, and leaves the rest to another policy."""

    def __init__(self, policy: LlamaPolicy | ModelPolicy) -> None:
        self.policy = policy
        self.encode_open, self.encode_reply = policy.encode_open, policy.encode_reply
        self.decode = policy.decode

    def sample(self, requests: Sequence[Request], *, seed: int) -> list[list[Sample]]:
        if requests[0].turn:
            return self.policy.sample(requests, seed=seed)
        calls = [tool_call_text("add", a=r.task.data["a"], b=r.task.data["b"]) for r in requests]
        codec = self.policy.codec
        turns = [
            (*codec.tokenizer(call)["input_ids"], codec.tokenizer.eos_token_id) for call in calls
        ]
        return [[Sample(t, (0.0,) * len(t), StopReason.EOS)] for t in turns]


def test_an_episode_with_a_tool_goes_on_token_by_token(
    served: LlamaServer, trained: Trained
) -> None:
    env = SumByTool(EnvConfig())
    tasks = [env.task("test", i) for i in range(4)]
    ours, theirs = (
        play(ToolFirst(p), env, tasks, 1, max_tokens=12, seed=0)
        for p in policies(served, trained, GREEDY)
    )
    for one, other in zip(ours, theirs, strict=True):
        (a,), (b,) = one.rollouts, other.rollouts
        assert [m.role for m in a.messages[:3]] == ["assistant", "tool", "assistant"]
        assert a.completion_ids == b.completion_ids
        assert a.loss_mask == b.loss_mask


def test_more_closing_tokens_than_the_file_knows(served: LlamaServer, trained: Trained) -> None:
    codec = ChatCodec(trained.tokenizer)
    colon = trained.tokenizer(":")["input_ids"][0]
    policy = LlamaPolicy(served, codec, GREEDY, eos_ids=frozenset({colon}))
    (rollout,) = played(policy, 1, 1)
    assert rollout.completion_ids[-1] == colon
    assert rollout.text == "Answer:"
    assert rollout.stop is StopReason.EOS


def test_the_context_is_the_limit(served: LlamaServer, trained: Trained) -> None:
    policy, _ = policies(served, trained, GREEDY)
    task = Task("arithmetic:1", "test", 0, ())
    room = Request((5,) * (served.context - 2), 1, 50, task)
    ((sample,),) = policy.sample([room], seed=0)
    assert len(sample.ids) <= 2
    full = Request((5,) * served.context, 1, 50, task, turn=1)
    with pytest.raises(ModelError, match="whole context") as caught:
        policy.sample([full], seed=0)
    assert "before turn 2" in str(caught.value)
