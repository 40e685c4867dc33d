"""Whether a model can be decoded minirl's way: looked at, and tried on a few tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from minirl.models.attention import own_attention, undeclared_windows, unknown_layers
from minirl.models.decoding.forward import extend, prefill
from minirl.models.decoding.passes import Extend, Prefill, shares
from minirl.models.decoding.store import Prompt, Prompts, Suffixes

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the logits' spread
_TOLERANCE_HALF = 0.1
# Two prompts; three rows that continue them, by so many tokens in a first pass and by one after it.
_PROMPTS = ((0, 5), (5, 8))
_AFTER = (0, 1, 0)
_NEW = (2, 1, 3)


@torch.inference_mode()
def why_unfit(model: Any) -> str | None:
    """What stands against decoding ``model`` over packed tokens; None where nothing does.

    Prompts and rows of several lengths are computed packed, and each row plainly, by itself. Their
    logits have to agree, and each layer has to say the sliding window that the config gives it.

    Args:
        model: a transformers model, in evaluation mode.
    """
    config = model.config.get_text_config()
    if unknown := unknown_layers(config):
        return unknown
    try:
        windows, packed = _packed(model)
    except Exception as error:  # whatever a model's code raises where it is not called as usual
        return f"{type(error).__name__}: {error}"
    if undeclared := undeclared_windows(config, windows):
        return undeclared
    plain = _plain(model)
    worst = float((packed - plain).abs().max() / plain.std())
    allowed = _TOLERANCE.get(model.dtype, _TOLERANCE_HALF)
    return None if worst <= allowed else f"its logits differ by {worst:.1e} of their spread"


def _tokens(model: Any, start: int, count: int) -> list[int]:
    """Some ids: those in the middle of the vocabulary are hardly special."""
    size = int(model.get_input_embeddings().weight.shape[0])
    return [size // 2 + (7 * i) % max(1, size // 4) for i in range(start, start + count)]


def _packed(model: Any) -> tuple[dict[int, int | None], Tensor]:
    device = model.device
    prompts = [Prompt(tuple(_tokens(model, a, b - a)), uses=1) for a, b in _PROMPTS]
    before = [0] * len(_NEW)
    got = []
    with own_attention(model):
        prefill(model, Prefill(Prompts(prompts, device)))
        suffixes = Suffixes()
        suffixes.reserve(len(_NEW), max(_NEW) + 1)
        for counts in (_NEW, (1,) * len(_NEW)):
            step = Extend(
                suffixes,
                shares([prompts[i] for i in _AFTER], device),
                slice(0, len(_NEW)),
                before=torch.tensor(before, device=device),
                prompt_lengths=torch.tensor([len(prompts[i].ids) for i in _AFTER], device=device),
                row=torch.tensor([r for r, n in enumerate(counts) for _ in range(n)]).to(device),
                rank=torch.tensor([k for n in counts for k in range(n)]).to(device),
                most=max(counts),
                deepest=max(b + n for b, n in zip(before, counts, strict=True)),
            )
            new = [
                i
                for row, n in enumerate(counts)
                for i in _tokens(model, 20 * (row + 1) + before[row], n)
            ]
            got.append(extend(model, step, torch.tensor(new, device=device)))
            before = [b + n for b, n in zip(before, counts, strict=True)]
    return step.windows, torch.stack(got, dim=1).float()  # (R, 2, V)


def _plain(model: Any) -> Tensor:
    rows = []
    for row, (which, new) in enumerate(zip(_AFTER, _NEW, strict=True)):
        start, end = _PROMPTS[which]
        ids = [*_tokens(model, start, end - start), *_tokens(model, 20 * (row + 1), new + 1)]
        logits = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits
        rows.append(logits[0, -2:].float())
    return torch.stack(rows)
