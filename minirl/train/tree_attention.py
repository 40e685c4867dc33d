"""Attention along a :class:`~minirl.train.tree.TokenTree`, in transformers' own modules.

transformers looks the attention function up by a name in the model's config, and hands it the
keywords of the model's call. So a model runs over a tree without a line of its code changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from minirl.train.tree import TokenTree

NAME = "minirl_tree"


def tree_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    token_tree: TokenTree,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention contract for one row of N nodes: query (1, heads, N, d), key and
    value (1, fewer heads, N, d); returns (1, N, heads, d).

    Raises:
        NotImplementedError: the model wants capped scores, attention sinks or dropout.
    """
    if softcap is not None or s_aux is not None or dropout:
        raise NotImplementedError("capped attention scores, sinks or dropout")
    token_tree.asked += 1
    heads, groups = query.size(1), key.size(1)
    query = query.unflatten(1, (groups, heads // groups)).squeeze(0)  # (groups, heads of it, N, d)
    outputs = []
    for block in token_tree.blocks:
        (start, stop), mask = block.queries, token_tree.mask(block, sliding_window, query.dtype)
        outputs.append(
            scaled_dot_product_attention(
                query[:, :, start:stop],
                _runs(key, block.keys, heads // groups),
                _runs(value, block.keys, heads // groups),
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
            )
        )
    return torch.cat(outputs, dim=2).flatten(0, 1).transpose(0, 1)[None], None


def _runs(x: torch.Tensor, runs: tuple[tuple[int, int], ...], heads: int) -> torch.Tensor:
    """Some nodes of keys or values (1, groups, N, d), seen by each head: (groups, heads, n, d)."""
    parts = [x[0, :, None, start:stop] for start, stop in runs]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return whole.expand(-1, heads, -1, -1)


@contextmanager
def attending_by_tree(config: Any) -> Iterator[None]:
    """Within the block, models of this config (and its parts) attend along the tree that their
    call names as ``token_tree``.
    """
    AttentionInterface.register(NAME, tree_attention)
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
