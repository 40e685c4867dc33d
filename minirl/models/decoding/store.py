"""Keys and values that are kept: of prompts, once each, and of what follows them in every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

_FIRST_ROOM = 32  # tokens a slot holds at first; it doubles when it is full


@dataclass(slots=True, eq=False)
class Prompt:
    """One distinct prompt.

    Attributes:
        ids: its tokens.
        uses: rows that are written after it, or wait to be.
        home: where its keys and values lie, once they are computed, and
        place: as which of them.
        after: the logits after it (V,), while rows wait that begin with them.
    """

    ids: tuple[int, ...]
    uses: int = 0
    home: Prompts | None = None
    place: int = 0
    after: Tensor | None = None


class Prompts:
    """P prompts that were computed together: keys and values, padded on the right.

    Attributes:
        members: the prompts.
        lengths: (P,) their tokens.
        longest: S, tokens of the longest.
        layers: layer -> keys and values, each (P, KV heads, S, D).
    """

    def __init__(self, members: Sequence[Prompt], device: torch.device) -> None:
        self.members = list(members)
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}
        for place, prompt in enumerate(self.members):
            prompt.home, prompt.place = self, place
        self._measure(device)

    def _measure(self, device: torch.device) -> None:
        lengths = [len(p.ids) for p in self.members]
        self.longest = max(lengths)
        self.lengths = torch.tensor(lengths, device=device)

    def shrink(self) -> bool:
        """Forget prompts that no row uses, once they are half of all. Whether it did."""
        used = [p for p in self.members if p.uses]
        if not used or 2 * len(used) > len(self.members):
            return False
        device = self.lengths.device
        keep = torch.tensor([p.place for p in used], device=device)
        longest = max(len(p.ids) for p in used)
        for layer, (keys, values) in self.layers.items():
            self.layers[layer] = (keys[keep, :, :longest], values[keep, :, :longest])
        self.members = used
        for place, prompt in enumerate(used):
            prompt.place = place
        self._measure(device)
        return True


@dataclass(slots=True)
class Suffixes:
    """What follows the prompt in every row: a slot a row, of ``room`` tokens.

    A token is written in place; nothing is copied but when slots or room are added.
    """

    slots: int = 0
    room: int = 0
    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # (slots, KV, room, D)

    def reserve(self, slots: int, room: int) -> None:
        """Make place for that many rows of that many tokens."""
        if slots <= self.slots and room <= self.room:
            return
        self.slots = max(self.slots, slots)
        while self.room < room:
            self.room = max(_FIRST_ROOM, 2 * self.room)
        for layer, pair in self.layers.items():
            keys, values = (self._larger(old) for old in pair)
            self.layers[layer] = (keys, values)

    def _larger(self, old: Tensor) -> Tensor:
        slots, heads, room, size = old.shape
        # Zeros, for what was never written is multiplied with probabilities that are 0.
        new = old.new_zeros(self.slots, heads, self.room, size)
        new[:slots, :, :room] = old
        return new

    def write(self, layer: int, slots: Tensor, at: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put keys and values (N, KV, D) of N tokens to their slots, at their places there."""
        if layer not in self.layers:
            heads = keys.size(1)
            k, v = (x.new_zeros(self.slots, heads, self.room, x.size(2)) for x in (keys, values))
            self.layers[layer] = (k, v)
        for kept, new in zip(self.layers[layer], (keys, values), strict=True):
            kept.transpose(1, 2)[slots, at] = new

    def move(self, source: Sequence[int], target: Sequence[int], tokens: int) -> None:
        """Move rows between slots, all at once: a slot may be both source and target.

        Args:
            tokens: how many of each row's tokens there are to move, at most.
        """
        if not source or not tokens:
            return
        for pair in self.layers.values():
            for kept in pair:
                part = kept[:, :, :tokens]
                at = torch.tensor(target, device=kept.device)
                part[at] = part[torch.tensor(source, device=kept.device)]
