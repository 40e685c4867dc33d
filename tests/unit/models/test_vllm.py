"""Sampling through vLLM's engine: what is asked of it, and what is made of its answers.

The engine is a stand-in that keeps to vLLM's interface (``LLM.generate``, ``RequestOutput``,
``CompletionOutput``, ``Logprob``); the real one needs a card: ``tests/gpu``.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from minirl.models.sampler import SamplingParams
from minirl.models.vllm import VllmSampler
from minirl.types import Request, StopReason, Task

EOS = 2


class Engine:
    """Answers each request with its prompt's first token, n times, and an end of turn."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.slept: list[int] = []

    def generate(self, prompts: Any, *, sampling_params: Any, **rest: Any) -> list[Any]:
        self.calls.append({"prompts": prompts, "params": sampling_params, **rest})
        return [
            SimpleNamespace(outputs=[self._answer(p, s, i) for i in range(s.n)])
            for p, s in zip(prompts, sampling_params, strict=True)
        ]

    def _answer(self, prompt: Any, params: Any, at: int) -> Any:
        first = prompt["prompt_token_ids"][0]
        ids = [first] * params.max_tokens if at else [first, EOS]
        logprobs = [{t: SimpleNamespace(logprob=-0.5 * (k + 1))} for k, t in enumerate(ids)]
        return SimpleNamespace(token_ids=ids, logprobs=logprobs)

    def sleep(self, level: int) -> None:
        self.slept.append(level)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    stub = ModuleType("vllm")
    stub.SamplingParams = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", stub)
    lora = lambda name, load_tensors: ("adapter", name, load_tensors)  # noqa: E731
    return SimpleNamespace(vllm_engine=Engine(), load_lora=lora)


def draw(model: Any, *, use_adapter: bool = True, seed: int = 0, standby: bool = False) -> Any:
    requests = [Request((t, 8, 9), 2, 3, Task("none", "train", 0, ())) for t in (5, 6)]
    sampler = VllmSampler(standby=standby)
    with sampler.session(model, use_adapter=use_adapter, batch=8) as go:
        return go(
            requests,
            (0, 2),
            SamplingParams(0.7, 0.9, 0),
            seed=seed,
            eos_ids=frozenset({EOS, 7}),
            pad_id=0,
        )


def test_tokens_go_in_and_tokens_come_out(model):
    (first, cut), (second, _) = draw(model)
    assert (first.ids, first.logprobs, first.stop) == ((5, EOS), (-0.5, -1.0), StopReason.EOS)
    assert (cut.ids, cut.logprobs) == ((5, 5, 5), (-0.5, -1.0, -1.5))
    assert cut.stop is StopReason.LENGTH
    assert second.ids == (6, EOS)


def test_what_is_asked_of_the_engine(model):
    draw(model)
    (call,) = model.vllm_engine.calls
    assert call["prompts"] == [{"prompt_token_ids": [t, 8, 9]} for t in (5, 6)]
    assert call["lora_request"] == ("adapter", "minirl_policy", True)  # from memory, as it is now
    for params in call["params"]:
        assert (params.n, params.max_tokens, params.logprobs) == (2, 3, 0)
        assert (params.temperature, params.top_p, params.top_k) == (0.7, 0.9, -1)
        assert params.stop_token_ids == [EOS, 7]


def test_the_base_is_played_without_an_adapter(model):
    draw(model, use_adapter=False)
    assert model.vllm_engine.calls[0]["lora_request"] is None


def test_the_seed_decides_and_neighbours_lie_far_apart(model):
    for seed in (0, 0, 1):
        draw(model, seed=seed)
    a, b, c = ([p.seed for p in call["params"]] for call in model.vllm_engine.calls)
    assert a == b
    assert not set(a) & set(c)
    assert abs(a[0] - a[1]) > 10_000
    assert all(0 <= s < 2**63 for s in a + c)


@pytest.mark.parametrize("standby", [True, False])
def test_standby_gives_the_memory_back_even_after_a_failure(model, standby):
    draw(model, standby=standby)
    with (
        pytest.raises(RuntimeError, match="x"),
        VllmSampler(standby=standby).session(model, use_adapter=True, batch=8),
    ):
        raise RuntimeError("x")
    assert model.vllm_engine.slept == ([1, 1] if standby else [])
