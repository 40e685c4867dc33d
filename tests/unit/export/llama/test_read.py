"""Answers of llama.cpp that are wrong are recognised, and estimates are close."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minirl.errors import ModelError
from minirl.export.llama.client import chains
from minirl.export.llama.read import Scale, read_completion, read_next, tempered


def answer(*logprobs: float | None) -> dict:
    shown = [{"id": i, "logprob": lp} for i, lp in enumerate(logprobs)]
    return {"completion_probabilities": [{"id": 0, "logprob": 0.0, "top_logprobs": shown}]}


def test_a_distribution() -> None:
    found = read_next(answer(-0.1, -3.0), 2)
    assert (found.ids, found.logprobs) == ((0, 1), (-0.1, -3.0))


@pytest.mark.parametrize(
    "wrong",
    [answer(-0.1), answer(-3.0, -0.1), answer(0.5, -1.0), answer(math.nan, math.nan), {}],
    ids=["too few", "not falling", "above 1", "NaN", "nothing"],
)
def test_what_is_no_distribution(wrong: dict) -> None:
    with pytest.raises(ModelError, match="no distribution"):
        read_next(wrong, 2)


def test_logprobs_of_other_tokens() -> None:
    shown = [{"id": 4, "logprob": -1.0}, {"id": 9, "logprob": -1.0}]
    given = {"tokens": [4, 5], "completion_probabilities": shown, "stop_type": "eos"}
    with pytest.raises(ModelError, match="do not belong"):
        read_completion(given, Scale())


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.3])
def test_a_tempered_logprob_from_the_likeliest(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0, 3, 2000)
    plain = np.sort(logits - np.log(np.exp(logits).sum()))[::-1]
    scaled = plain / temperature
    true = scaled - np.log(np.exp(scaled).sum())
    exact = tempered(plain[3], plain.tolist(), temperature, len(plain))
    assert exact == pytest.approx(true[3], abs=1e-9)
    estimate = tempered(plain[3], plain[:256].tolist(), temperature, len(plain))
    assert estimate == pytest.approx(true[3], abs=0.1)


def test_chains() -> None:
    text = [1, 2, 3, 4, 5]
    grown = [text[:n] for n in range(1, 6)]
    assert chains(grown, 10) == [grown]
    assert chains(grown, 2) == [grown[:2], grown[2:4], grown[4:]]
    assert chains([[1, 2], [3], [3, 4]], 10) == [[[1, 2]], [[3], [3, 4]]]
