"""Log-probabilities of completions through a tree of tokens: what rows share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from minirl.models.attention import (
    Along,
    Given,
    UnfitError,
    own_attention,
    undeclared_windows,
    unknown_layers,
)
from minirl.models.tree import TokenTree, count_nodes, token_tree
from minirl.train.kept import KeptPrompts
from minirl.train.logprob_head import token_logprobs

# Heads that do more than softcap(hidden Wᵀ + bias).
_SCALED_HEADS = ("logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")


def shared_logprobs(
    model: Any,
    rows: Sequence[Sequence[int]],
    prompts: Sequence[int],
    *,
    temperature: float = 1.0,
    kept: KeptPrompts | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies, fp32, of the tokens behind each row's prompt.

    Args:
        model: a causal language model of transformers (peft's own layers may stand in it).
        rows: B rows of tokens.
        prompts: how many of them are each row's prompt, one at least.
        temperature: by which the logits are divided.
        kept: prompts that are not computed again.

    Returns:
        Two tensors (Σ tokens behind the prompts), row after row.

    Raises:
        UnfitError: the model attends in a way that minirl does not know.
    """
    tree = token_tree(rows, model.device)
    given = kept.given(tree, rows, prompts) if kept else None
    return _along(model, tree, Along(tree, given), prompts, temperature, given)


def _along(
    model: Any,
    tree: TokenTree,
    along: Along,
    prompts: Sequence[int],
    temperature: float,
    given: Given | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    backbone, head = model.base_model, model.get_output_embeddings()
    scored = torch.cat([path[p:] for path, p in zip(tree.rows, prompts, strict=True)])
    nodes, place = scored.unique(return_inverse=True)
    new = slice(None) if given is None else given.new
    hidden = backbone(
        input_ids=tree.tokens[new][None],
        position_ids=tree.depth[new][None],
        use_cache=False,
        minirl_pass=along,
    ).last_hidden_state[0]
    if given is not None:
        hidden = given.beside(hidden, given.hidden)  # (N, H)
    logps, entropies = token_logprobs(
        hidden[tree.parent[nodes]],
        head.weight,
        head.bias,
        tree.tokens[nodes],
        temperature=temperature,
        softcap=getattr(model.config.get_text_config(), "final_logit_softcapping", None),
    )
    return logps[place], entropies[place]


def why_not(model: Any) -> str | None:
    """Why a model cannot go the way of :func:`shared_logprobs`; None where it can.

    It is tried: two short rows that begin alike must give what the model gives for each alone.
    """
    config = model.config.get_text_config()
    if unknown := unknown_layers(config):
        return unknown
    scaled = [n for n in _SCALED_HEADS if getattr(config, n, None) is not None]
    if scaled:
        return f"its head scales the logits ({scaled[0]})"
    start = list(range(3, 15))
    rows = [[*start, 5, 9, 4], [*start, 5, 7], [*start, 8, 8, 8, 6]]
    before = model.training
    model.eval()
    try:
        with torch.no_grad():
            with own_attention(model):
                tree = token_tree(rows, model.device)
                along = Along(tree)
                ours, _ = _along(model, tree, along, [len(start)] * len(rows), 1.0)
            theirs = torch.cat([_plain(model, row)[len(start) - 1 :] for row in rows])
    except (UnfitError, TypeError, AttributeError) as error:  # or it takes no such keyword
        return f"its attention is of another kind ({type(error).__name__}: {error})"
    finally:
        model.train(before)
    if undeclared := undeclared_windows(config, along.windows):
        return undeclared
    off = float((ours - theirs).abs().max())
    tolerance = 1e-3 if theirs.dtype == config.dtype == torch.float32 else 0.1
    return None if off <= tolerance else f"a tree of tokens gives other numbers (by {off:.2g})"


def _plain(model: Any, row: list[int]) -> torch.Tensor:
    """Log-probability of each token of one row behind its first."""
    ids = torch.tensor([row], device=model.device)
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
    return logits.log_softmax(-1).gather(1, ids[0, 1:, None]).squeeze(1)


def cut(rows: Sequence[Sequence[int]], budget: int) -> list[list[int]]:
    """Places of the rows in parts whose trees hold at most ``budget`` tokens each, as few in all as
    can be; the largest first, so that memory fails at once or not at all.

    A row that is longer than the budget is a part of its own.
    """
    order = sorted(range(len(rows)), key=lambda i: list(rows[i]))
    grows = [0] * len(rows)  # nodes that a row adds behind the one before it
    for i in range(1, len(order)):
        pair = [rows[order[i - 1]], rows[order[i]]]
        grows[i] = count_nodes(pair) - len(pair[0])
    least: list[tuple[float, int]] = [(0.0, 0)]  # (nodes, where the last part begins) of a prefix
    for stop in range(1, len(order) + 1):
        best, nodes = (float("inf"), 0), 0
        for first in range(stop - 1, -1, -1):
            size = len(rows[order[first]]) + nodes
            if size > budget and first < stop - 1:
                break
            best = min(best, (least[first][0] + size, first))
            nodes += grows[first]
        least.append(best)
    parts, stop = [], len(order)
    while stop:
        first = least[stop][1]
        parts.append(sorted(order[first:stop]))
        stop = first
    return sorted(parts, key=lambda part: -count_nodes([rows[i] for i in part]))
