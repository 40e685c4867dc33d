"""The plain way to sample: transformers' own attention and cache.

For models that do not fit minirl's (:mod:`minirl.models.decoding.fit`). Each distinct prompt is
computed once and its keys and values copied for every row; finished rows leave the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from minirl.models.decoding.drawing import Dice, SamplingParams, draw
from minirl.types import Request, Sample, StopReason


def row_numbers(requests: Sequence[Request], rows: Sequence[int]) -> list[int]:
    """The number of every sample, where ``rows`` holds that of each request's first."""
    return [first + i for r, first in zip(requests, rows, strict=True) for i in range(r.n)]


def left_pad(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, both (rows, longest), padded on the left."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask[i, longest - len(row) :] = 1
    return ids.to(device), mask.to(device)


@contextmanager
def contiguous_head(model: Any) -> Iterator[None]:
    """Within the block, the head sees contiguous hidden states.

    ``logits_to_keep`` hands it a strided slice, for which torch 2.13's CPU matmul copies the whole
    head matrix once a row: 3.6 GB for 64 rows of a 49,152-token vocabulary.
    """
    hook = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: (inputs[0].contiguous(), *inputs[1:])
    )
    try:
        yield
    finally:
        hook.remove()


def sample_plainly(
    model: Any,
    requests: Sequence[Request],
    params: SamplingParams,
    *,
    eos_ids: frozenset[int],
    pad_id: int,
    seed: int,
    rows: Sequence[int],
) -> list[list[Sample]]:
    """Draw ``request.n`` continuations for each request, as one batch.

    Args:
        seed, rows: of the random numbers; ``rows`` numbers the first sample of each request.

    Returns:
        For each request its samples, in order.
    """
    dice = Dice(seed, row_numbers(requests, rows), max(r.max_tokens for r in requests))
    with torch.inference_mode(), contiguous_head(model):
        return _sample(model, requests, params, eos_ids, pad_id, dice)


def _sample(
    model: Any,
    requests: Sequence[Request],
    params: SamplingParams,
    eos_ids: frozenset[int],
    pad_id: int,
    dice: Dice,
) -> list[list[Sample]]:
    from transformers import DynamicCache

    device = model.device
    distinct: dict[tuple[int, ...], int] = {}
    for request in requests:
        distinct.setdefault(request.prompt_ids, len(distinct))
    source = [distinct[r.prompt_ids] for r in requests for _ in range(r.n)]
    limits = [r.max_tokens for r in requests for _ in range(r.n)]

    ids, mask = left_pad(list(distinct), pad_id, device)  # (P, S)
    cache = DynamicCache(config=model.config)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    pick = torch.tensor(source, device=device)
    cache.batch_select_indices(pick)
    logits = out.logits[:, -1][pick]  # (B, V)
    mask = mask[pick]
    position = mask.sum(1)  # (B,) position of the next token
    padded = not bool(mask.all())

    rows = list(range(len(source)))  # which sample each live batch row belongs to
    drawn: list[list[int]] = [[] for _ in rows]
    logps: list[list[float]] = [[] for _ in rows]
    stops = [StopReason.LENGTH] * len(rows)
    while True:
        thrown = dice.at(len(drawn[rows[0]]), rows)
        tokens, logp = draw(logits, params, thrown)
        alive = []
        for at, (row, token, lp) in enumerate(
            zip(rows, tokens.tolist(), logp.tolist(), strict=True)
        ):
            drawn[row].append(token)
            logps[row].append(lp)
            if token in eos_ids:
                stops[row] = StopReason.EOS
            elif len(drawn[row]) < limits[row]:
                alive.append(at)
        if not alive:
            break
        if len(alive) < len(rows):
            keep = torch.tensor(alive, device=device)
            cache.batch_select_indices(keep)
            tokens, mask, position = tokens[keep], mask[keep], position[keep]
            rows = [rows[at] for at in alive]
        if padded:
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        out = model(
            input_ids=tokens[:, None],
            attention_mask=mask if padded else None,
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        logits = out.logits[:, -1]
        position = position + 1

    samples = iter(
        Sample(tuple(i), tuple(lp), stop) for i, lp, stop in zip(drawn, logps, stops, strict=True)
    )
    return [[next(samples) for _ in range(r.n)] for r in requests]
