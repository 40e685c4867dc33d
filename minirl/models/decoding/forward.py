"""A transformers model run over packed tokens, with minirl's own attention.

The modules stay as they are. Their attention is a function that transformers looks up by name, and
models hand it every further keyword of their ``forward``: so it learns of the pass that it is in.
A name without a mask function makes transformers build no mask at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from minirl.models.attention import attending_with
from minirl.models.decoding.passes import Extend, Pass, Prefill

NAME = "minirl_rows"  # of the attention function, among transformers' own


class UnfitError(Exception):
    """This model's attention asks for something that :mod:`minirl.models.decoding` cannot do."""


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


@contextmanager
def own_attention(model: torch.nn.Module) -> Iterator[None]:
    """Within the block, the model attends with minirl's function."""
    with attending_with(model, NAME, _attention):
        yield


def prefill(model: Any, step: Prefill) -> Tensor:
    """Compute the prompts; the logits after each, (P, V)."""
    return _run(model, step, step.ids, step.positions, step.last)


def extend(model: Any, step: Extend, ids: Tensor) -> Tensor:
    """Compute the rows' new tokens ``ids`` (N,); the logits after each row's last, (R, V)."""
    positions = (step.prompt_lengths + step.before)[step.row] + step.rank
    if step.most == 1:
        last = step.row
    else:
        ends = torch.bincount(step.row, minlength=len(step.before)).cumsum(0)
        last = ends - 1
    return _run(model, step, ids, positions, last)


def _run(model: Any, step: Pass, ids: Tensor, positions: Tensor, keep: Tensor) -> Tensor:
    logits: Tensor = model(
        input_ids=ids[None],
        position_ids=positions[None],
        use_cache=False,
        # As an index: of a strided slice, torch 2.13's CPU matmul would copy the whole head matrix
        # once a row, 3.6 GB for 64 rows of a 49,152-token vocabulary.
        logits_to_keep=keep,
        minirl_pass=step,
    ).logits
    return logits[0]
