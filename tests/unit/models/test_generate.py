"""Sampling through a model's own ``generate``."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from minirl.config import ModelConfig
from minirl.models.generate import GenerateSampler
from minirl.models.load import LoadedModel, load_model
from minirl.models.policy import ModelPolicy
from minirl.models.sampler import SamplingParams
from minirl.types import Message, Request, Sample, StopReason, Task

TASK = Task("none", "train", 0, ())


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    loaded = load_model(ModelConfig(name="tiny", precision="fp32", lora_r=4), seed=0)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in loaded.model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return loaded


def policies(tiny: LoadedModel, **options: Any) -> tuple[ModelPolicy, ModelPolicy]:
    """The same policy with the two samplers: through generate, and minirl's own."""
    args = (tiny.model, tiny.tokenizer)
    return ModelPolicy(*args, **options, sampler=GenerateSampler()), ModelPolicy(*args, **options)


def questions(policy: ModelPolicy, n: int = 1, max_tokens: int = 30) -> list[Request]:
    asked = [f"What is {k} + 0?" for k in (123, 7, 55555)]
    return [
        Request(policy.encode_open([Message("user", a)]), n, max_tokens - at, TASK)
        for at, a in enumerate(asked)
    ]


def test_greedy_writes_what_minirls_sampler_writes(tiny):
    through_generate, own = policies(tiny, params=SamplingParams(0.0))
    requests = questions(own)
    ours = own.sample(requests, seed=0)
    theirs = through_generate.sample(requests, seed=0)
    assert [[(s.ids, s.stop) for s in g] for g in theirs] == [
        [(s.ids, s.stop) for s in g] for g in ours
    ]
    assert {s.stop for g in ours for s in g} >= {StopReason.EOS}
    for a, b in zip(flat(theirs), flat(ours), strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def flat(groups: list[list[Sample]]) -> list[Sample]:
    return [s for g in groups for s in g]


@pytest.mark.parametrize("params", [SamplingParams(1.0), SamplingParams(0.7, 0.8, 5)])
def test_log_probabilities_are_those_of_a_plain_forward(tiny, params):
    policy, _ = policies(tiny, params=params, batch=4)
    requests = questions(policy, n=3)
    stops = set()
    for request, samples in zip(requests, policy.sample(requests, seed=1), strict=True):
        for s in samples:
            ids = torch.tensor([[*request.prompt_ids, *s.ids]])
            with torch.no_grad():
                logits = tiny.model.eval()(input_ids=ids).logits[0].float() / params.temperature
            logp = torch.log_softmax(logits, -1)[len(request.prompt_ids) - 1 : -1]
            exact = logp.gather(1, torch.tensor(s.ids)[:, None])[:, 0]
            assert s.logprobs == pytest.approx(exact.tolist(), abs=1e-4)
            assert (s.stop is StopReason.EOS) == (s.ids[-1] in policy.codec.eos_ids)
            assert not set(s.ids[:-1]) & policy.codec.eos_ids
            assert s.stop is StopReason.EOS or len(s.ids) == request.max_tokens
            stops.add(s.stop)
    assert StopReason.EOS in stops


def test_the_seed_decides(tiny):
    policy, _ = policies(tiny)
    requests = questions(policy, n=4)
    assert policy.sample(requests, seed=1) == policy.sample(requests, seed=1)
    assert policy.sample(requests, seed=1) != policy.sample(requests, seed=2)


def test_the_base_is_played_without_the_adapter(tiny):
    on, _ = policies(tiny, params=SamplingParams(0.0))
    off, own = policies(tiny, params=SamplingParams(0.0), use_adapter=False)
    requests = questions(own)
    base = [s.ids for s in flat(own.sample(requests, seed=0))]
    assert [s.ids for s in flat(off.sample(requests, seed=0))] == base
    assert [s.ids for s in flat(on.sample(requests, seed=0))] != base


def test_a_row_with_less_room_does_not_shorten_the_others(tiny):
    """The context ends ten tokens after the longest prompt; a short prompt has its full turn."""
    policy, _ = policies(tiny)
    long = (5,) * (policy.context - 10)
    short = policy.encode_open([Message("user", "What is 1 + 0?")])
    requests = [Request(p, 12, 14, TASK) for p in (long, short)]
    lengths = [[len(s.ids) for s in group] for group in policy.sample(requests, seed=0)]
    assert max(lengths[0]) == 10
    assert max(lengths[1]) == 14
