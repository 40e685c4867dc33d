"""Sampling from a model: the seam between a policy and what draws its tokens."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch

from minirl.models.decoding.drawing import Dice, SamplingParams, draw
from minirl.models.decoding.fit import why_unfit
from minirl.models.decoding.forward import Recorder
from minirl.models.decoding.halves import Halves
from minirl.models.decoding.plain import left_pad, row_numbers, sample_plainly
from minirl.models.decoding.products import Products
from minirl.models.decoding.rows import Rows
from minirl.models.merge import adapter_off, merged
from minirl.types import Request, Sample

__all__ = [
    "Dice",
    "Draw",
    "Sampler",
    "SamplingParams",
    "TorchSampler",
    "batches",
    "draw",
    "evaluating",
    "left_pad",
    "row_numbers",
]

_log = logging.getLogger(__name__)


class Draw(Protocol):
    """Continues each request ``request.n`` times."""

    def __call__(
        self,
        requests: Sequence[Request],
        rows: Sequence[int],
        params: SamplingParams,
        *,
        seed: int,
        eos_ids: frozenset[int],
        pad_id: int,
    ) -> list[list[Sample]]:
        """For each request its samples, in order.

        Args:
            rows: the number of each request's first sample; ``seed`` and a sample's number decide
                what it draws.
        """


class Sampler(Protocol):
    """A way to sample from a model; each backend has its own.

    Attributes:
        in_batches: whether requests come a batch at a time, or all of them at once.
    """

    in_batches: bool

    def session(
        self, model: Any, *, use_adapter: bool, batch: int, keep: bool
    ) -> AbstractContextManager[Draw]:
        """The model made ready to sample; its weights do not change within.

        Args:
            batch: most rows that are sampled at once, where the sampler does not take batches.
            keep: whether later requests may continue what earlier ones have written, so that it
                pays to keep what was computed.
        """


class TorchSampler:
    """minirl's own: every token computed once; the adapter merged while it samples, or its small
    products added to fast ones with the base (:class:`Halves`).

    A model that does not fit minirl's decoding is sampled the plain way, and the log says so.
    """

    in_batches = False

    def __init__(self) -> None:
        self._recorder: Recorder | None = None
        self._unfit: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()
        self._products = Products()
        self._halves: WeakKeyDictionary[Any, Halves | None] = WeakKeyDictionary()

    @contextmanager
    def session(
        self, model: Any, *, use_adapter: bool, batch: int, keep: bool = False
    ) -> Iterator[Draw]:
        adapter = merged if use_adapter else adapter_off
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        with evaluating(model):
            unfit = self._why_unfit(bare) is not None
            halves = None if unfit else self._halves_of(bare)
            with nullcontext() if halves and use_adapter else adapter(model):
                if unfit:
                    yield _plain(model, batch)
                else:
                    # A merged adapter's pass is none that could be trained.
                    recorder = self._recorder if halves and use_adapter else None
                    products = halves or self._products
                    yield _packed(Rows(bare, batch, products, keep=keep, recorder=recorder))

    @contextmanager
    def recording(self, recorder: Recorder | None) -> Iterator[None]:
        """Within the block ``recorder`` is given the prompts, where the model's weights are as
        training has them.
        """
        self._recorder = recorder
        try:
            yield
        finally:
            self._recorder = None

    def _halves_of(self, model: Any) -> Halves | None:
        """The model's weights in 16 bits, packed again where they have changed; None where they are
        of no use.
        """
        halves = self._halves.get(model)
        if model not in self._halves or (halves and not halves.fits(model)):
            try:
                halves = Halves(model)
            except ValueError as reason:
                _log.debug("no 16-bit weights for sampling: %s", reason)
                halves = None
            self._halves[model] = halves
        return halves

    def _why_unfit(self, model: Any) -> str | None:
        if model not in self._unfit:
            reason = self._unfit[model] = why_unfit(model)
            if reason is not None:
                _log.warning(
                    "%s is sampled the plain, slower way: %s", type(model).__name__, reason
                )
        return self._unfit[model]


def _packed(kept: Rows) -> Draw:
    def draw_all(
        requests: Sequence[Request],
        rows: Sequence[int],
        params: SamplingParams,
        *,
        seed: int,
        eos_ids: frozenset[int],
        pad_id: int,
    ) -> list[list[Sample]]:
        return kept.sample(requests, rows, params, seed=seed, eos_ids=eos_ids)

    return draw_all


def _plain(model: Any, batch: int) -> Draw:
    def draw_batches(
        requests: Sequence[Request],
        rows: Sequence[int],
        params: SamplingParams,
        *,
        seed: int,
        eos_ids: frozenset[int],
        pad_id: int,
    ) -> list[list[Sample]]:
        results: list[list[Sample]] = [[] for _ in requests]
        for chunk in batches(requests, rows, batch):
            places, numbers, parts = zip(*chunk, strict=True)
            drawn = sample_plainly(
                model, parts, params, eos_ids=eos_ids, pad_id=pad_id, seed=seed, rows=numbers
            )
            for at, samples in zip(places, drawn, strict=True):
                results[at].extend(samples)
        return results

    return draw_batches


def batches(
    requests: Sequence[Request], rows: Sequence[int], size: int
) -> Iterator[list[tuple[int, int, Request]]]:
    """Batches of at most ``size`` samples, prompts of like length together (less padding): (place
    of a request, number of its first sample here, what to sample of it).
    """
    chunk: list[tuple[int, int, Request]] = []
    room = size
    for at in sorted(range(len(requests)), key=lambda i: len(requests[i].prompt_ids)):
        left = requests[at].n
        while left:
            take = min(left, room)
            chunk.append((at, rows[at] + requests[at].n - left, replace(requests[at], n=take)))
            left -= take
            room -= take
            if not room:
                yield chunk
                chunk, room = [], size
    if chunk:
        yield chunk


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Within the block, the model is in evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
