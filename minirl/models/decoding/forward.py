"""A transformers model, run over packed tokens with :mod:`minirl.models.attention`."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from minirl.models.attention import Pass
from minirl.models.decoding.passes import Extend, Prefill


class Recorder(Protocol):
    """Computes prompts for sampling in a pass that training uses, too.

    Attributes:
        free: tokens that it still takes.
    """

    @property
    def free(self) -> int: ...

    def prefill(self, model: Any, step: Prefill) -> Tensor:
        """As :func:`prefill`."""


def prefill(model: Any, step: Prefill) -> Tensor:
    """Compute the prompts; the logits after each, (P, V)."""
    return _run(model, step, step.ids, step.positions, step.last)


def extend(model: Any, step: Extend, ids: Tensor) -> Tensor:
    """Compute the rows' new tokens ``ids`` (N,); the logits after each row's last, (R, V)."""
    positions = (step.prompt_lengths + step.before)[step.row] + step.rank
    if step.most == 1:
        last = step.row
    else:
        ends = torch.bincount(step.row, minlength=len(step.before)).cumsum(0)
        last = ends - 1
    return _run(model, step, ids, positions, last)


def _run(model: Any, step: Pass, ids: Tensor, positions: Tensor, keep: Tensor) -> Tensor:
    logits: Tensor = model(
        input_ids=ids[None],
        position_ids=positions[None],
        use_cache=False,
        # As an index: of a strided slice, torch 2.13's CPU matmul would copy the whole head matrix
        # once a row, 3.6 GB for 64 rows of a 49,152-token vocabulary.
        logits_to_keep=keep,
        minirl_pass=step,
    ).logits
    return logits[0]
