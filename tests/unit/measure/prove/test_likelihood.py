"""Log-probabilities of given tokens, against a plain forward pass of one row at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from proof_models import POSITIONS

from minirl.errors import ModelError
from minirl.measure.prove import likelihood
from minirl.measure.prove.likelihood import Passage, log_likelihoods, perplexity
from minirl.models.generate import GenerateSampler
from minirl.models.policy import ModelPolicy
from minirl.models.sampler import SamplingParams
from minirl.types import Message, Request, Task


def passages_of(vocabulary: int, *, seed: int = 0, most: int = 12, rows: int = 9) -> list[Passage]:
    """Random tokens, of all lengths in a shuffled order; some of them the environment's."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        prompt, size = rng.integers(1, most), rng.integers(0, most)
        made.append(
            Passage(
                tuple(int(i) for i in rng.integers(1, vocabulary, prompt)),
                tuple(int(i) for i in rng.integers(1, vocabulary, size)),
                tuple(bool(b) for b in rng.random(size) < 0.7),
            )
        )
    return made


def plain(loaded, passage: Passage, *, use_adapter: bool, temperature: float = 1.0) -> list[float]:
    """No padding, no merging, all logits, softmax in fp64."""
    ids = [*passage.prompt_ids, *passage.ids]
    model = loaded.model.eval()
    with torch.no_grad():
        if use_adapter:
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        else:
            with model.disable_adapter():
                logits = model(input_ids=torch.tensor([ids])).logits[0]
    logp = torch.log_softmax(logits.double() / temperature, dim=-1)
    first = len(passage.prompt_ids)
    return [
        float(logp[first + at - 1, token])
        for at, (token, written) in enumerate(zip(passage.ids, passage.mask, strict=True))
        if written
    ]


def assert_plain(loaded, passages, **options) -> None:
    found = log_likelihoods(loaded, passages, **options)
    near = 1e-5 / min(1.0, options.get("temperature", 1.0))  # it magnifies fp32's rounding, too
    assert len(found) == len(passages)
    for passage, scores in zip(passages, found, strict=True):
        assert scores.shape == (sum(passage.mask),)
        assert scores.tolist() == pytest.approx(plain(loaded, passage, **options), abs=near)


@pytest.mark.parametrize("use_adapter", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.5])
def test_a_small_model(small, use_adapter, temperature):
    passages = passages_of(12)
    assert {0, 1} <= {len(p.ids) for p in passages} | {len(p.prompt_ids) for p in passages}
    assert any(True in p.mask and False in p.mask for p in passages)
    assert_plain(small, passages, use_adapter=use_adapter, temperature=temperature)


def test_the_tiny_model(tiny):
    passages = passages_of(99, most=60, rows=6)
    for use_adapter in (False, True):
        assert_plain(tiny, passages, use_adapter=use_adapter, temperature=0.7)


def test_the_adapter_matters(small):
    one, two = (log_likelihoods(small, passages_of(12), use_adapter=on) for on in (False, True))
    assert max(float(np.abs(a - b).max(initial=0)) for a, b in zip(one, two, strict=True)) > 0.1


@pytest.mark.parametrize(("logits", "tokens"), [(1, 1), (12 * 20, 8192), (2**26, 50)])
def test_how_passages_are_batched_does_not_matter(small, monkeypatch, logits, tokens):
    passages = passages_of(12, rows=20)
    whole = log_likelihoods(small, passages, use_adapter=True)
    monkeypatch.setattr(likelihood, "LOGITS", logits)
    monkeypatch.setattr(likelihood, "TOKENS", tokens)
    chunks = list(likelihood._chunks(passages, 12))
    assert len(chunks) > 1
    assert sorted(i for chunk in chunks for i in chunk) == list(range(20))
    progress = []
    parts = log_likelihoods(
        small, passages, use_adapter=True, on_progress=lambda *p: progress.append(p)
    )
    for a, b in zip(whole, parts, strict=True):
        assert a.tolist() == pytest.approx(b.tolist(), abs=1e-5)
    assert [p[0] for p in progress] == np.cumsum([len(c) for c in chunks]).tolist()
    assert progress[-1] == (20, 20)


def test_next_token_probabilities_sum_to_one(small):
    prompt = (3, 1, 4)
    every = [Passage(prompt, (token,), (True,)) for token in range(12)]
    for use_adapter in (False, True):
        scores = log_likelihoods(small, every, use_adapter=use_adapter, temperature=1.7)
        assert sum(math.exp(s[0]) for s in scores) == pytest.approx(1, abs=1e-5)


def test_the_model_is_left_as_it_was(small):
    before = {n: p.detach().clone() for n, p in small.model.named_parameters()}
    small.model.train()
    log_likelihoods(small, passages_of(12), use_adapter=True)
    assert small.model.training
    small.model.eval()
    for name, parameter in small.model.named_parameters():
        assert torch.equal(parameter, before[name]), name
    assert any(p.requires_grad for p in small.model.parameters())
    small.model(input_ids=torch.tensor([[1, 2, 3]])).logits.sum().backward()  # and can still learn
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in small.model.parameters())
    small.model.zero_grad(set_to_none=True)


# A policy's own samples ----------------------------------------------------------------------


@pytest.mark.parametrize("use_adapter", [False, True])
@pytest.mark.parametrize("sampler", [None, GenerateSampler()])
@pytest.mark.parametrize("params", [SamplingParams(1.0), SamplingParams(0.6, top_p=0.9)])
def test_samples_get_the_log_probabilities_that_they_were_drawn_with(
    tiny, use_adapter, sampler, params
):
    policy = ModelPolicy(
        tiny.model, tiny.tokenizer, params, batch=8, use_adapter=use_adapter, sampler=sampler
    )
    asked = [policy.encode_open([Message("user", q)]) for q in ("What is 123 + 0?", "So?")]
    requests = [Request(ids, 3, 12, Task("none", "test", i, ())) for i, ids in enumerate(asked)]
    groups = policy.sample(requests, seed=4)
    drawn = [(r, s) for r, g in zip(requests, groups, strict=True) for s in g]
    passages = [Passage(r.prompt_ids, s.ids, (True,) * len(s.ids)) for r, s in drawn]
    found = log_likelihoods(tiny, passages, use_adapter=use_adapter, temperature=params.temperature)
    for (_, sample), scores in zip(drawn, found, strict=True):
        assert scores.tolist() == pytest.approx(sample.logprobs, abs=1e-4)


# What cannot be scored -----------------------------------------------------------------------


def test_too_long_a_passage_is_refused_before_any_work(small):
    def passage(size: int) -> Passage:
        return Passage((1,), (2,) * (size - 1), (True,) * (size - 1))

    assert log_likelihoods(small, [passage(POSITIONS)], use_adapter=False)[0].size == POSITIONS - 1
    progress = []
    with pytest.raises(ModelError, match=f"{POSITIONS + 1} tokens .* context of {POSITIONS}"):
        log_likelihoods(
            small,
            [passage(3), passage(POSITIONS + 1)],
            use_adapter=False,
            on_progress=lambda *p: progress.append(p),
        )
    assert progress == []


def test_bad_arguments(small):
    with pytest.raises(ValueError, match="temperature"):
        log_likelihoods(small, [], use_adapter=False, temperature=0.0)
    with pytest.raises(ValueError, match="prompt"):
        log_likelihoods(small, [Passage((), (1, 2), (True, True))], use_adapter=False)
    assert log_likelihoods(small, [], use_adapter=False) == []


def test_perplexity_of_a_uniform_guess_is_the_number_of_choices():
    assert perplexity(-math.log(50)) == pytest.approx(50)
    assert perplexity(0.0) == 1.0
    assert math.isfinite(perplexity(-1e9))
