"""Models that minirl's decoding cannot serve are sampled the plain way, and right."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from random_models import (
    PROMPTS,
    STOPS,
    TOLERANCE,
    UNFIT,
    bare_model,
    difference,
    draw_samples,
    plain_logprobs,
    random_model,
    request,
    watching,
)

from minirl.models.decoding.fit import why_unfit
from minirl.models.sampler import SamplingParams, TorchSampler


@pytest.mark.parametrize(("name", "why"), [("gemma2", "softcap"), ("gpt-oss", "s_aux")])
def test_attention_of_another_kind_is_refused(name, why):
    model = bare_model(name)
    before = model.config._attn_implementation
    assert why in (why_unfit(model) or "")
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("name", UNFIT)
def test_they_are_sampled_the_plain_way(name, caplog):
    model = bare_model(name)
    requests = [request(p, 3) for p in PROMPTS]
    sampler = TorchSampler()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with sampler.session(model, use_adapter=True, batch=5) as go, watching(model) as shapes:
                drawn = go(
                    requests, (0, 3, 6, 9), SamplingParams(), seed=0, eos_ids=STOPS, pad_id=0
                )
    assert 1 < max(rows for rows, _ in shapes) <= 5
    (record,) = (r for r in caplog.records if r.name == "minirl.models.sampler")  # said once
    assert "plain" in record.message
    for asked, samples in zip(requests, drawn, strict=True):
        for s in samples:
            plain = plain_logprobs(model, asked.prompt_ids, s.ids)
            assert difference(s.logprobs, plain) < TOLERANCE


def test_a_layer_that_mixes_rows_is_noticed(monkeypatch):
    """As recurrent layers do, where rows are packed."""
    model = bare_model("llama")
    assert why_unfit(model) is None

    def mix(_: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        return out + 0.05 * torch.nn.functional.pad(out, (0, 0, 1, 0))[..., :-1, :]

    hook = model.model.layers[1].mlp.register_forward_hook(mix)
    try:
        assert "logits differ" in (why_unfit(model) or "")
    finally:
        hook.remove()


def test_a_window_that_the_layers_do_not_say_is_noticed(monkeypatch):
    """It is longer than the few tokens that are tried, so no logit would show it."""
    model = bare_model("llama")
    monkeypatch.setattr(model.config, "sliding_window", 100, raising=False)
    assert "window" in (why_unfit(model) or "")


def test_layers_of_an_unknown_kind_are_refused(monkeypatch):
    model = bare_model("llama")
    monkeypatch.setattr(model.config, "layer_types", ["chunked_attention"] * 3, raising=False)
    assert "chunked_attention" in (why_unfit(model) or "")


def test_a_model_is_tried_once():
    model = random_model("llama")
    sampler = TorchSampler()
    shapes = []
    for _ in range(2):
        with (
            watching(model) as seen,
            sampler.session(model, use_adapter=True, batch=8),
        ):
            shapes.append(len(seen))
    assert shapes[0] > 0
    assert shapes[1] == 0


def test_plain_and_packed_draw_the_same(monkeypatch):
    model = random_model("qwen3")
    requests = [request(p, 5) for p in PROMPTS]
    packed = draw_samples(model, requests)
    monkeypatch.setattr("minirl.models.sampler.why_unfit", lambda _: "told so")
    plain = draw_samples(model, requests, batch=7)
    assert [[s.ids for s in g] for g in plain] == [[s.ids for s in g] for g in packed]
