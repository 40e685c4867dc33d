"""Rows enter, are written, leave and go on; nothing is computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from random_models import (
    ARCHITECTURES,
    PROMPTS,
    STOPS,
    TOLERANCE,
    bare_model,
    difference,
    draw_samples,
    plain_logprobs,
    request,
)

from minirl.models.decoding.drawing import SamplingParams
from minirl.models.decoding.fit import why_unfit
from minirl.models.decoding.products import Products
from minirl.models.decoding.rows import Rows, _alike
from minirl.models.decoding.store import Prompt, Suffixes
from minirl.models.tree import count_nodes
from minirl.types import Request, Sample

architectures = pytest.mark.parametrize("name", ARCHITECTURES)
REPLY = (60, 61, 62, 63, 64, 65, 66)


class Watched(Rows):
    """Counts what is computed and how many rows and pens there are."""

    def __init__(self, model: Any, batch: int, *, keep: bool = False) -> None:
        super().__init__(model, batch, Products(), keep=keep)
        self.most_live = self.most_kept = 0
        self.entered: list[int] = []  # pens that wrote when others entered

    def _step(self) -> torch.Tensor:
        self.most_live = max(self.most_live, self._writing)
        self.most_kept = max(self.most_kept, len(self._live) + len(self._kept))
        return super()._step()

    def _enter(self, waiting: Any) -> Any:
        self.entered.append(self._writing)
        return super()._enter(waiting)

    def draw(self, requests: Sequence[Request], seed: int = 0) -> list[list[Sample]]:
        numbers = [sum(r.n for r in requests[:at]) for at in range(len(requests))]
        return self.sample(requests, numbers, SamplingParams(), seed=seed, eos_ids=STOPS)


def ids(drawn: list[list[Sample]]) -> list[tuple[int, ...]]:
    return [s.ids for samples in drawn for s in samples]


def beginnings(asked: Sequence[Request], drawn: list[list[Sample]]) -> int:
    """Different beginnings that were written, each sample's last token left out: it is not fed."""
    return len(
        {
            (r.prompt_ids, s.ids[:k])
            for r, samples in zip(asked, drawn, strict=True)
            for s in samples
            for k in range(1, len(s.ids))
        }
    )


def test_the_models_of_these_tests_fit():
    """Else they would be sampled the plain way, and nothing here would be tried."""
    assert {name: why_unfit(bare_model(name)) for name in ARCHITECTURES} == dict.fromkeys(
        ARCHITECTURES
    )


# Continuous batching -------------------------------------------------------------------------


@architectures
def test_samples_do_not_depend_on_batch_or_order(name):
    """Pens enter late, share a prompt over several entrances, and rows move between slots."""
    model = bare_model(name)
    requests = [request(p, n, 14) for p, n in zip(PROMPTS, (7, 2, 5, 4), strict=True)]
    whole = Watched(model, 64)
    expected = whole.draw(requests)
    assert whole.entered == [0]
    assert len({len(i) for i in ids(expected)}) > 3
    apart = sum(map(len, PROMPTS)) + sum(len(i) - 1 for i in ids(expected))
    late = 0
    for batch in (1, 3, 8):
        rows = Watched(model, batch)
        assert ids(rows.draw(requests)) == ids(expected)
        assert rows.most_live <= batch
        assert max(kept.size(0) for kept, _ in rows._suffixes.layers.values()) <= batch
        # What enters apart is computed apart.
        assert whole.computed <= rows.computed <= apart
        late += sum(live > 0 for live in rows.entered)
    assert late > 5
    numbers = [14, 9, 7, 0]  # the samples' own numbers, in the other order of the requests
    turned = Watched(model, 5).sample(
        requests[::-1], numbers, SamplingParams(), seed=0, eos_ids=STOPS
    )
    assert ids(turned[::-1]) == ids(expected)


def test_what_is_computed_is_each_beginning_once():
    """Of prompts and of what is written after them, but for each sample's last token."""
    model = bare_model("llama")
    asked = [request(PROMPTS[0], 9), request(PROMPTS[1], 3), request(PROMPTS[0], 2)]
    rows = Watched(model, 14)
    drawn = rows.draw(asked)
    prompts = count_nodes([PROMPTS[0], PROMPTS[1]])
    assert prompts < len(PROMPTS[0]) + len(PROMPTS[1])
    alone = sum(len(i) - 1 for i in ids(drawn))
    assert rows.computed == prompts + beginnings(asked, drawn) < prompts + alone


def test_samples_that_go_on_alike_are_one_row():
    model = bare_model("llama")
    greedy = Watched(model, 8)
    asked = [request(PROMPTS[0], 8, 6)]
    drawn = greedy.sample(asked, [0], SamplingParams(0.0), seed=0, eos_ids=frozenset())
    assert len(set(ids(drawn))) == 1
    assert greedy.computed == len(PROMPTS[0]) + 5
    assert max(kept.size(0) for kept, _ in greedy._suffixes.layers.values()) == 1


def test_prompts_of_like_length_are_computed_together():
    prompts = [Prompt(tuple(range(n))) for n in (10, 3000, 60, 2900, 900, 1000, 300, 70)]
    groups = [[len(p.ids) for p in group] for group in _alike(prompts, 4096)]
    assert groups == [[3000], [2900], [1000, 900], [300], [70, 60, 10]]


def test_moves_are_simultaneous_and_growth_keeps_what_is_there():
    suffixes = Suffixes()
    suffixes.reserve(3, 2)
    slots, at = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 0, 1])
    numbers = torch.arange(4.0)[:, None, None].expand(4, 2, 5)
    suffixes.write(0, slots, at, numbers, -numbers)
    suffixes.move([0, 1, 2], [1, 2, 0], 2)
    suffixes.reserve(5, 100)
    keys, values = suffixes.layers[0]
    assert keys.shape == (5, 2, 128, 5)
    assert keys[:3, 0, :3, 0].tolist() == [[2, 0, 0], [0, 3, 0], [1, 0, 0]]
    assert torch.equal(values, -keys)


# Turns ---------------------------------------------------------------------------------------


def next_turn(asked: Sequence[Request], drawn: list[list[Sample]], cut: int) -> list[Request]:
    """Every sample goes on after a reply of its own length."""
    rows = [(r, s) for r, samples in zip(asked, drawn, strict=True) for s in samples]
    return [
        request((*r.prompt_ids, *s.ids, *REPLY[: 1 + (k + cut) % 7]), 1, 8)
        for k, (r, s) in enumerate(rows)
    ]


@architectures
@pytest.mark.parametrize("batch", [64, 13])
def test_turns_go_on_where_they_were(name, batch):
    """Three turns, kept and not kept: the same tokens; and only what is new is computed."""
    model = bare_model(name)
    kept = Watched(model, batch, keep=True)
    asked = [request(p, n, 8) for p, n in zip(PROMPTS, (4, 1, 5, 3), strict=True)]
    known: dict[tuple[int, ...], int] = {}  # tokens that have keys and values already
    for turn in range(3):
        before = kept.computed
        drawn = kept.draw(asked, seed=turn)
        fresh = Watched(model, 64).draw(asked, seed=turn)
        assert ids(drawn) == ids(fresh)
        for r, samples in zip(asked, drawn, strict=True):
            for s in samples:
                plain = plain_logprobs(model, r.prompt_ids, s.ids)
                assert difference(s.logprobs, plain) < TOLERANCE
        new = count_nodes(PROMPTS) if turn == 0 else sum(len(p) - n for p, n in known.items())
        assert kept.computed - before == new + beginnings(asked, drawn)
        # Some episodes end; the others go on in another order.
        going = [(r, s) for r, samples in zip(asked, drawn, strict=True) for s in samples]
        asked = next_turn(asked, drawn, turn)
        known = {
            a.prompt_ids: len(r.prompt_ids) + len(s.ids) - 1
            for a, (r, s) in list(zip(asked, going, strict=True))[turn:]
        }
        asked = asked[turn:][::-1]
    assert kept.most_kept <= batch


def test_no_more_rows_are_kept_than_the_batch_holds():
    model = bare_model("llama")
    kept = Watched(model, 5, keep=True)
    asked = [request(p, n, 8) for p, n in zip(PROMPTS, (4, 1, 5, 3), strict=True)]
    drawn = kept.draw(asked)
    assert 3 <= len(kept._kept) <= 5
    asked = next_turn(asked, drawn, 0)
    before = kept.computed
    assert ids(kept.draw(asked, seed=1)) == ids(Watched(model, 64).draw(asked, seed=1))
    assert kept.most_kept <= 5
    whole = sum(len(r.prompt_ids) for r in asked)
    assert 0 < kept.computed - before < whole
    assert max(k.size(0) for k, _ in kept._suffixes.layers.values()) <= 5


def test_rows_that_nobody_continues_are_forgotten():
    model = bare_model("llama")
    kept = Watched(model, 64, keep=True)
    drawn = kept.draw([request(PROMPTS[0], 6, 8)])
    again = next_turn([request(PROMPTS[0], 6, 8)], drawn, 0)
    kept.draw([again[2], request(PROMPTS[3], 2, 8)], seed=1)
    assert len(kept._kept) == 3
    assert {len(r.prompt.home.members) for r in kept._kept if r.prompt.home} == {1}


def test_a_kept_row_serves_as_many_requests_as_wrote_it():
    model = bare_model("llama")
    kept = Watched(model, 64, keep=True)
    first = request(PROMPTS[0], 1, 4)
    drawn = kept.sample([first, first], [0, 0], SamplingParams(), seed=0, eos_ids=STOPS)
    assert drawn[0] == drawn[1]
    asked = [request((*PROMPTS[0], *drawn[0][0].ids, *REPLY), 1, 6)] * 3
    before = kept.computed
    again = kept.draw(asked, seed=2)
    new = 1 + len(REPLY)  # once for two of them; the third begins anew
    written = beginnings(asked[:2], again[:2]) + beginnings(asked[2:], again[2:])
    assert kept.computed - before == new + len(asked[0].prompt_ids) + written
    assert ids(again) == ids(Watched(model, 64).draw(asked, seed=2))


def test_two_replies_branch_a_kept_row():
    model = bare_model("llama")
    kept = Watched(model, 64, keep=True)
    first = request(PROMPTS[0], 1, 4)
    drawn = kept.sample([first, first], [0, 0], SamplingParams(), seed=0, eos_ids=STOPS)
    whole = (*PROMPTS[0], *drawn[0][0].ids)
    asked = [request((*whole, *REPLY), 1, 6), request((*whole, *REPLY[:3], 80), 1, 6)]
    before = kept.computed
    again = kept.draw(asked, seed=2)
    assert kept.computed - before == 1 + len(REPLY) + 1 + 4 + beginnings(asked, again)
    assert ids(again) == ids(Watched(model, 64).draw(asked, seed=2))


def test_long_replies_are_computed_in_parts(monkeypatch):
    monkeypatch.setattr("minirl.models.decoding.rows._CHUNK", 5)
    monkeypatch.setattr("minirl.models.decoding.rows._CHUNKS", 11)
    model = bare_model("gemma3")
    kept = Watched(model, 64, keep=True)
    asked = [request(p, 3, 6) for p in PROMPTS]
    asked = next_turn(asked, kept.draw(asked), 0)
    asked = [request((*r.prompt_ids, *range(40, 40 + 4 * k)), 1) for k, r in enumerate(asked)]
    assert ids(kept.draw(asked, seed=1)) == ids(Watched(model, 64).draw(asked, seed=1))


# What is left behind -------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("after", [1, 3])
def test_a_failure_leaves_the_model_as_it_was_and_the_rows_usable(monkeypatch, error, after):
    model = bare_model("llama")
    before = model.config._attn_implementation
    rows = Watched(model, 4, keep=True)
    asked = [request(p, 3) for p in PROMPTS]
    expected = rows.draw(asked)
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == after:
            raise error

    hook = model.model.layers[1].register_forward_pre_hook(fail)
    with pytest.raises(error):
        rows.draw(asked)
    hook.remove()
    assert model.config._attn_implementation == before
    assert not any("forward" in m.__dict__ for m in model.modules())
    assert rows.draw(asked) == expected
    assert ids(draw_samples(model, asked)) == ids(expected)
