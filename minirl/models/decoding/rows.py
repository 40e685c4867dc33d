"""Rows that enter, are written and leave: continuous batching, over keys and values that are kept.

A row is what one or several samples have written so far: as long as samples of a prompt draw the
same tokens, their next token is computed once, and each draws its own from it. Where they draw
different ones, the row branches. At most ``batch`` rows have keys and values: the live ones in the
first slots, and behind them those that have ended and may go on (an episode whose environment
replies). Samples that wait enter as soon as enough slots are free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minirl.models.attention import own_attention
from minirl.models.decoding.drawing import SamplingParams, draw, throw
from minirl.models.decoding.forward import Recorder, extend, prefill
from minirl.models.decoding.passes import Extend, Prefill, Share, shares
from minirl.models.decoding.products import FastProducts
from minirl.models.decoding.store import Prompt, Prompts, Suffixes
from minirl.types import Request, Sample, StopReason

_PREFILL = 4096  # tokens of the prompts that are computed together
_PADDING = 64  # tokens by which they may differ, or by half of the longest
_CHUNK = 512  # tokens of a row that are computed at once, where it goes on after a reply
_CHUNKS = 2048  # the same of all rows
_ENTER = 8  # rows enter when an eighth of the slots is free: fewer prefills, and hardly idle slots


@dataclass(slots=True, eq=False)
class Pen:
    """One sample that is being written.

    Attributes:
        place: among the samples of this call.
        limit: most tokens of this turn.
        thrown: its random numbers, one a token of this turn.
        logps: of this turn's tokens.
    """

    place: int
    limit: int
    thrown: NDArray[np.float64]
    logps: list[float] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Row:
    """What some samples have written alike.

    Attributes:
        prompt: what it continues.
        pens: who goes on writing it.
        tokens: what comes after the prompt, of every turn.
        fed: how many of them have keys and values.
        start: where this turn begins in ``tokens``.
        slot: where its keys and values lie; rows that have just branched still share one.
    """

    prompt: Prompt
    pens: list[Pen]
    tokens: list[int] = field(default_factory=list)
    fed: int = 0
    start: int = 0
    slot: int = -1

    @property
    def pending(self) -> int:
        return len(self.tokens) - self.fed

    def branches(self, drawn: dict[int, list[Pen]]) -> list[Row]:
        """The row, gone on by each of the tokens that its pens have drawn."""
        (token, self.pens), *others = drawn.items()
        rows = [
            Row(self.prompt, pens, [*self.tokens, other], self.fed, self.start, self.slot)
            for other, pens in others
        ]
        self.tokens.append(token)
        return [self, *rows]


class Rows:
    """The rows of a session.

    Args:
        model: a transformers model that :func:`~minirl.models.decoding.fit.why_unfit` has passed.
        batch: most rows that have keys and values at a time.
        products: multiplies the model's matrices.
        keep: whether rows that have ended are kept for requests that continue them.
        recorder: is given as many prompts as it takes.

    Attributes:
        computed: tokens that went through the model so far.
    """

    def __init__(
        self,
        model: Any,
        batch: int,
        products: FastProducts,
        *,
        keep: bool,
        recorder: Recorder | None = None,
    ) -> None:
        self._model = model
        self._recorder = recorder
        self._products = products
        self._batch = batch
        self._keep = keep
        self._live: list[Row] = []  # by slot
        self._kept: list[Row] = []  # by slot, behind the live ones
        self._suffixes = Suffixes()
        self._shares: list[Share] | None = None  # of the live rows, until they change
        self.computed = 0

    @torch.inference_mode()
    def sample(
        self,
        requests: Sequence[Request],
        numbers: Sequence[int],
        params: SamplingParams,
        *,
        seed: int,
        eos_ids: frozenset[int],
    ) -> list[list[Sample]]:
        """Draw ``request.n`` continuations of each request; ``numbers`` are those of their first
        samples.
        """
        first = np.cumsum([0, *(r.n for r in requests)]).tolist()
        done: list[Sample | None] = [None] * first[-1]

        def new_pen(at: int, k: int) -> Pen:
            limit = requests[at].max_tokens
            return Pen(first[at] + k, limit, throw(seed, numbers[at] + k, limit))

        def write(rows: Sequence[Row], logits: Tensor) -> None:
            """Every pen of ``rows`` writes a token; what has ended leaves."""
            pens = [pen for row in rows for pen in row.pens]
            thrown = torch.tensor([p.thrown[len(p.logps)] for p in pens], dtype=torch.float64)
            of = torch.tensor([i for i, row in enumerate(rows) for _ in row.pens])
            ids, logps = draw(logits, params, thrown, of.to(logits.device))
            drawn = zip(ids.tolist(), logps.tolist(), strict=True)
            going: list[Row] = []
            ended: list[Row] = []
            for row in rows:
                by_token: dict[int, list[Pen]] = {}
                for pen in row.pens:
                    token, logp = next(drawn)
                    pen.logps.append(logp)
                    by_token.setdefault(token, []).append(pen)
                for branch in row.branches(by_token):
                    eos = branch.tokens[-1] in eos_ids
                    over = [p for p in branch.pens if eos or len(p.logps) >= p.limit]
                    written = tuple(branch.tokens[branch.start :])
                    stop = StopReason.EOS if eos else StopReason.LENGTH
                    for pen in over:
                        done[pen.place] = Sample(written, tuple(pen.logps), stop)
                    if len(over) == len(branch.pens):
                        ended.append(branch)
                        continue
                    branch.prompt.uses -= len(over)
                    branch.pens = [p for p in branch.pens if len(p.logps) < p.limit]
                    going.append(branch)
            self._leave(rows, going, ended)

        try:
            with own_attention(self._model), self._products.fast(self._model):
                others = self._resume(requests, new_pen)
                if self._live:
                    write(self._live, self._catch_up())
                waiting = deque(_queue(requests, others, new_pen))
                while self._live or waiting:
                    if self._may_enter(len(waiting)):
                        write(*self._enter(waiting))
                    if self._live:
                        write(self._live, self._step())
        except BaseException:
            self._live, self._kept = [], []  # half-written rows are of no use
            raise
        samples = [s for s in done if s is not None]
        return [samples[first[at] : first[at + 1]] for at in range(len(requests))]

    # Entering --------------------------------------------------------------------------------

    @property
    def _writing(self) -> int:
        return sum(len(row.pens) for row in self._live)

    @property
    def _free(self) -> int:
        """How many more pens may write; each may come to need a slot of its own."""
        return self._batch - self._writing

    def _may_enter(self, waiting: int) -> bool:
        free, share = self._free, max(1, self._batch // _ENTER)
        return waiting > 0 and free > 0 and (not self._live or free >= min(waiting, share))

    def _enter(self, waiting: deque[tuple[Prompt, Pen]]) -> tuple[list[Row], Tensor]:
        """Rows of pens that waited, and the logits after their prompts."""
        new: dict[int, Row] = {}
        for _ in range(min(self._free, len(waiting))):
            prompt, pen = waiting.popleft()
            new.setdefault(id(prompt), Row(prompt, [])).pens.append(pen)
        rows = list(new.values())
        room = self._free - sum(len(row.pens) for row in rows)
        self._drop(self._kept[room:])
        self._place([*self._live, *rows], self._kept[:room])
        recorder = self._recorder
        most = min(recorder.free, _PREFILL) if recorder and recorder.free > 0 else _PREFILL
        for members in _alike((row.prompt for row in rows if row.prompt.home is None), most):
            with torch.inference_mode(False):  # autograd may come to keep its indices
                step = Prefill(Prompts(members, self._model.device))
            self.computed += len(step.ids)
            takes = recorder if recorder and len(step.ids) <= recorder.free else None
            compute = takes.prefill if takes else prefill
            for prompt, after in zip(members, compute(self._model, step), strict=True):
                prompt.after = after
        logits = torch.stack([_after(row.prompt) for row in rows])
        going = waiting[0][0] if waiting else None
        for row in rows:
            if row.prompt is not going:
                row.prompt.after = None
        return rows, logits

    def _resume(self, requests: Sequence[Request], new_pen: Any) -> list[int]:
        """Make kept rows live that a request continues, and forget the others. Requests that
        continue one alike write one row.

        Returns:
            The requests that continue none.
        """
        kept: dict[tuple[int, ...], list[Row]] = {}
        for row in self._kept:
            kept.setdefault((*row.prompt.ids, *row.tokens[: row.fed]), []).append(row)
        lengths = sorted({len(ids) for ids in kept}, reverse=True)
        going: dict[tuple[int, tuple[int, ...]], Row] = {}
        others = []
        for at, request in enumerate(requests):
            ids = request.prompt_ids
            found = None
            for length in lengths:
                rows = kept.get(ids[:length])
                if request.n == 1 and length < len(ids) and rows:
                    found = rows[-1]
                    found.pens.pop()  # a kept row goes on as often as it was written
                    if not found.pens:
                        rows.pop()
                    break
            if found is None:
                others.append(at)
                continue
            tokens = list(ids[len(found.prompt.ids) :])
            row = Row(found.prompt, [], tokens, found.fed, len(tokens), found.slot)
            going.setdefault((id(found), ids), row).pens.append(new_pen(at, 0))
        self._drop(self._kept)
        self._place(list(going.values()), [])
        return others

    # Leaving ---------------------------------------------------------------------------------

    def _leave(self, rows: Sequence[Row], going: Sequence[Row], ended: Sequence[Row]) -> None:
        """In place of ``rows`` stand those that go on; those that have ended make way."""
        if len(going) == len(rows) and not ended:  # the same
            return
        were = {id(row) for row in rows}
        live = [*(row for row in self._live if id(row) not in were), *going]
        kept = self._kept
        if self._keep:
            kept = [*kept, *ended]
        else:
            self._drop(ended)
        self._place(live, kept)
        homes = {id(r.prompt.home): r.prompt.home for r in (*ended, *live, *kept)}
        for home in homes.values():
            if home is not None:
                home.shrink()

    def _drop(self, rows: Iterable[Row]) -> None:
        for row in rows:
            row.prompt.uses -= len(row.pens)

    def _place(self, live: list[Row], kept: list[Row]) -> None:
        """Give every row a slot of its own, the live ones the first: theirs, where it is one of
        these and nobody else has it, else one that is free.
        """
        order: list[Row | None] = [None] * (len(live) + len(kept))
        for rows, slots in ((live, range(len(live))), (kept, range(len(live), len(order)))):
            moving = []
            for row in rows:
                if row.slot in slots and order[row.slot] is None:
                    order[row.slot] = row
                else:
                    moving.append(row)
            free = (slot for slot in slots if order[slot] is None)
            for slot, row in zip(list(free), moving, strict=True):
                order[slot] = row
        placed = [row for row in order if row is not None]
        moved = [(row.slot, at, row.fed) for at, row in enumerate(placed) if row.slot != at]
        self._suffixes.reserve(len(placed), 0)
        moved = [m for m in moved if m[2]]
        if moved:
            source, target, fed = zip(*moved, strict=True)
            self._suffixes.move(source, target, max(fed))
        for at, row in enumerate(placed):
            row.slot = at
        self._live, self._kept = placed[: len(live)], placed[len(live) :]
        self._shares = None

    # Computing -------------------------------------------------------------------------------

    def _step(self) -> Tensor:
        """Feed every live row its last token; the logits after it, (R, V)."""
        rows = self._live
        if self._shares is None:
            self._shares = shares([r.prompt for r in rows], self._model.device)
        return self._feed(rows, slice(0, len(rows)), self._shares, 1)

    def _catch_up(self) -> Tensor:
        """Feed the live rows all that they have not been fed; the logits after it, (R, V)."""
        rows, device = self._live, self._model.device
        after: dict[int, Tensor] = {}
        while behind := [i for i, row in enumerate(rows) if row.pending]:
            behind.sort(key=lambda i: rows[i].pending)
            most = min(rows[behind[-1]].pending, _CHUNK)
            now = behind[-max(1, _CHUNKS // most) :]
            part = [rows[i] for i in now]
            slots = torch.tensor(now, device=device)
            logits = self._feed(part, slots, shares([r.prompt for r in part], device), _CHUNK)
            after.update(zip(now, logits, strict=True))
        return torch.stack([after[i] for i in range(len(rows))])

    def _feed(
        self, rows: Sequence[Row], slots: Tensor | slice, among: list[Share], most: int
    ) -> Tensor:
        device = self._model.device
        counts = [min(row.pending, most) for row in rows]
        ids = [i for r, n in zip(rows, counts, strict=True) for i in r.tokens[r.fed : r.fed + n]]
        deepest = max(row.fed + n for row, n in zip(rows, counts, strict=True))
        self._suffixes.reserve(0, deepest)
        step = Extend(
            self._suffixes,
            among,
            slots,
            before=torch.tensor([row.fed for row in rows], device=device),
            prompt_lengths=torch.tensor([len(row.prompt.ids) for row in rows], device=device),
            row=torch.tensor([i for i, n in enumerate(counts) for _ in range(n)], device=device),
            rank=torch.tensor([k for n in counts for k in range(n)], device=device),
            most=max(counts),
            deepest=deepest,
        )
        logits = extend(self._model, step, torch.tensor(ids, device=device))
        self.computed += len(ids)
        for row, n in zip(rows, counts, strict=True):
            row.fed += n
        return logits


def _queue(
    requests: Sequence[Request], which: Sequence[int], new_pen: Any
) -> list[tuple[Prompt, Pen]]:
    """Pens to be entered: those of one prompt together, and the longest prompts first, so that
    memory fails at once if it does.
    """
    prompts: dict[tuple[int, ...], Prompt] = {}
    pens: dict[int, list[Pen]] = {}
    for at in which:
        prompt = prompts.setdefault(requests[at].prompt_ids, Prompt(requests[at].prompt_ids))
        prompt.uses += requests[at].n
        pens.setdefault(id(prompt), []).extend(new_pen(at, k) for k in range(requests[at].n))
    longest_first = sorted(prompts.values(), key=lambda p: -len(p.ids))
    return [(prompt, pen) for prompt in longest_first for pen in pens[id(prompt)]]


def _alike(prompts: Iterable[Prompt], most: int) -> list[list[Prompt]]:
    """Prompts of like length together, at most so many tokens, but one prompt at least."""
    groups: list[list[Prompt]] = []
    for prompt in sorted(prompts, key=lambda p: -len(p.ids)):
        if groups:
            longest = len(groups[-1][0].ids)
            tokens = sum(len(p.ids) for p in groups[-1])
            near = longest - len(prompt.ids) <= max(_PADDING, longest // 2)
            if near and tokens + len(prompt.ids) <= most:
                groups[-1].append(prompt)
                continue
        groups.append([prompt])
    return groups


def _after(prompt: Prompt) -> Tensor:
    assert prompt.after is not None
    return prompt.after
