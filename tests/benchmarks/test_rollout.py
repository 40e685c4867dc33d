"""`benchmarks.rollout`: every side writes the same number of tokens, and the table adds up."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from benchmarks import rollout

SIZES = ["--model", "tiny", "--batch", "4", "--group-size", "2", "--tokens", "6"]


@pytest.fixture(scope="module")
def loaded(tiny_cache: Path) -> Any:
    return rollout.load(_chosen())


def _chosen(*words: str) -> Namespace:
    return rollout.parse([*SIZES, "--prompt", "30", "--repeats", "3", *words])


def test_each_side_writes_exactly_what_is_asked_for(loaded: Any) -> None:
    model, policy = loaded
    prompts = rollout.prompts_of(policy, 2, 30)
    assert [len(p) for p in prompts] == [30, 30]
    assert prompts[0] != prompts[1]
    for work in (rollout.with_minirl(policy), rollout.with_generate(model)):
        assert work(prompts, 2, 6) == 2 * 2 * 6


def test_no_end_of_turn_ends_a_row(loaded: Any) -> None:
    """The tiny model closes its turn within 20 tokens on its own tasks."""
    from minirl.envs import make_env
    from minirl.models.tiny import OPTIONS

    model, policy = loaded
    env = make_env("arithmetic", OPTIONS)
    prompts = [policy.encode_open(env.task("train", i).prompt) for i in range(2)]
    for work in (rollout.with_minirl(policy), rollout.with_generate(model)):
        assert work(prompts, 4, 20) == 2 * 4 * 20


def test_the_adapter_changes_the_model(loaded: Any) -> None:
    import torch

    from minirl.models.merge import adapter_off

    model, policy = loaded
    ids = torch.tensor(rollout.prompts_of(policy, 1, 30))
    with torch.no_grad():
        tuned = model.model(input_ids=ids).logits
        with adapter_off(model.model):
            base = model.model(input_ids=ids).logits
    assert (tuned - base).abs().max() > 1e-3


def test_sides_take_turns() -> None:
    took: list[str] = []

    def side(name: str) -> rollout.Work:
        return lambda prompts, n, tokens: took.append(name) or 12

    rates = rollout.measure({"a": side("a"), "b": side("b")}, [(1,)], 2, 6, 3)
    assert took == ["a", "b", "a", "b", "b", "a", "a", "b"]  # the first two are the warm-up
    assert {name: len(r) for name, r in rates.items()} == {"a": 3, "b": 3}


def test_table_is_made_of_the_rates(
    loaded: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rates.json"
    words = [*SIZES, "--prompt", "30", "--repeats", "3", "--no-llama", "--json", str(out)]
    assert rollout.main(words) == 0
    shown = capsys.readouterr().out
    (result,) = json.loads(out.read_text())["results"]
    ours, stock = result["rates"][rollout.OURS], result["rates"][rollout.STOCK]
    assert len(ours) == len(stock) == 3
    ratio = median(a / b for a, b in zip(ours, stock, strict=True))
    assert f"| {ratio:.2f} [" in shown
    assert f"| {median(stock):.0f} [{min(stock):.0f}, {max(stock):.0f}] |" in shown
    roof = result["roofline"]
    least = roof["prefill"] + 5 * roof["token"]  # the prefill gives the first token
    assert f"roofline: products alone | {4 * 6 / least:.0f} |" in shown


def test_roofline_counts_every_weight_once(loaded: Any) -> None:
    from benchmarks.roofline import layer_weights, roofline

    model = loaded[0].model
    weights = layer_weights(model)
    assert len(weights) == 2 * 7  # q, k, v, o, gate, up and down of two layers
    embedding = model.get_input_embeddings().weight
    bare = sum(p.numel() for n, p in model.named_parameters() if "lora_" not in n and p.dim() == 2)
    assert sum(w.numel() for w in weights) + embedding.numel() == bare  # the head is tied to it
    little = roofline(model, prompts=1, length=8, rows=2, tokens=4)
    many = roofline(model, prompts=1, length=8, rows=64, tokens=4)
    assert many.written == 256
    assert many.token > little.token
    assert many.rate > little.rate > little.rate_with_cache
    kept = 2 * 2 * 32 * 2 * 4  # keys and values, heads, width, layers, bytes
    assert little.cache * little.bandwidth == pytest.approx(2 * kept * (9 + 10 + 11))


@pytest.mark.slow
def test_llama_writes_as_many(loaded: Any) -> None:
    from minirl.errors import MissingExtraError
    from minirl.export.converter import find_converter

    try:
        find_converter()
    except MissingExtraError as missing:
        pytest.skip(str(missing))
    model, policy = loaded
    refresh: dict[str, float] = {}
    with rollout.with_llama(_chosen(), model, refresh) as served:
        assert len(served) == 3
        assert refresh.keys() == served.keys()
        for work in served.values():
            assert work(rollout.prompts_of(policy, 2, 30), 2, 6) == 2 * 2 * 6
