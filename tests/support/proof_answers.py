"""Answers as a proof reads them, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from minirl.measure.prove.samples import Answer, Answers


def answer(
    solved: bool = False,
    *,
    lenient: bool | None = None,
    ids: Sequence[int] = (1,),
    mask: Sequence[bool] | None = None,
    surprise: float = 1.0,
    truncated: bool = False,
    final: str = "",
) -> Answer:
    """One rollout; every token is the policy's own without a ``mask``."""
    written = tuple([True] * len(ids) if mask is None else mask)
    return Answer(
        solved, lenient, truncated, sum(written), tuple(ids), written, surprise, final, final
    )


def solved_of(counts: Sequence[int], n: int) -> Answers:
    """Tasks of which so many of n samples are solved."""
    return [[answer(i < c) for i in range(n)] for c in counts]
