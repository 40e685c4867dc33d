"""Log-probabilities along a tree against each row alone; and how rows are cut into parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from minirl.models.attention import own_attention
from minirl.models.tree import count_nodes
from minirl.train.shared import cut, shared_logprobs, why_not

# Few different tokens, so that rows often begin alike, are equal, or begin one another.
ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=8)


@given(rows=ROWS, budget=st.integers(1, 30))
def test_parts_keep_to_the_budget_with_the_fewest_tokens(
    rows: list[list[int]], budget: int
) -> None:
    parts = cut(rows, budget)
    assert sorted(i for part in parts for i in part) == list(range(len(rows)))
    sizes = [count_nodes([rows[i] for i in part]) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert all(n <= budget or len(part) == 1 for n, part in zip(sizes, parts, strict=True))
    assert sum(sizes) <= sum(map(len, rows))
    if count_nodes(rows) <= budget:
        assert len(parts) == 1


def test_a_cut_between_groups_costs_no_prompt_twice() -> None:
    groups = [[[k] * 10 + [9, i] for i in range(4)] for k in range(3)]
    rows = [row for group in groups for row in group]
    parts = cut(rows, 2 * 15 + 5)  # a group has 10 + 1 + 4 nodes
    assert sorted(count_nodes([rows[i] for i in part]) for part in parts) == [15, 30]


def _model(kind: Any, config: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    return kind(
        config(
            vocab_size=40,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            **options,
        )
    )


@pytest.mark.parametrize(
    "model",
    [
        _model(LlamaForCausalLM, LlamaConfig, attention_bias=True, mlp_bias=True),
        _model(MistralForCausalLM, MistralConfig, sliding_window=5),
    ],
)
def test_log_probabilities_are_those_of_each_row_alone(model: Any) -> None:
    g = torch.Generator().manual_seed(1)

    def ids(n: int) -> list[int]:
        return torch.randint(40, (n,), generator=g).tolist()

    start = ids(200)  # longer than a block
    prompts = [start + ids(n) for n in (3, 7, 7)] + [ids(4)]
    rows = [p + ids(4 + i) for p in prompts for i in range(3)]
    rows.append(rows[0])  # twice the same
    lengths = [len(p) for p in prompts for _ in range(3)] + [len(prompts[0])]
    with torch.no_grad(), own_attention(model):
        ours, entropies = shared_logprobs(model, rows, lengths, temperature=0.7)
    theirs, spread = [], []
    for row, length in zip(rows, lengths, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([row])).logits[0, length - 1 : -1] / 0.7
        logp = logits.log_softmax(-1)
        theirs.append(logp.gather(1, torch.tensor(row[length:])[:, None]).squeeze(1))
        spread.append(-(logp.exp() * logp).sum(-1))
    torch.testing.assert_close(ours, torch.cat(theirs), atol=2e-5, rtol=0)
    torch.testing.assert_close(entropies, torch.cat(spread), atol=2e-5, rtol=0)
    assert model.config._attn_implementation == "sdpa"


def test_a_model_that_fits_is_recognised_and_others_are_told() -> None:
    fits = _model(LlamaForCausalLM, LlamaConfig)
    assert why_not(fits) is None
    fits.config.logit_scale = 2.0
    assert why_not(fits) == "its head scales the logits (logit_scale)"

    class Other(LlamaForCausalLM):
        """Has another head than it says."""

        def get_output_embeddings(self) -> Any:
            return torch.nn.Linear(32, 40, bias=False)

    said = why_not(_model(Other, LlamaConfig))
    assert said is not None
    assert said.startswith("a tree of tokens gives other numbers")


def test_a_model_of_another_attention_is_told() -> None:
    mamba = MambaForCausalLM(
        MambaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, state_size=4)
    )
    assert why_not(mamba) == "it has layers of linear_attention"
    model = _model(LlamaForCausalLM, LlamaConfig)
    model.model.layers[1].self_attn.forward = lambda hidden_states, **_: (hidden_states, None)
    assert "not all of its layers attend" in (why_not(model) or "")  # though the numbers agree


def test_a_window_that_the_layers_do_not_say_is_told() -> None:
    """It is longer than the few tokens that are tried, so no number would show it."""
    model = _model(LlamaForCausalLM, LlamaConfig)
    model.config.sliding_window = 100
    assert "sliding windows" in (why_not(model) or "")
    model.config.layer_types = ["chunked_attention"] * 2
    assert why_not(model) == "it has layers of chunked_attention"
