"""The tree of tokens against what it stands for: rows, and who may attend to whom."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minirl.models import tree as tree_module
from minirl.models.tree import TokenTree, count_nodes, token_tree

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
