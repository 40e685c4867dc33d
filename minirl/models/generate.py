"""Sampling through a model's own ``generate``, for models whose fast decoding lives in there
(Unsloth's).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from minirl.models.decoding.drawing import Dice, SamplingParams, draw
from minirl.models.decoding.plain import left_pad, row_numbers
from minirl.models.merge import adapter_off
from minirl.models.sampler import Draw, evaluating
from minirl.types import Request, Sample, StopReason


class _Chooser:
    """A logits processor that draws each token itself and leaves ``generate`` no choice.

    So the tokens come from minirl's random numbers, and their log-probabilities are
    taken where the logits are at hand, without keeping (rows x tokens x vocabulary) of them.
    """

    def __init__(self, params: SamplingParams, dice: Dice) -> None:
        self._params = params
        self._dice = dice
        self.logps: list[Tensor] = []  # (rows,) a token

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        ids, logp = draw(scores, self._params, self._dice.at(len(self.logps)))
        self.logps.append(logp)
        return torch.full_like(scores, -torch.inf).scatter_(1, ids[:, None], 0.0)


class GenerateSampler:
    """Samples with ``model.generate``; the adapter is applied as the model applies it."""

    in_batches = True

    @contextmanager
    def session(
        self, model: Any, *, use_adapter: bool, batch: int, keep: bool = False
    ) -> Iterator[Draw]:
        def draw_batch(
            requests: Sequence[Request],
            rows: Sequence[int],
            params: SamplingParams,
            *,
            seed: int,
            eos_ids: frozenset[int],
            pad_id: int,
        ) -> list[list[Sample]]:
            # One limit a call: a row with room for fewer tokens would end the context of the rest.
            by_limit: dict[int, list[int]] = defaultdict(list)
            for at, request in enumerate(requests):
                by_limit[request.max_tokens].append(at)
            results: list[list[Sample]] = [[] for _ in requests]
            for limit, places in by_limit.items():
                part = [requests[at] for at in places]
                dice = Dice(seed, row_numbers(part, [rows[at] for at in places]), limit)
                prompts = [r.prompt_ids for r in part for _ in range(r.n)]
                samples = iter(
                    _generate(model, prompts, limit, _Chooser(params, dice), eos_ids, pad_id)
                )
                for at in places:
                    results[at] = [next(samples) for _ in range(requests[at].n)]
            return results

        with evaluating(model), nullcontext() if use_adapter else adapter_off(model):
            yield draw_batch


def _generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    limit: int,
    chooser: _Chooser,
    eos_ids: frozenset[int],
    pad_id: int,
) -> list[Sample]:
    """One sample a prompt."""
    ids, mask = left_pad(prompts, pad_id, model.device)  # (B, S)
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=1.0,
            eos_token_id=sorted(eos_ids),
            pad_token_id=pad_id,
            logits_processor=[chooser],
            use_cache=True,
        )
    written = out[:, ids.size(1) :].tolist()
    logps = torch.stack(chooser.logps, dim=1).tolist()  # (B, T)
    return [_cut(i, lp, eos_ids) for i, lp in zip(written, logps, strict=True)]


def _cut(ids: list[int], logps: list[float], eos_ids: frozenset[int]) -> Sample:
    """The row up to its end of turn; after it ``generate`` pads."""
    end = next((at + 1 for at, token in enumerate(ids) if token in eos_ids), None)
    stop = StopReason.LENGTH if end is None else StopReason.EOS
    return Sample(tuple(ids[:end]), tuple(logps[:end]), stop)
