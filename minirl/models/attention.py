"""Attention of minirl's own, in transformers' modules as they are.

transformers looks the attention function up by a name in the model's config, and hands it the
keywords of the model's call. So a model runs over a tree of tokens, or over rows that share their
prompts, without a line of its code changed. For a name that has no mask function, transformers
builds no mask at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from minirl.models.tree import Run, TokenTree


@contextmanager
def attending_with(
    model: torch.nn.Module, name: str, function: Callable[..., tuple[torch.Tensor, None]]
) -> Iterator[None]:
    """Within the block, the model and its parts attend with ``function``, which has transformers'
    contract and is known to it by ``name``.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(name, function)
    configs = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    # The internal name: the property's setter would set the configs below it, too.
    field = "_attn_implementation_internal"
    before = [(c, getattr(c, field)) for c in configs.values() if hasattr(c, field)]
    try:
        for config, _ in before:
            setattr(config, field, name)
        yield
    finally:
        for config, implementation in before:
            setattr(config, field, implementation)


@contextmanager
def attending_by_tree(model: torch.nn.Module) -> Iterator[None]:
    """Within the block, the model attends along the tree that its call names as ``token_tree``."""
    with attending_with(model, "minirl_tree", _tree_attention):
        yield


def _tree_attention(
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
    """transformers' contract for one row of N nodes: query (1, H, N, D), key and value (1, KV, N,
    D); returns (1, N, H, D).

    Raises:
        NotImplementedError: the model wants capped scores, attention sinks or dropout.
    """
    if softcap is not None or s_aux is not None or dropout:
        raise NotImplementedError("capped attention scores, sinks or dropout")
    token_tree.asked += 1
    out = attend_along(token_tree, query[0], key[0], value[0], scaling, sliding_window)
    return out.transpose(0, 1)[None], None


def attend_along(
    tree: TokenTree,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Each of N nodes attends to itself and to those before it in its rows.

    Args:
        query: (H, N, D).
        key, value: (KV, N, D), KV a divisor of H.
        scaling: of the scores; None for 1 / sqrt(D).
        window: how many tokens back, itself included, a node sees; None for all.

    Returns:
        (H, N, D).
    """
    heads, groups = query.size(0), key.size(0)
    query = query.unflatten(0, (groups, heads // groups))  # (KV, H / KV, N, D)
    outputs = []
    for block in tree.blocks:
        (start, stop), mask = block.queries, tree.mask(block, window, query.dtype)
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
    return torch.cat(outputs, dim=2).flatten(0, 1)


def _runs(x: torch.Tensor, runs: tuple[Run, ...], heads: int) -> torch.Tensor:
    """Some nodes of keys or values (KV, N, D), as each head sees them: (KV, heads, n, D)."""
    parts = [x[:, None, start:stop] for start, stop in runs]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return whole.expand(-1, heads, -1, -1)
