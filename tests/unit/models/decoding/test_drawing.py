"""Tokens are drawn from the softmax, and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from random_models import PROMPTS, STOPS, draw_samples, random_model, request
from scipy.stats import chisquare
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

from minirl.models.decoding.drawing import SamplingParams, _tail_cut, draw

DRAWS = 100_000
PARAMS = [
    SamplingParams(),
    SamplingParams(0.5),
    SamplingParams(2.0),
    SamplingParams(top_k=5),
    SamplingParams(top_p=0.6),
    SamplingParams(1.5, top_p=0.8, top_k=10),
]


def p_value(counts: Any, probs: Any) -> float:
    """Chi-square of counts against probabilities; rare ones are counted together."""
    counts, probs = np.asarray(counts, float), np.asarray(probs, float)
    expected = probs / probs.sum() * counts.sum()
    common = expected >= 10
    if (rest := expected[~common].sum()) > 0:
        counts = np.append(counts[common], counts[~common].sum())
        expected = np.append(expected[common], rest)
    else:
        assert counts[~common].sum() == 0  # never what has probability 0
        counts, expected = counts[common], expected[common]
    return float(chisquare(counts, expected).pvalue)


def least_p(counts: Any, probs: Any) -> float:
    """The smallest of three p-values: one by one; neighbours together, in twenty parts of like
    probability; and the same with the likeliest first. The parts see a small bias of many tokens.
    """
    counts, probs = np.asarray(counts, float), np.asarray(probs, float)
    found = [p_value(counts, probs)]
    for order in (np.arange(len(probs)), np.argsort(-probs)):
        until = probs[order].cumsum() - probs[order] / 2
        part = np.minimum((20 * until / probs.sum()).astype(int), 19)
        found.append(
            p_value(
                np.bincount(part, counts[order], minlength=20),
                np.bincount(part, probs[order], minlength=20),
            )
        )
    return min(found)


def allowed(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """The exact distribution (V,), fp64, by the plainest means."""
    order = logits.argsort(descending=True)
    probs = torch.softmax(logits.double() / params.temperature, 0)
    if params.top_k:
        probs[order[params.top_k :]] = 0
        probs = probs / probs.sum()
    if params.top_p < 1:
        before = probs[order].cumsum(0) - probs[order]
        probs[order[before >= params.top_p]] = 0
    return probs / probs.sum()


def some_logits(size: int) -> torch.Tensor:
    return 2 * torch.randn(size, generator=torch.Generator().manual_seed(size))


def drawn(logits: torch.Tensor, params: SamplingParams, seed: int = 0) -> np.ndarray:
    """How often each id comes, of DRAWS."""
    thrown = torch.from_numpy(np.random.default_rng(seed).random(DRAWS))
    ids = [
        draw(logits.expand(len(part), -1), params, part)[0].numpy() for part in thrown.split(2000)
    ]
    return np.bincount(np.concatenate(ids), minlength=len(logits))


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("size", [100, 256, 1000])  # of one short block, one whole, and several
def test_tokens_are_drawn_from_the_softmax(size, params):
    logits = some_logits(size)
    counts, probs = drawn(logits, params), allowed(logits, params).numpy()
    assert not counts[probs == 0].any()
    assert (counts > 0).sum() > 2
    assert least_p(counts, probs) > 1e-3


@pytest.mark.parametrize("biased", ["likely", "block", "temperature"])
def test_a_bias_of_five_per_cent_would_be_seen(biased):
    """Of the ten likeliest tokens, of a block of them, or of the temperature."""
    logits = some_logits(1000)
    planted = logits.clone()
    if biased == "temperature":
        planted /= 0.95
    else:
        order = logits.argsort(descending=True) if biased == "likely" else torch.arange(1000)
        planted[order[256:512] if biased == "block" else order[:10]] += np.log(1.05)
    probs = allowed(logits, SamplingParams()).numpy()
    assert least_p(drawn(planted, SamplingParams()), probs) < 1e-3


@pytest.mark.parametrize("size", [100, 1000, 49152])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_a_number_picks_the_token_at_that_share(size, temperature):
    """As cumulating the whole row in fp64 picks; but for numbers at an edge, within rounding."""
    logits = torch.stack([some_logits(size), some_logits(size).flip(0)]).repeat(50, 1)
    thrown = torch.from_numpy(np.random.default_rng(1).random(len(logits)))
    ids, logps = draw(logits, SamplingParams(temperature), thrown)
    exact = torch.log_softmax(logits.double() / temperature, dim=-1)
    torch.testing.assert_close(
        logps.double(), exact.gather(1, ids[:, None]).squeeze(1), atol=2e-6, rtol=0
    )
    until = exact.exp().cumsum(-1).gather(1, ids[:, None]).squeeze(1)
    own = exact.gather(1, ids[:, None]).squeeze(1).exp()
    assert (until - thrown > -1e-6).all()
    assert (thrown - (until - own) > -1e-6).all()


def test_a_token_of_probability_0_is_never_drawn():
    """Whatever the number, and wherever such tokens lie: at the edges of rows and of blocks."""
    size = 1100
    logits = torch.full((size,), -torch.inf)
    can = [1, 255, 257, 511, 768, 1023, 1024, 1098]
    logits[can] = torch.linspace(-8, 8, len(can))
    edges = torch.softmax(logits.double(), 0).cumsum(0)[can]
    eps = 2**-53
    numbers = torch.cat([edges, edges - eps, edges + eps, torch.tensor([0.0, eps, 1 - eps])])
    numbers = numbers.double().clamp(0, 1 - eps)
    for params in (SamplingParams(), SamplingParams(top_p=0.999), SamplingParams(top_k=6)):
        ids, logps = draw(logits.expand(len(numbers), -1), params, numbers)
        assert set(ids.tolist()) <= set(can)
        assert torch.isfinite(logps).all()
    ids, _ = draw(logits.expand(2, -1), SamplingParams(), torch.tensor([0.0, 1 - eps]).double())
    assert ids.tolist() == [1, 1098]


def test_every_number_picks_a_token_that_can_be():
    logits = torch.tensor([[-torch.inf, 1.0, -torch.inf, 0.0, -torch.inf]]).expand(3, -1)
    thrown = torch.tensor([0.0, 0.7310585, 1 - 2**-53], dtype=torch.float64)  # softmax: .731, .269
    ids, _ = draw(logits, SamplingParams(), thrown)
    assert ids.tolist() == [1, 1, 3]
    ids, _ = draw(logits, SamplingParams(), thrown + torch.tensor([0.0, 1e-5, 0.0]))
    assert ids.tolist() == [1, 3, 3]


def test_draw_takes_half_precision_logits():
    logits = torch.tensor([[0.0, 30.0, 0.0]], dtype=torch.bfloat16)
    ids, logp = draw(logits, SamplingParams(), torch.tensor([0.5], dtype=torch.float64))
    assert (ids.item(), logp.dtype) == (1, torch.float32)


@pytest.mark.parametrize("size", [100, 3000])  # fewer and more than are sorted at first
@pytest.mark.parametrize("top_k", [0, 1, 3, 50, 2000])
@pytest.mark.parametrize("top_p", [1.0, 0.95, 0.5, 1e-6])
def test_the_tail_is_cut_where_transformers_cuts_it(size, top_k, top_p):
    logits = torch.randn(100, size, generator=torch.Generator().manual_seed(1))
    logits *= torch.linspace(0, 5, 100)[:, None]  # flat rows and peaked ones
    wanted = logits
    if top_k:
        wanted = TopKLogitsWarper(top_k)(None, wanted)
    if top_p < 1:
        wanted = TopPLogitsWarper(top_p)(None, wanted)
    if not top_k and top_p == 1:
        return
    kept, order = _tail_cut(torch.softmax(logits, -1), SamplingParams(1.0, top_p, top_k))
    cut = torch.zeros_like(logits).scatter(1, order, kept)[1:]  # without ties
    assert torch.equal(cut > 0, wanted[1:] > -torch.inf)
    torch.testing.assert_close(cut / cut.sum(-1, keepdim=True), torch.softmax(wanted[1:], -1))


# Whole samples -------------------------------------------------------------------------------


def exact_pairs(prompt: Any, params: SamplingParams) -> dict[tuple[int, ...], float]:
    """The probability of every answer of two tokens, by plain forward passes."""
    model = random_model("llama")
    with torch.no_grad():
        first = allowed(model(input_ids=torch.tensor([prompt])).logits[0, -1], params)
        after = model(input_ids=torch.tensor([[*prompt, i] for i in range(len(first))])).logits
    pairs = {}
    for i in torch.nonzero(first).flatten().tolist():
        if i in STOPS:
            pairs[(i,)] = float(first[i])
            continue
        second = allowed(after[i, -1], params)
        for j in torch.nonzero(second).flatten().tolist():
            pairs[i, j] = float(first[i] * second[j])
    return pairs


def pair_counts(params: SamplingParams, draws: int) -> Counter[tuple[int, ...]]:
    (samples,) = draw_samples(
        random_model("llama"), [request(PROMPTS[2], draws, 2)], params, seed=5, batch=2000
    )
    return Counter(s.ids for s in samples)


@pytest.mark.slow
@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(0.7, top_p=0.9, top_k=20)])
def test_answers_are_drawn_from_the_model(params):
    """Rows enter while others are being written, and the second token follows from the first."""
    counts, probs = pair_counts(params, DRAWS), exact_pairs(PROMPTS[2], params)
    assert set(counts) <= set(probs)
    order = sorted(probs)
    assert least_p([counts[a] for a in order], [probs[a] for a in order]) > 1e-3


@pytest.mark.slow
def test_answers_of_another_temperature_would_be_seen():
    counts, probs = pair_counts(SamplingParams(0.95), DRAWS), exact_pairs(PROMPTS[2], PARAMS[0])
    order = sorted(probs)
    assert least_p([counts[a] for a in order], [probs[a] for a in order]) < 1e-5
