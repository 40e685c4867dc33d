"""What llama.cpp says of the tiny model is what transformers says of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tiny_gguf import Trained

from minirl.errors import ModelError
from minirl.export.llama import LlamaServer
from minirl.export.llama.client import LEAST_SHARE
from minirl.types import StopReason

END = 2  # <|im_end|>
TEXT = "<|im_start|>user\nWhat is 345 + 0?<|im_end|>\n<|im_start|>assistant\nAnswer: 345<|im_end|>"


def logprobs_of(trained: Trained, ids: list[int], temperature: float = 1.0) -> np.ndarray:
    """(T, V): after each token, the next."""
    import torch

    with torch.inference_mode():
        logits = trained.model(input_ids=torch.tensor([ids])).logits[0]
    return torch.log_softmax(logits.double() / temperature, -1).numpy()


@pytest.fixture
def prompt(served: LlamaServer) -> list[int]:
    return served.tokenize(TEXT.partition("Answer")[0])


def test_words(served: LlamaServer, trained: Trained) -> None:
    assert served.tokenize(TEXT) == trained.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    messages = [{"role": "user", "content": "What is 345 + 0?"}]
    assert served.apply_template(messages) == TEXT.partition("Answer")[0]
    assert (served.vocabulary, served.context, served.parallel) == (100, 512, 3)


def test_next_tokens_are_those_of_transformers(served: LlamaServer, trained: Trained) -> None:
    ids = served.tokenize(TEXT)
    prefixes = [ids[:n] for n in range(1, len(ids) + 1)]
    assert len(prefixes) > 2 * LEAST_SHARE  # so that they are shared out over the slots
    found = served.next_tokens(prefixes, 10)
    rows = logprobs_of(trained, ids)
    for row, after in zip(rows, found, strict=True):
        assert after.logprobs == pytest.approx(row[list(after.ids)], abs=1e-4)
        assert after.logprobs == pytest.approx(sorted(row, reverse=True)[:10], abs=1e-4)
    again = served.next_tokens(prefixes[::-1], 10)[::-1]  # without the cache's help
    for one, other in zip(found, again, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_next_tokens_are_of_the_whole_softmax(served: LlamaServer, prompt: list[int]) -> None:
    (everything,) = served.next_tokens([prompt], 1000)
    assert sorted(everything.ids) == list(range(100))
    assert math.fsum(map(math.exp, everything.logprobs)) == pytest.approx(1.0, abs=1e-5)
    (some,) = served.next_tokens([prompt], 5)
    assert some.logprobs == pytest.approx(everything.logprobs[:5], abs=1e-5)


def test_next_tokens_want_a_prefix(served: LlamaServer) -> None:
    assert served.next_tokens([], 5) == []
    with pytest.raises(ValueError, match="at least one token"):
        served.next_tokens([[1], []], 5)


def test_greedy_takes_the_likeliest_until_the_turn_is_closed(
    served: LlamaServer, trained: Trained, prompt: list[int]
) -> None:
    done = served.complete(prompt, max_tokens=40, temperature=0, seed=0)
    assert done.ids[-1] == END
    assert END not in done.ids[:-1]
    assert done.stop is StopReason.EOS
    rows = logprobs_of(trained, [*prompt, *done.ids])[len(prompt) - 1 : -1]
    assert tuple(rows.argmax(-1)) == done.ids
    assert done.logprobs == pytest.approx(rows.max(-1), abs=1e-4)
    short = served.complete(prompt, max_tokens=3, temperature=0, seed=0)
    assert (short.ids, short.stop) == (done.ids[:3], StopReason.LENGTH)


@pytest.mark.parametrize(
    ("temperature", "cut"),
    [
        (1.0, {}),
        (1.0, {"top_p": 0.9, "top_k": 20}),
        (0.6, {}),
        (1.6, {}),
        (0.6, {"top_p": 0.9}),
        (1.6, {"top_k": 20}),
    ],
)
def test_logprobs_are_under_the_temperature_and_before_the_cut(
    served: LlamaServer, trained: Trained, prompt: list[int], temperature: float, cut: dict
) -> None:
    done = served.complete(prompt, max_tokens=12, temperature=temperature, seed=5, **cut)
    rows = logprobs_of(trained, [*prompt, *done.ids], temperature)[len(prompt) - 1 : -1]
    wanted = [row[token] for row, token in zip(rows, done.ids, strict=True)]
    assert done.logprobs == pytest.approx(wanted, abs=1e-4)


def test_a_seed_decides(served: LlamaServer, prompt: list[int]) -> None:
    def ids(seed: int) -> tuple[int, ...]:
        return served.complete(prompt, max_tokens=8, temperature=1.5, seed=seed).ids

    assert ids(7) == ids(7) == ids(7 + 2**32)
    assert len({ids(seed) for seed in range(8)}) > 4


def test_sampling_is_neutral(served: LlamaServer, trained: Trained, prompt: list[int]) -> None:
    """llama.cpp's own defaults (top-k 40, top-p .95, min-p .05) would never draw the tail."""

    def first(seed: int, _: int) -> int:
        return served.complete(prompt, max_tokens=1, temperature=1.5, seed=seed).ids[0]

    drawn = served.each(first, range(300))
    p = np.exp(logprobs_of(trained, prompt, 1.5)[-1])
    tail = p < 0.05 * p.max()
    expected = p[tail].sum()
    assert expected > 0.05
    spread = 4 * math.sqrt(expected * (1 - expected) / len(drawn))
    assert np.mean([tail[i] for i in drawn]) == pytest.approx(expected, abs=spread)


@pytest.mark.parametrize(("temperature", "cut"), [(0.0, {}), (0.7, {}), (0.7, {"top_p": 0.9})])
def test_what_llama_cpp_leaves_out_is_asked_for_again(
    served: LlamaServer,
    prompt: list[int],
    monkeypatch: pytest.MonkeyPatch,
    temperature: float,
    cut: dict,
) -> None:
    def complete() -> tuple[float, ...]:
        return served.complete(
            prompt, max_tokens=6, temperature=temperature, seed=1, **cut
        ).logprobs

    whole = complete()
    ask = served._complete

    def with_a_gap(prompt, asked):  # as for a token that ends within a character
        answer = ask(prompt, asked)
        if asked["n_predict"] > 1:
            del answer["completion_probabilities"][1]
        return answer

    monkeypatch.setattr(served, "_complete", with_a_gap)
    assert complete() == pytest.approx(whole, abs=1e-4)


def test_chat_comes_in_pieces(served: LlamaServer, trained: Trained) -> None:
    messages = [{"role": "user", "content": "What is 345 + 0?"}]
    pieces = list(served.chat(messages, max_tokens=30, temperature=0, seed=0))
    prompt = served.tokenize(served.apply_template(messages))
    greedy = served.complete(prompt, max_tokens=30, temperature=0, seed=0)
    assert len(pieces) > 5
    assert "".join(pieces) == trained.tokenizer.decode(greedy.ids, skip_special_tokens=True)


def test_a_refusal_is_an_error_in_words(served: LlamaServer) -> None:
    with pytest.raises(ModelError, match="refuses /completion") as caught:
        served.complete([5] * 600, max_tokens=1, temperature=0, seed=0)
    assert "exceeds the available context size" in str(caught.value)
    long = [{"role": "user", "content": "a" * 600}]
    with pytest.raises(ModelError, match="refuses /v1/chat/completions"):
        list(served.chat(long, max_tokens=1, temperature=0, seed=0))
