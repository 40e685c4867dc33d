"""Next-token distributions of an export against those of the model that was trained, at the same
places of the same texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from minirl.export.llama import Next
from minirl.models.load import LoadedModel
from minirl.models.sampler import evaluating
from minirl.stats import Estimate, Rate, ratio_estimate, wilson_interval

TOP = 64  # tokens of the export's distribution that are asked for; the rest counts as one
LIKELY = 1e-3  # differences of log-probabilities are told for tokens at least so likely

Array = np.ndarray[Any, np.dtype[Any]]


class NextTokens(Protocol):
    """What continues a text: a server, or another model in this process."""

    def next_tokens(self, prefixes: Sequence[Sequence[int]], top: int) -> list[Next]:
        """For each prefix the ``top`` likeliest next tokens, best first."""


@dataclass(frozen=True, slots=True)
class Text:
    """A token sequence and the places in it that are looked at: after its first ``n`` tokens, for
    each n of ``lengths``.
    """

    ids: tuple[int, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """The first place, in order, where another token is the likeliest.

    Attributes:
        text, place: which text, and after how many of its tokens.
        before: the end of what stands before it.
        trained, exported: the likeliest token of each, as text.
        trained_p: probability of ``trained`` under the trained model, and
        exported_p: of it under the export (0 where it is not among the first).
    """

    text: int
    place: int
    before: str
    trained: str
    exported: str
    trained_p: float
    exported_p: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike the distributions are; intervals take the texts as units.

    Attributes:
        positions: places looked at; no two have the same text before them.
        top1: how often the likeliest token is the same.
        kl: mean KL(trained || exported) in nats, over the export's :data:`TOP` likeliest tokens and
            the rest as one: a lower bound, close where the rest is unlikely.
        kl_most: the largest of a single place.
        difference: the largest difference of two log-probabilities of a token with at least
            :data:`LIKELY` under the trained model.
        first: the first place where they disagree.
    """

    positions: int
    top1: Rate
    kl: Estimate
    kl_most: float
    difference: float
    first: Disagreement | None


def distinct_texts(sequences: Sequence[Sequence[int]], most: int) -> list[Text]:
    """Places after every token but the last of each sequence, until there are ``most``; a place
    with the same text before it as an earlier one tells nothing new and is left out.
    """
    seen: set[tuple[int, ...]] = set()
    texts: list[Text] = []
    left = most
    for sequence in sequences:
        ids = tuple(sequence)
        fresh: list[int] = []
        for n in range(1, len(ids)):
            if len(fresh) < left and ids[:n] not in seen:
                seen.add(ids[:n])
                fresh.append(n)
        if fresh:
            texts.append(Text(ids, tuple(fresh)))
            left -= len(fresh)
        if not left:
            break
    return texts


class ModelNextTokens:
    """A transformers model in this process, adapter and all."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self.model = model
        self.device = device

    def logprobs(self, text: Text) -> torch.Tensor:
        """(places, vocabulary) log-probabilities, fp32 on the CPU."""
        ids = torch.tensor([text.ids[: max(text.lengths)]], device=self.device)
        with torch.inference_mode(), evaluating(self.model):
            logits = self.model(input_ids=ids, use_cache=False).logits[0]  # (T, V)
            at = torch.tensor(text.lengths, device=self.device) - 1
            return torch.log_softmax(logits[at].float(), dim=-1).cpu()

    def next_tokens(self, prefixes: Sequence[Sequence[int]], top: int) -> list[Next]:
        """Of prefixes of one sequence, in growing order."""
        whole = tuple(prefixes[-1])
        rows = self.logprobs(Text(whole, tuple(len(p) for p in prefixes)))
        best = torch.topk(rows, min(top, rows.shape[1]), dim=-1)
        return [
            Next(tuple(i.tolist()), tuple(x.tolist()))
            for x, i in zip(best.values, best.indices, strict=True)
        ]


def compare(
    loaded: LoadedModel,
    exported: NextTokens,
    texts: Sequence[Text],
    *,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Agreement:
    """Ask both for every place of every text.

    Args:
        loaded: the trained model, its adapter on.
        on_progress: called with (places done, all places) after each text.
    """
    trained = ModelNextTokens(loaded.model, loaded.device)
    same: list[tuple[int, int]] = []
    divergence: list[float] = []
    kl_most = difference = 0.0
    first: Disagreement | None = None
    done, total = 0, sum(len(t.lengths) for t in texts)
    for number, text in enumerate(texts):
        rows = trained.logprobs(text)
        nexts = exported.next_tokens([text.ids[:n] for n in text.lengths], TOP)
        agreed, summed = 0, 0.0
        for place, row, found in zip(text.lengths, rows, nexts, strict=True):
            kl, off = _apart(row, found)
            summed += kl
            kl_most, difference = max(kl_most, kl), max(difference, off)
            best = int(row.argmax())
            if best == found.ids[0]:
                agreed += 1
            elif first is None:
                first = _disagreement(loaded.tokenizer, number, text, place, row, found)
        same.append((agreed, len(text.lengths)))
        divergence.append(summed)
        done += len(text.lengths)
        if on_progress:
            on_progress(done, total)
    sizes = [float(len(t.lengths)) for t in texts]
    return Agreement(
        positions=total,
        top1=_share(same, seed),
        kl=ratio_estimate(divergence, sizes, seed=seed),
        kl_most=kl_most,
        difference=difference,
        first=first,
    )


def _apart(row: torch.Tensor, found: Next) -> tuple[float, float]:
    """KL(row || found), the tokens that ``found`` does not name as one; and the largest difference
    of log-probabilities of a likely token.
    """
    ids = torch.tensor(found.ids)
    p = row[ids].double().numpy()
    q = np.asarray(found.logprobs, dtype=np.float64)
    off = np.abs(p - q)[p >= np.log(LIKELY)].max(initial=0.0)
    unnamed = float(row.index_fill(0, ids, -torch.inf).max())
    if unnamed >= np.log(LIKELY):  # it is no likelier there than the last that is named
        off = max(off, unnamed - q[-1])
    p_all, q_all = _with_rest(p), _with_rest(q)
    kl = float((p_all * (np.log(p_all) - np.log(q_all))).sum())
    return max(kl, 0.0), float(off)


def _share(same: Sequence[tuple[int, int]], seed: int) -> Rate:
    """Of all places, with the wider of two intervals: Wilson's over the places, and the bootstrap's
    over the texts, which is none where all places agree.
    """
    agreed, sizes = ([float(x) for x in column] for column in zip(*same, strict=True))
    total = int(sum(sizes))
    by_place = wilson_interval(int(sum(agreed)), total)
    by_text = ratio_estimate(agreed, sizes, seed=seed)
    low, high = min(by_place.low, by_text.low), max(by_place.high, by_text.high)
    return Rate(by_text.value, low, high, total, len(same))


def _with_rest(logprobs: Array) -> Array:
    """Probabilities, and what is left of 1; no share is less than 1e-12."""
    p = np.exp(logprobs)
    rest = max(0.0, 1.0 - float(p.sum()))
    return np.asarray(np.maximum(np.append(p, rest), 1e-12))


def _disagreement(
    tokenizer: Any, number: int, text: Text, place: int, row: torch.Tensor, found: Next
) -> Disagreement:
    best = int(row.argmax())
    there = dict(zip(found.ids, found.logprobs, strict=True))
    return Disagreement(
        text=number,
        place=place,
        before=tokenizer.decode(list(text.ids[max(0, place - 12) : place])),
        trained=tokenizer.decode([best]),
        exported=tokenizer.decode([found.ids[0]]),
        trained_p=float(row[best].exp()),
        exported_p=float(np.exp(there[best])) if best in there else 0.0,
    )
