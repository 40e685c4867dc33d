"""Drawing tokens from logits, with random numbers that belong to the row alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BLOCK = 256  # probabilities that are summed before they are cumulated
_TOP = 1024  # probabilities that are sorted first for top-p; all of them where these do not do


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to draw tokens. ``temperature`` 0 is greedy; ``top_k`` 0 and ``top_p`` 1 are off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


def throw(seed: int, row: int, most: int) -> NDArray[np.float64]:
    """``most`` numbers in [0, 1): the random numbers of one row, the k-th for its k-th token.

    What a row draws depends on (seed, row) alone, and not on how many rows are sampled at once or
    on which of them have ended: the batch may follow the memory, and the backend the machine.
    """
    return np.random.Generator(np.random.Philox(key=[seed, row])).random(most)


class Dice:
    """The random numbers of some rows that are drawn in step."""

    def __init__(self, seed: int, rows: Sequence[int], most: int) -> None:
        """Throw ``most`` numbers in [0, 1) for each of ``rows``."""
        self._thrown = np.stack([throw(seed, row, most) for row in rows])  # (rows, most)

    def at(self, token: int, rows: Sequence[int] | slice = slice(None)) -> Tensor:
        """The numbers for token ``token`` of some rows (places in the list given), fp64."""
        return torch.from_numpy(self._thrown[rows, token])


def draw(
    logits: Tensor, params: SamplingParams, thrown: Tensor, of: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One token a row, and its log-probability.

    Args:
        logits: (states, vocabulary).
        thrown: (rows,) numbers in [0, 1), fp64: each picks the token at that share of the
            cumulated probabilities.
        of: (rows,) the state that each row draws from; without it, each from its own.

    Returns:
        ids (rows,) and log-probabilities (rows,) under softmax(logits / temperature), before top-k
        and top-p cut the tail, which is what the trainer computes for the same tokens. Greedy
        reports the log-probability at temperature 1.
    """
    logits = logits.float()
    if params.temperature > 0 and params.temperature != 1:
        logits = logits / params.temperature
    if of is None:
        of = torch.arange(len(logits), device=logits.device)
    thrown = thrown.to(logits.device)
    top, best = logits.max(dim=-1)
    weights = torch.sub(logits, top[:, None]).exp_()  # probabilities, not yet divided by their sum
    sums = _block_sums(weights)  # (states, blocks)
    if params.temperature == 0:
        ids = best[of]
    elif params.top_k or params.top_p < 1:
        kept, order = _tail_cut(weights, params)
        at, _ = _pick(kept[of], thrown)
        ids = order[of, at]
    else:
        ids = _pick_in_blocks(weights, sums, thrown, of)
    return ids, logits[of, ids] - (top + sums.sum(dim=-1).log())[of]


def _block_sums(weights: Tensor) -> Tensor:
    """Sums over blocks of neighbours; the last block may be shorter. (rows, blocks)"""
    size = weights.size(1)
    whole = size - size % _BLOCK
    sums: Tensor = weights[:, :whole].unflatten(1, (whole // _BLOCK, _BLOCK)).sum(dim=-1)
    if whole == size:
        return sums
    return torch.cat([sums, weights[:, whole:].sum(dim=-1, keepdim=True)], dim=1)


def _pick_in_blocks(weights: Tensor, sums: Tensor, thrown: Tensor, of: Tensor) -> Tensor:
    """As :func:`_pick` over whole states, of which only one block is cumulated."""
    block, rest = _pick(sums[of], thrown)
    size = weights.size(1)
    places = block[:, None] * _BLOCK + torch.arange(_BLOCK, device=weights.device)
    inner = weights[of[:, None], places.clamp(max=size - 1)].masked_fill_(places >= size, 0.0)
    at, _ = _pick(inner, rest)
    return block * _BLOCK + at


def _pick(weights: Tensor, thrown: Tensor) -> tuple[Tensor, Tensor]:
    """Per row, the place at the share ``thrown`` of the cumulated weights, and the share of that
    place's own weight at which it lies. A place of weight 0 is never picked.
    """
    cumulated = weights.cumsum(dim=-1, dtype=torch.float64)
    total = cumulated[:, -1:]
    target = thrown[:, None] * total
    place = torch.searchsorted(cumulated, target, right=True)  # the first that exceeds the target
    # Rounding may lift the target to the total: then it is the last place with weight.
    last = torch.searchsorted(cumulated, total.contiguous())
    place = torch.minimum(place, last).clamp(max=weights.size(1) - 1)
    own = weights.gather(1, place).double()
    rest = (target - (cumulated.gather(1, place) - own)) / own
    return place.squeeze(1), rest.squeeze(1).clamp(0.0, 1.0)


def _tail_cut(weights: Tensor, params: SamplingParams) -> tuple[Tensor, Tensor]:
    """What top-k and top-p leave: weights, the largest first, and the ids they belong to. What is
    cut is 0.

    Args:
        weights: (rows, vocabulary), proportional to probabilities.
    """
    size = weights.size(1)
    most = min(params.top_k or _TOP, size)
    top, order = weights.topk(most, dim=-1)
    if params.top_p >= 1:
        return top, order
    total = top.sum(dim=-1) if params.top_k else weights.sum(dim=-1)
    if most < size and not params.top_k and bool((top.sum(dim=-1) < params.top_p * total).any()):
        top, order = weights.sort(dim=-1, descending=True)
    before = top.cumsum(dim=-1) - top  # the token that crosses the threshold stays
    return top * (before < params.top_p * total[:, None]), order
