"""The tree of tokens against what it stands for: rows, and who may attend to whom."""

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

from minirl.models import tree as tree_module
from minirl.models.attention import attending_by_tree
from minirl.models.tree import TokenTree, count_nodes, token_tree
from minirl.train.shared import cut, shared_logprobs, why_not

# Few different tokens, so that rows often begin alike, are equal, or begin one another.
ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=8)


@given(ROWS)
def test_holds_every_row_and_each_beginning_once(rows: list[list[int]]) -> None:
    tree = token_tree(rows)
    for row, path in zip(rows, tree.rows, strict=True):
        assert tree.tokens[path].tolist() == row
        assert tree.depth[path].tolist() == list(range(len(row)))
        assert tree.parent[path].tolist() == [-1, *path[:-1].tolist()]
    beginnings = {tuple(row[:n]) for row in rows for n in range(1, len(row) + 1)}
    assert len(tree) == count_nodes(rows) == len(beginnings)


def _attends(tree: TokenTree, window: int | None = None) -> torch.Tensor:
    """(N, N): whether a node attends to another, as the blocks and their masks say."""
    seen = torch.zeros(len(tree), len(tree), dtype=torch.bool)
    for block in tree.blocks:
        start, stop = block.queries
        keys = torch.cat([torch.arange(a, b) for a, b in block.keys])
        mask = tree.mask(block, window, torch.float32)
        if mask is None:
            assert keys.tolist() == list(range(start, stop))
            allowed = torch.ones(stop - start, stop - start).tril().bool()
        else:
            allowed = mask == 0
        for query, row in zip(range(start, stop), allowed, strict=True):
            assert not seen[query].any(), "a query in two blocks"
            seen[query, keys[row]] = True
    return seen


@pytest.mark.parametrize("window", [None, 3])
@given(rows=ROWS, block=st.integers(1, 12), trunk=st.integers(1, 4))
def test_a_node_attends_to_its_own_rows_alone(
    rows: list[list[int]], block: int, trunk: int, window: int | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "BLOCK", block)
        patch.setattr(tree_module, "TRUNK", trunk)
        tree = token_tree(rows)
    expected = torch.zeros(len(tree), len(tree), dtype=torch.bool)
    for path in tree.rows:
        for depth, node in enumerate(path):
            first = 0 if window is None else max(0, depth + 1 - window)
            expected[node, path[first : depth + 1]] = True
    assert torch.equal(_attends(tree, window), expected)


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
    with torch.no_grad(), attending_by_tree(model):
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
    said = why_not(mamba)
    assert said == "not all of its layers attend as transformers' attention does (0 of 1)"
