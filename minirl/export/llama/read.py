"""What llama.cpp answers, read and checked. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from minirl.errors import ModelError
from minirl.types import StopReason

Json = Mapping[str, Any]
LEAST = 1e-45  # about the smallest probability that an fp32 holds
ROUNDING = 1e-5  # by which a log-probability may exceed 0


@dataclass(frozen=True, slots=True)
class Next:
    """The likeliest next tokens, best first, with their log-probabilities in the whole softmax."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote: ids, the closing one included where it wrote one, and log π of each."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    stop: StopReason


def read_next(answer: Json, top: int) -> Next:
    """The distribution after a prompt.

    Raises:
        ModelError: it does not hold ``top`` tokens, or these are no distribution.
    """
    entries = answer.get("completion_probabilities") or [{}]
    shown = entries[0].get("top_logprobs", [])
    ids = tuple(int(e["id"]) for e in shown)
    logprobs = tuple(float(e["logprob"]) for e in shown)
    falling = all(a >= b for a, b in pairwise(logprobs))
    if len(ids) != top or not falling or not all(lp <= ROUNDING for lp in logprobs):  # NaN, too
        raise ModelError(
            "llama.cpp's next-token probabilities are no distribution",
            expected=f"{top} log-probabilities of at most 0, falling",
            got=f"{len(ids)}: {', '.join(f'{lp:.4g}' for lp in logprobs[:8])}",
            fix="see whether the file was written correctly: weights that are not finite do this",
        )
    return Next(ids, logprobs)


@dataclass(frozen=True, slots=True)
class Scale:
    """How to read a token's log-probability.

    Attributes:
        temperature: of the softmax, where what is shown is that of temperature 1; None: as shown.
        vocabulary: how many tokens there are.
    """

    temperature: float | None = None
    vocabulary: int = 0

    def of(self, entry: Json) -> float:
        if "prob" in entry:
            return math.log(max(float(entry["prob"]), LEAST))
        own = float(entry["logprob"])
        if self.temperature is None:
            return min(own, 0.0)
        shown = [float(e["logprob"]) for e in entry["top_logprobs"]]
        return tempered(own, shown, self.temperature, self.vocabulary)


def tempered(own: float, shown: Sequence[float], temperature: float, vocabulary: int) -> float:
    """The log-probability at a temperature, from those at temperature 1.

    The normalizer is a sum over the vocabulary; what is not among the ``shown`` likeliest counts as
    equally likely.
    """
    powers = math.fsum(math.exp(lp / temperature) for lp in shown)
    rest, left = vocabulary - len(shown), 1.0 - math.fsum(math.exp(lp) for lp in shown)
    if rest > 0 and left > 0:
        powers += rest * (left / rest) ** (1 / temperature)
    return min(own / temperature - math.log(powers), 0.0)


def read_completion(
    answer: Json, scale: Scale
) -> tuple[tuple[int, ...], list[float | None], StopReason]:
    """Ids, log-probabilities and why it stopped.

    A log-probability is None where llama.cpp leaves it out: for a token that ends within a
    character.

    Raises:
        ModelError: log-probabilities and ids do not belong together.
    """
    ids = tuple(int(token) for token in answer["tokens"])
    entries = list(answer.get("completion_probabilities") or [])
    logprobs: list[float | None] = []
    for token in ids:
        known = entries and int(entries[0]["id"]) == token
        logprobs.append(scale.of(entries.pop(0)) if known else None)
    if entries or not ids:
        raise ModelError(
            "llama.cpp's log-probabilities do not belong to the tokens that it wrote",
            got=f"{len(ids)} tokens, {len(entries)} log-probabilities too many",
        )
    closed = answer.get("stop_type") == "eos"
    return ids, logprobs, StopReason.EOS if closed else StopReason.LENGTH
