"""Products turned round give the same bits, or are not turned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from random_models import PROMPTS, draw_samples, random_model, request
from torch.nn import functional

from minirl.models.decoding import products
from minirl.models.decoding.products import Products
from minirl.models.merge import merged


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Every product of few rows is turned round, whatever it costs; the shapes that were."""
    shapes = []

    def pays(linear: Any, x: torch.Tensor) -> bool:
        shapes.append(tuple(x.shape))
        return True

    monkeypatch.setattr(products, "_pays", pays)
    monkeypatch.setattr(products, "_ROWS", (2, 128))
    return shapes


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [2, 20, 200])
def test_a_product_is_the_layers(bias, rows, always):
    torch.manual_seed(0)
    linear = torch.nn.Linear(30, 50, bias=bias)
    x = torch.randn(1, rows, 30)
    wanted = functional.linear(x, linear.weight, linear.bias)
    with torch.no_grad(), Products().fast(linear):
        found = linear(x)
    assert found.is_contiguous()
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    assert bool(always) == (rows <= 128)


def test_the_models_logits_stay_and_its_modules_are_put_back(always):
    model = random_model("qwen2")  # with biases
    ids = torch.tensor([PROMPTS[0]])
    with torch.no_grad(), merged(model):
        wanted = model(input_ids=ids).logits
        with Products().fast(model):
            found = model(input_ids=ids).logits
        assert torch.equal(model(input_ids=ids).logits, wanted)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert len(always) >= 3
    assert not any("forward" in m.__dict__ for m in model.modules())


def test_an_adapter_that_is_not_merged_still_counts(always):
    model = random_model("llama")
    ids = torch.tensor([PROMPTS[0]])
    with torch.no_grad():
        wanted = model(input_ids=ids).logits
        with Products().fast(model):
            found = model(input_ids=ids).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_other_bits_are_never_chosen(monkeypatch):
    linear = torch.nn.Linear(30, 50)
    x = torch.randn(1, 20, 30)
    monkeypatch.setattr(products, "_WORTH_IT", 0.0)  # any time will do
    with torch.no_grad():
        monkeypatch.setattr(products, "_turned", lambda lin, x: functional.linear(x, lin.weight))
        assert not products._pays(linear, x)
        monkeypatch.setattr(
            products, "_turned", lambda lin, x: functional.linear(x, lin.weight, lin.bias)
        )
        assert products._pays(linear, x)


def test_samples_are_the_same_turned_round(always):
    model = random_model("llama")
    requests = [request(p, 8) for p in PROMPTS]
    turned = draw_samples(model, requests)
    assert always
    always.clear()
    products._ROWS = (1000, 1000)  # type: ignore[attr-defined]
    plain = draw_samples(model, requests)
    assert not always
    assert [[s.ids for s in g] for g in turned] == [[s.ids for s in g] for g in plain]
