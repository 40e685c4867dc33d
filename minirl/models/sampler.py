"""Sampling from a transformers model: each distinct prompt is prefilled once, finished rows leave
the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from minirl.models.merge import adapter_off, merged
from minirl.types import Request, Sample, StopReason


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to draw tokens. ``temperature`` 0 is greedy; ``top_k`` 0 and ``top_p`` 1 are off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


class Dice:
    """The random numbers of one call for samples.

    What a row draws depends on (seed, row) alone, and not on how many rows are sampled at once or
    on which of them have ended: the batch may follow the memory, and the backend the machine.
    """

    def __init__(self, seed: int, rows: Sequence[int], most: int) -> None:
        """Throw ``most`` numbers in [0, 1) for each of ``rows``."""
        self._thrown = np.stack(
            [np.random.Generator(np.random.Philox(key=[seed, row])).random(most) for row in rows]
        )  # (rows, most)

    def at(self, token: int, rows: Sequence[int] | slice = slice(None)) -> torch.Tensor:
        """The numbers for token ``token`` of some rows (places in the list given), fp64."""
        return torch.from_numpy(self._thrown[rows, token])


class Draw(Protocol):
    """Continues each request ``request.n`` times."""

    def __call__(
        self,
        requests: Sequence[Request],
        rows: Sequence[int],
        params: SamplingParams,
        *,
        eos_ids: frozenset[int],
        pad_id: int,
    ) -> list[list[Sample]]:
        """For each request its samples, in order; ``rows`` numbers each request's first sample."""


def row_numbers(requests: Sequence[Request], rows: Sequence[int]) -> list[int]:
    """The number of every sample, where ``rows`` holds that of each request's first."""
    return [first + i for r, first in zip(requests, rows, strict=True) for i in range(r.n)]


class Sampler(Protocol):
    """A way to sample from a model; each backend has its own.

    Attributes:
        in_batches: whether requests come a batch at a time, or all of them at once.
    """

    in_batches: bool

    def session(self, model: Any, *, use_adapter: bool, seed: int) -> AbstractContextManager[Draw]:
        """The model made ready to sample; ``seed`` and a sample's number decide what it draws."""


class TorchSampler:
    """minirl's own: the adapter merged while it samples, each distinct prompt computed once."""

    in_batches = True

    @contextmanager
    def session(self, model: Any, *, use_adapter: bool, seed: int) -> Iterator[Draw]:
        adapter = merged if use_adapter else adapter_off

        def draw_batch(
            requests: Sequence[Request],
            rows: Sequence[int],
            params: SamplingParams,
            *,
            eos_ids: frozenset[int],
            pad_id: int,
        ) -> list[list[Sample]]:
            return sample(
                model, requests, params, rows=rows, seed=seed, eos_ids=eos_ids, pad_id=pad_id
            )

        with evaluating(model), adapter(model):
            yield draw_batch


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Within the block, the model is in evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


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


def draw(
    logits: torch.Tensor, params: SamplingParams, thrown: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row, and its log-probability.

    Args:
        logits: (rows, vocabulary).
        thrown: (rows,) numbers in [0, 1), fp64: each picks the token at that share of the
            cumulated probabilities. Three times as fast as ``torch.multinomial`` on a CPU.

    Returns:
        ids (rows,) and log-probabilities (rows,) under softmax(logits / temperature), before top-k
        and top-p cut the tail, which is what the trainer computes for the same tokens. Greedy
        reports the log-probability at temperature 1.
    """
    logits = logits.float()
    if params.temperature > 0:
        logits = logits / params.temperature
    normalizer = torch.logsumexp(logits, dim=-1)
    if params.temperature == 0:
        ids = logits.argmax(dim=-1)
    else:
        probs = torch.softmax(logits, dim=-1)
        if params.top_k or params.top_p < 1:
            probs = _cut_tail(probs, params)
        cumulated = probs.cumsum(dim=-1, dtype=torch.float64)
        share = thrown.to(probs.device)[:, None] * cumulated[:, -1:]
        # The first that exceeds the share; a token of probability 0 never does.
        ids = torch.searchsorted(cumulated, share, right=True).squeeze(1)
    return ids, logits.gather(1, ids[:, None]).squeeze(1) - normalizer


def _cut_tail(probs: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    top, order = probs.sort(dim=-1, descending=True)
    keep = torch.ones_like(top, dtype=torch.bool)
    if params.top_k:
        keep[:, params.top_k :] = False
    if params.top_p < 1:  # of what top-k left; the token that crosses the threshold stays
        left = top * keep
        keep &= left.cumsum(dim=-1) - left < params.top_p * left.sum(dim=-1, keepdim=True)
    return torch.zeros_like(probs).scatter(1, order, top * keep)


@contextmanager
def _contiguous_head(model: Any) -> Iterator[None]:
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


def sample(
    model: Any,
    requests: Sequence[Request],
    params: SamplingParams,
    *,
    eos_ids: frozenset[int],
    pad_id: int,
    seed: int = 0,
    rows: Sequence[int] | None = None,
) -> list[list[Sample]]:
    """Draw ``request.n`` continuations for each request, as one batch.

    Args:
        seed, rows: of the random numbers; ``rows`` numbers the first sample of each request, and
            counts them one after another where it is left out.

    Returns:
        For each request its samples, in order.
    """
    if rows is None:
        rows = [sum(r.n for r in requests[:at]) for at in range(len(requests))]
    dice = Dice(seed, row_numbers(requests, rows), max(r.max_tokens for r in requests))
    with torch.inference_mode(), _contiguous_head(model):
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
