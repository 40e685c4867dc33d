"""Attention of minirl's own, in transformers' modules as they are.

transformers looks the attention function up by a name in the model's config, and hands it the
keywords of the model's call. So a model runs over a tree of tokens, or over rows that share their
prompts, without a line of its code changed. For a name that has no mask function, transformers
builds no mask at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from minirl.models.tree import Run, TokenTree

NAME = "minirl"  # of the attention function, among transformers' own
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}


class UnfitError(Exception):
    """A model's attention asks for something that minirl's does not do."""


class Pass(Protocol):
    """What the attention function asks of a forward pass over packed tokens, (1, N) ids; the
    model's call names it as ``minirl_pass``.
    """

    windows: dict[int, int | None]
    """layer -> the sliding window that it was called with"""

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float, window: int | None
    ) -> Tensor:
        """Take the new keys and values (N, KV, D) and let the queries (N, H, D) attend.

        Returns:
            (N, H, D).
        """


@contextmanager
def own_attention(model: torch.nn.Module) -> Iterator[None]:
    """Within the block, the model and its parts attend as the :class:`Pass` of a call says."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attention)
    configs = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    # The internal name: the property's setter would set the configs below it, too.
    field = "_attn_implementation_internal"
    before = [(c, getattr(c, field)) for c in configs.values() if hasattr(c, field)]
    try:
        for config, _ in before:
            setattr(config, field, NAME)
        yield
    finally:
        for config, implementation in before:
            setattr(config, field, implementation)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    minirl_pass: Pass | None = None,
    **other: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query (1, H, N, D), key and value (1, KV, N, D)."""
    asked = [name for name in ("softcap", "s_aux", "position_bias") if other.get(name) is not None]
    if minirl_pass is None or attention_mask is not None or dropout or asked:
        raise UnfitError(f"{type(module).__name__} attends with {asked or 'a mask of its own'}")
    out = minirl_pass.attend(
        int(module.layer_idx),  # type: ignore[arg-type]
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        query.size(-1) ** -0.5 if scaling is None else scaling,
        sliding_window,
    )
    return out[None], None


def unknown_layers(config: Any) -> str | None:
    """What a text config says that speaks against minirl's attention, before it is tried."""
    kinds = set(getattr(config, "layer_types", None) or ()) - _KNOWN_LAYERS
    return f"it has layers of {', '.join(sorted(kinds))}" if kinds else None


def undeclared_windows(config: Any, windows: dict[int, int | None]) -> str | None:
    """Whether a pass was called by every layer, with the sliding window that the text config gives
    it. On few tokens no number would show it.
    """
    layers = range(config.num_hidden_layers)
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * len(layers)
    given = {i: window if kinds[i] == "sliding_attention" else None for i in layers}
    if windows == given:
        return None
    return "not all of its layers attend as transformers' do and say their sliding windows"


@dataclass(frozen=True, slots=True)
class Given:
    """Nodes of a tree that another pass has computed, each with all that stand before it.

    Attributes:
        new: (M,) the other nodes, ascending.
        order: (N,) each node's place among the new ones, followed by the given.
        layers: layer -> keys and values of the given nodes, each (N - M, KV, D).
        hidden: (N - M, hidden) their last states.
    """

    new: Tensor
    order: Tensor
    layers: Mapping[int, tuple[Tensor, Tensor]]
    hidden: Tensor

    def beside(self, computed: Tensor, given: Tensor) -> Tensor:
        """What was computed of the new nodes (M, ...) and of the given, by node: (N, ...)."""
        return torch.cat([computed, given]).index_select(0, self.order)


class Along:
    """A pass along a tree of tokens: of all nodes, or of those that are not given."""

    def __init__(self, tree: TokenTree, given: Given | None = None) -> None:
        self._tree = tree
        self._given = given
        self.windows: dict[int, int | None] = {}

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float, window: int | None
    ) -> Tensor:
        self.windows[layer] = window
        new = None
        if self._given is not None:
            keys, values = self._given.layers[layer]
            k, v = self._given.beside(k, keys), self._given.beside(v, values)
            new = self._given.new
        q, k, v = (x.transpose(0, 1) for x in (q, k, v))
        return attend_along(self._tree, q, k, v, scaling, window, new).transpose(0, 1)


def attend_along(
    tree: TokenTree,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    window: int | None,
    new: Tensor | None = None,
) -> Tensor:
    """Each of M nodes attends to itself and to those before it in its rows.

    Args:
        query: (H, M, D).
        key, value: (KV, N, D) of all nodes, KV a divisor of H.
        scaling: of the scores.
        window: how many tokens back, itself included, a node sees; None for all.
        new: (M,) which nodes attend, ascending; None for all N.

    Returns:
        (H, M, D).
    """
    heads, groups = query.size(0), key.size(0)
    query = query.unflatten(0, (groups, heads // groups))  # (KV, H / KV, M, D)
    outputs = []
    for block in tree.blocks:
        start, stop = block.queries
        if new is None:
            mask = tree.mask(block, window, query.dtype)
        else:
            first, start, stop = start, *(int((new < node).sum()) for node in block.queries)
            if start == stop:
                continue
            all_rows = tree.mask(replace(block, causal=False), window, query.dtype)
            assert all_rows is not None
            mask = all_rows[new[start:stop] - first]
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


def _runs(x: Tensor, runs: tuple[Run, ...], heads: int) -> Tensor:
    """Some nodes of keys or values (KV, N, D), as each head sees them: (KV, heads, n, D)."""
    parts = [x[:, None, start:stop] for start, stop in runs]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return whole.expand(-1, heads, -1, -1)
