"""The prompts' forward passes of a step's rollouts, kept for its training pass.

A step computes every prompt twice: to sample what follows it, and to train. Both times the weights
are the same, and so are the states. Where sampling merges no adapter into the model's matrices
(:class:`~minirl.models.decoding.halves.Halves`, on a CPU), the first pass serves for both: autograd
records it, and the training pass computes the replies alone. Their gradient gathers at the prompts'
keys, values and last states, and goes on through the recorded pass, once for all replies.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minirl.models.attention import Given
from minirl.models.decoding.forward import prefill
from minirl.models.decoding.passes import Prefill
from minirl.models.tree import TokenTree

Prompt = tuple[int, ...]


@dataclass(slots=True, eq=False)
class _Recorded:
    """One pass over some prompts, N nodes in all.

    Attributes:
        nodes: of each prompt's tokens.
        versions: how often each trained parameter had been written before it.
        outputs: states before the head (N, hidden), then each layer's keys and values (N, KV, D).
        leaves: the same for later passes, whose gradients gather there.
    """

    nodes: dict[Prompt, Tensor]
    versions: list[int]
    outputs: list[Tensor]
    leaves: list[Tensor]

    def __len__(self) -> int:
        return len(self.outputs[0])

    def used(self, prompts: Collection[Prompt]) -> int:
        """How many nodes are of these prompts."""
        found = [nodes for prompt, nodes in self.nodes.items() if prompt in prompts]
        return torch.cat(found).unique().numel() if found else 0


class KeptPrompts:
    """What a step has computed of its prompts.

    Args:
        model: with the parameters that are trained.
        room: most tokens that are kept; what prompts share counts once.
    """

    def __init__(self, model: torch.nn.Module, room: int) -> None:
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._room = room
        self._passes: list[_Recorded] = []

    @property
    def tokens(self) -> int:
        """How many are kept."""
        return sum(map(len, self._passes))

    @property
    def free(self) -> int:
        """How many more there is room for."""
        return self._room - self.tokens

    def prefill(self, model: Any, step: Prefill) -> Tensor:
        """Compute the prompts and keep the pass; the logits after each, (P, V)."""
        states: list[Tensor] = []
        layers: dict[int, tuple[Tensor, Tensor]] = {}
        step.on_layer = layers.__setitem__
        hook = model.base_model.register_forward_hook(
            lambda _module, _args, output: states.append(output.last_hidden_state[0])
        )
        try:
            with torch.inference_mode(False), torch.enable_grad():
                logits = prefill(model, step).detach()
                outputs = [*states, *(x for at in sorted(layers) for x in layers[at])]
                leaves = [x.detach().requires_grad_(x.requires_grad) for x in outputs]
        finally:
            hook.remove()
        nodes = {p.ids: path for p, path in zip(step.home.members, step.nodes, strict=True)}
        self._passes.append(_Recorded(nodes, self._versions(), outputs, leaves))
        return logits

    def _versions(self) -> list[int]:
        return [p._version for p in self._trained]

    def settle(self, prompts: Collection[Prompt]) -> None:
        """Forget what is of no use to train on ``prompts``: passes with other weights, and those of
        which half or less is theirs. The way back leads through the whole of a pass, and costs
        as much as the way there.
        """
        self._passes = [
            kept
            for kept in self._passes
            if kept.versions == self._versions() and 2 * kept.used(prompts) > len(kept)
        ]

    def holds(self, prompt: Prompt) -> bool:
        """Whether a prompt is kept."""
        return any(prompt in kept.nodes for kept in self._passes)

    def given(
        self, tree: TokenTree, rows: Sequence[Sequence[int]], prompts: Sequence[int]
    ) -> Given | None:
        """The nodes of the rows' tree that are kept; None where none is.

        Args:
            prompts: how many tokens of each row are its prompt.
        """
        source = torch.full((len(tree),), -1)  # of each node, among those of all passes
        offset = 0
        for kept in self._passes:
            for row, path, count in zip(rows, tree.rows, prompts, strict=True):
                nodes = kept.nodes.get(tuple(row[:count]))
                if nodes is not None:
                    source[path[:count]] = offset + nodes
            offset += len(kept)
        new, old = (source < 0).nonzero().squeeze(1), (source >= 0).nonzero().squeeze(1)
        if not len(old):
            return None
        order = torch.empty_like(source)
        order[torch.cat([new, old])] = torch.arange(len(tree))
        hidden, *layers = (
            torch.cat(leaves).index_select(0, source[old])
            for leaves in zip(*(kept.leaves for kept in self._passes), strict=True)
        )
        pairs = zip(layers[::2], layers[1::2], strict=True)
        return Given(new, order, dict(enumerate(pairs)), hidden)

    def backward(self) -> None:
        """Send the gradients that have gathered through the kept passes, and forget these."""
        passes, self._passes = self._passes, []
        for kept in passes:
            reached = [i for i, leaf in enumerate(kept.leaves) if leaf.grad is not None]
            if reached:
                torch.autograd.backward(
                    [kept.outputs[i] for i in reached], [kept.leaves[i].grad for i in reached]
                )
