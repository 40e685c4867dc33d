"""Weights of 16 bits give the logits of the weights that they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from random_models import (
    ARCHITECTURES,
    PROMPTS,
    STOPS,
    TOLERANCE,
    difference,
    plain_logprobs,
    request,
    with_adapter,
)
from transformers import AutoModelForCausalLM

from minirl.models.decoding import halves
from minirl.models.decoding.halves import MOST_ROWS, Halves
from minirl.models.merge import adapter_off, merged
from minirl.models.sampler import SamplingParams, TorchSampler

pytestmark = pytest.mark.skipif(
    torch.backends.quantized.engine not in ("x86", "fbgemm"), reason="FBGEMM is x86's"
)
architectures = pytest.mark.parametrize("name", ["llama", "qwen2", "gemma3", "phi3"])
IDS = torch.tensor([PROMPTS[0]])


def model_of_16_bits(name: str) -> Any:
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES[name](), dtype=torch.bfloat16)
    return with_adapter(model.float())


def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return found


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every product that is computed by a module that was replaced."""
    rows: list[int] = []
    forward = halves._forward

    def count(linear: Any, packed: Any, adapters: Any, own: Any, x: torch.Tensor) -> Any:
        rows.append(x.numel() // x.size(-1))
        return forward(linear, packed, adapters, own, x)

    monkeypatch.setattr(halves, "_forward", count)
    return rows


@architectures
def test_logits_are_the_models_with_the_adapter_and_without(name, products):
    model = model_of_16_bits(name)
    packed = Halves(model)
    tuned = logits(model)
    with packed.fast(model):
        torch.testing.assert_close(logits(model), tuned, atol=2e-5, rtol=1e-5)
    with adapter_off(model):
        base = logits(model)
        with packed.fast(model):
            torch.testing.assert_close(logits(model), base, atol=2e-5, rtol=1e-5)
    assert (tuned - base).abs().max() > 0.01
    assert len(products) >= 2 * 3 * 4
    assert not any("forward" in m.__dict__ for m in model.modules())
    assert torch.equal(logits(model), tuned)


def test_many_rows_are_multiplied_as_ever():
    model = model_of_16_bits("llama")
    ids = torch.arange(MOST_ROWS + 1)[None] % 90
    plain = logits(model, ids)
    with Halves(model).fast(model):
        assert torch.equal(logits(model, ids), plain)


def test_weights_of_more_bits_are_refused():
    model = model_of_16_bits("llama")
    model.get_base_model().model.layers[2].mlp.up_proj.base_layer.weight.data[3, 4] += 1e-5
    with pytest.raises(ValueError, match="16 bits"):
        Halves(model)


@pytest.mark.parametrize("large", [1e5, -7e4])
def test_weights_beyond_fp16_are_refused(large):
    model = model_of_16_bits("llama")
    model.get_base_model().lm_head.weight.data[3, 4] = large
    with pytest.raises(ValueError, match="16 bits"):
        Halves(model)


def test_weights_that_changed_are_noticed():
    model = model_of_16_bits("llama")
    packed = Halves(model)
    assert packed.fits(model)
    with merged(model):
        assert not packed.fits(model)
    assert packed.fits(model)
    with torch.no_grad():
        model.get_base_model().model.layers[0].mlp.up_proj.base_layer.weight.mul_(2)
    assert not packed.fits(model)


@architectures
def test_samples_are_the_models(name, products):
    """The sampler takes them by itself, leaves the adapter unmerged, and sees changed weights."""
    model = model_of_16_bits(name)
    sampler = TorchSampler()
    requests = [request(p, 5) for p in PROMPTS]
    seen = []
    for doubled in (False, True):
        if doubled:
            with torch.no_grad():
                model.get_base_model().model.layers[0].mlp.down_proj.base_layer.weight.mul_(2)
        for use_adapter in (True, False):
            with sampler.session(model, use_adapter=use_adapter, batch=9) as go:
                drawn = go(
                    requests, (0, 5, 10, 15), SamplingParams(), seed=1, eos_ids=STOPS, pad_id=0
                )
            seen.append(drawn)
            with torch.no_grad():
                for asked, samples in zip(requests, drawn, strict=True):
                    for s in samples:
                        if use_adapter:
                            plain = plain_logprobs(model, asked.prompt_ids, s.ids)
                        else:
                            with adapter_off(model):
                                plain = plain_logprobs(model, asked.prompt_ids, s.ids)
                        assert difference(s.logprobs, plain) < TOLERANCE
    assert products
    assert len({str(drawn) for drawn in seen}) == 4
