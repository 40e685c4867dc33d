"""How likely a text is under the base and under the tuned model: log-probabilities of given
tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from minirl.errors import ModelError
from minirl.models.decoding.plain import contiguous_head, left_pad
from minirl.models.load import LoadedModel, context_length
from minirl.models.merge import adapter_off, merged
from minirl.models.sampler import TorchSampler, evaluating

LOGITS = 2**26  # held at once, fp32: 256 MB
TOKENS = 8192  # a forward pass


@dataclass(frozen=True, slots=True)
class Passage:
    """Tokens to be scored: those of ``ids`` where ``mask`` is true, each after all before it."""

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    mask: tuple[bool, ...]


def log_likelihoods(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    *,
    use_adapter: bool,
    temperature: float = 1.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[NDArray[np.float64]]:
    """log π of each passage's masked tokens under softmax(logits / temperature).

    The tuned model is computed as its sampler computes it (with minirl's own, the adapter merged),
    so that a policy's own samples get the log-probabilities that they were drawn with.

    Returns:
        For each passage an array, a number for each token where the mask is true, in order.

    Raises:
        ModelError: a passage is longer than the model's context.
        ValueError: a temperature that is not positive, or a passage without a prompt: nothing comes
            before its first token.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if not all(p.prompt_ids for p in passages):
        raise ValueError("every passage needs at least one token of prompt")
    model = loaded.model
    room, longest = context_length(model), max(map(_length, passages), default=0)
    if longest > room:
        raise ModelError(
            f"a passage of {longest} tokens does not fit the model's context of {room:g}"
        )
    whole = merged if isinstance(loaded.sampler, TorchSampler) else nullcontext
    results: dict[int, NDArray[np.float64]] = {}
    with (
        torch.inference_mode(),
        evaluating(model),
        whole(model) if use_adapter else adapter_off(model),
        contiguous_head(model),
    ):
        vocabulary = model.get_output_embeddings().weight.shape[0]
        for chunk in _chunks(passages, vocabulary):
            scored = _score(loaded, [passages[i] for i in chunk], temperature)
            results.update(zip(chunk, scored, strict=True))
            if on_progress:
                on_progress(len(results), len(passages))
    return [results[i] for i in range(len(passages))]


def _length(passage: Passage) -> int:
    return len(passage.prompt_ids) + len(passage.ids)


def _chunks(passages: Sequence[Passage], vocabulary: int) -> Iterator[list[int]]:
    """Passages of like length together, few enough that their logits fit."""
    chunk: list[int] = []
    kept = 0
    for i in sorted(range(len(passages)), key=lambda i: _length(passages[i])):
        most = max(kept, len(passages[i].ids) + 1)
        rows = len(chunk) + 1
        if chunk and (rows * most * vocabulary > LOGITS or rows * _length(passages[i]) > TOKENS):
            yield chunk
            chunk, kept = [], 0
        chunk.append(i)
        kept = max(kept, len(passages[i].ids) + 1)
    if chunk:
        yield chunk


def _score(
    loaded: LoadedModel, passages: Sequence[Passage], temperature: float
) -> list[NDArray[np.float64]]:
    rows = [p.prompt_ids + p.ids for p in passages]
    ids, mask = left_pad(rows, loaded.tokenizer.pad_token_id, loaded.model.device)  # (B, S)
    out = loaded.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=max(len(p.ids) for p in passages) + 1,  # the last one predicts what follows
    )
    return [
        _log_softmax_at(logits[-len(p.ids) - 1 : -1], p.ids, temperature)[np.array(p.mask, bool)]
        for p, logits in zip(passages, out.logits, strict=True)
    ]


def _log_softmax_at(
    logits: torch.Tensor, ids: Sequence[int], temperature: float
) -> NDArray[np.float64]:
    """log softmax(logits / temperature)[ids], from logits (T, V): (T,), a slice at a time."""
    targets = torch.tensor(ids, dtype=torch.long, device=logits.device)[:, None]
    step = max(1, LOGITS // logits.size(-1))
    parts = [np.zeros(0)]
    for start in range(0, len(ids), step):
        z = logits[start : start + step].float() / temperature
        logp = z.gather(1, targets[start : start + step]).squeeze(1) - z.logsumexp(dim=-1)
        parts.append(logp.cpu().numpy().astype(np.float64))
    return np.concatenate(parts)


def perplexity(mean_logp: float) -> float:
    """``exp(-mean log π)``; where that overflows, the largest finite number."""
    return math.exp(min(-mean_logp, 700.0))
