"""Distributions side by side: what is counted, and that it is counted right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from minirl.config import ModelConfig
from minirl.export.llama import Next
from minirl.export.verify.agreement import (
    Agreement,
    ModelNextTokens,
    Text,
    compare,
    distinct_texts,
)
from minirl.models.load import LoadedModel, load_model

TEXTS = [Text((1, 20, 30, 40, 50, 2), (1, 2, 3, 4, 5)), Text((1, 60, 61, 62), (2, 3))]


@pytest.fixture(scope="module")
def loaded(tiny_cache: Path) -> LoadedModel:
    """The tiny model with an adapter that does something."""
    model = load_model(ModelConfig(name="tiny", backend="transformers"), seed=0)
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02, generator=torch.Generator().manual_seed(3))
    return model


class Changed:
    """The same model, its log-probabilities changed before they are handed out."""

    def __init__(
        self, loaded: LoadedModel, change: Callable[[torch.Tensor], torch.Tensor], top: int = 0
    ) -> None:
        self.inner = ModelNextTokens(loaded.model, loaded.device)
        self.change, self.top = change, top

    def next_tokens(self, prefixes: Sequence[Sequence[int]], top: int) -> list[Next]:
        text = Text(tuple(prefixes[-1]), tuple(map(len, prefixes)))
        rows = torch.log_softmax(self.change(self.inner.logprobs(text)), dim=-1)
        best = torch.topk(rows, self.top or top, dim=-1)
        return [
            Next(tuple(i.tolist()), tuple(x.tolist()))
            for x, i in zip(best.values, best.indices, strict=True)
        ]


def found(
    loaded: LoadedModel, change: Callable[[torch.Tensor], torch.Tensor], top: int = 0
) -> Agreement:
    return compare(loaded, Changed(loaded, change, top), TEXTS, seed=0)


def test_a_model_agrees_with_itself(loaded: LoadedModel) -> None:
    same = compare(loaded, ModelNextTokens(loaded.model, loaded.device), TEXTS, seed=0)
    assert same.positions == 7
    assert same.top1.value == 1.0
    assert same.kl.value < 1e-6
    assert same.difference < 1e-4
    assert same.first is None


def test_kl_is_that_of_the_whole_vocabulary(loaded: LoadedModel) -> None:
    """With every token asked for it is exact; with a few, a lower bound."""
    trained = ModelNextTokens(loaded.model, loaded.device)
    rows = torch.cat([trained.logprobs(t) for t in TEXTS]).double()
    cooler = torch.log_softmax(rows / 0.8, dim=-1)
    wanted = float((rows.exp() * (rows - cooler)).sum(-1).mean())
    vocabulary = rows.shape[1]
    assert found(loaded, lambda x: x / 0.8, top=vocabulary).kl.value == pytest.approx(
        wanted, rel=1e-3
    )
    fewer = found(loaded, lambda x: x / 0.8, top=5).kl.value
    assert 0 < fewer <= wanted


def test_the_first_disagreement_is_shown(loaded: LoadedModel) -> None:
    """From the second text on, the likeliest token is banned."""
    seen = 0

    def banned(rows: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen == 1:
            return rows
        return rows.scatter(1, rows.argmax(-1, keepdim=True), -20.0)

    result = found(loaded, banned)
    assert result.top1.value == pytest.approx(5 / 7)
    assert result.top1.low < 5 / 7 < result.top1.high
    assert result.first is not None
    assert (result.first.text, result.first.place) == (1, 2)
    assert result.first.before == loaded.tokenizer.decode([1, 60])
    assert result.first.trained != result.first.exported
    assert result.first.exported_p < 1e-6 < result.first.trained_p
    assert result.difference > 5


def test_places_with_the_same_text_before_them_count_once() -> None:
    texts = distinct_texts([(1, 2, 3, 4), (1, 2, 9, 4), (1, 2, 3, 4), (1, 2, 3, 5, 6)], most=100)
    assert [t.lengths for t in texts] == [(1, 2, 3), (3,), (4,)]
    assert distinct_texts([(1, 2, 3, 4), (5, 6, 7)], most=4) == [
        Text((1, 2, 3, 4), (1, 2, 3)),
        Text((5, 6, 7), (1,)),
    ]
