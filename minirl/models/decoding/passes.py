"""Who attends to what in one forward pass over packed tokens: (1, N) ids, without padding.

Shapes: N tokens, R rows of at most M new tokens, H query heads in KV groups of ``H / KV``, D the
size of a head, P prompts of at most S tokens, L tokens of a row's suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from minirl.models.attention import Along
from minirl.models.decoding.store import Prompt, Prompts, Suffixes
from minirl.models.tree import token_tree


class Prefill(Along):
    """The prompts of one home are computed; what they begin with alike, once.

    Attributes:
        on_layer: told each layer's keys and values (N, KV, D) as they were computed.
    """

    def __init__(self, home: Prompts) -> None:
        self.home = home
        tree = token_tree([p.ids for p in home.members], home.lengths.device)
        super().__init__(tree)
        self.nodes = tree.rows  # of each prompt's tokens
        self.on_layer: Callable[[int, tuple[Tensor, Tensor]], None] | None = None
        self.ids, self.positions = tree.tokens, tree.depth  # (N,)
        self.last = torch.stack([path[-1] for path in tree.rows])  # (P,) each prompt's last token
        self._paths = pad_sequence(tree.rows, batch_first=True)  # (P, S)

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float, window: int | None
    ) -> Tensor:
        if self.on_layer is not None:
            self.on_layer(layer, (k, v))
        # Behind a prompt's end stands its first token, to which nobody attends.
        keys, values = (x.detach()[self._paths].transpose(1, 2).contiguous() for x in (k, v))
        self.home.layers[layer] = (keys, values)
        return super().attend(layer, q, k, v, scaling, window)


@dataclass(frozen=True, slots=True)
class Share:
    """Rows that continue the prompts of one home.

    Attributes:
        home: the prompts.
        queries: (P * G,) for each prompt the rows after it, filled up to G with any row.
        rows: (R',) the rows, ascending; None for all.
        prompt: (R',) the prompt of each of them, and
        rank: (R',) as which of its rows.
    """

    home: Prompts
    queries: Tensor
    rows: Tensor | None
    prompt: Tensor
    rank: Tensor


def shares(prompts: Sequence[Prompt], device: torch.device) -> list[Share]:
    """The rows, by the homes of their prompts.

    Args:
        prompts: (R,) what each row continues.
    """
    by_home: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_home.setdefault(id(prompt.home), []).append(row)
    result = []
    for rows in by_home.values():
        home = prompts[rows[0]].home
        assert home is not None
        after: list[list[int]] = [[] for _ in home.members]
        rank = []
        for row in rows:
            place = prompts[row].place
            rank.append(len(after[place]))
            after[place].append(row)
        most = max(map(len, after))
        result.append(
            Share(
                home,
                torch.tensor(
                    [r for few in after for r in [*few, *[rows[0]] * (most - len(few))]],
                    device=device,
                ),
                None if len(rows) == len(prompts) else torch.tensor(rows, device=device),
                torch.tensor([prompts[row].place for row in rows], device=device),
                torch.tensor(rank, device=device),
            )
        )
    return result


@dataclass(slots=True)
class Extend:
    """Rows go on: each has M or fewer new tokens after its prompt and its suffix.

    Attributes:
        suffixes: where the rows' own keys and values lie.
        shares: the rows by prompt.
        slots: (R,) the rows' slots, or a slice of as many.
        before: (R,) tokens of each row's suffix before this pass.
        prompt_lengths: (R,)
        row: (N,) the row of each new token, and
        rank: (N,) as which of its new tokens; rows are in order.
        most: M.
        deepest: L, tokens of the longest suffix with the new ones.
    """

    suffixes: Suffixes
    shares: list[Share]
    slots: Tensor | slice
    before: Tensor
    prompt_lengths: Tensor
    row: Tensor
    rank: Tensor
    most: int
    deepest: int
    windows: dict[int, int | None] = field(default_factory=dict)
    _hidden: dict[int | None, Tensor] = field(default_factory=dict)

    def _who_is_hidden(self, window: int | None) -> Tensor:
        """(R, M, S + L): which keys each query must not attend to; the prompt's come first."""
        if window in self._hidden:
            return self._hidden[window]
        device = self.before.device
        longest = max(s.home.longest for s in self.shares)
        own = torch.arange(self.deepest, device=device)
        at = self.before[:, None] + torch.arange(self.most, device=device)  # (R, M) in the suffix
        prompt = torch.arange(longest, device=device)
        beyond = prompt >= self.prompt_lengths[:, None]  # (R, S)
        hidden = torch.cat(
            [
                beyond[:, None].expand(-1, self.most, -1),
                own > at[..., None],  # (R, M, L)
            ],
            dim=-1,
        )
        if window is not None:
            position = self.prompt_lengths[:, None] + own  # (R, L)
            places = torch.cat([prompt.expand(len(position), -1), position], dim=-1)  # (R, S + L)
            here = self.prompt_lengths[:, None] + at  # (R, M)
            hidden = hidden | (places[:, None] <= here[..., None] - window)
        self._hidden[window] = hidden
        return hidden

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float, window: int | None
    ) -> Tensor:
        self.windows[layer] = window
        slot = self.slots[self.row] if isinstance(self.slots, Tensor) else self.row
        self.suffixes.write(layer, slot, self.before[self.row] + self.rank, k, v)
        heads, groups = q.size(1), k.size(1)
        rows, most, rep, size = len(self.before), self.most, heads // groups, q.size(2)
        # Scores in half precision are scaled before they can overflow.
        q = q * scaling
        if most == 1:
            q = q.view(rows, 1, groups, rep, size)
        else:
            padded = q.new_zeros(rows, most, heads, size)
            padded[self.row, self.rank] = q
            q = padded.view(rows, most, groups, rep, size)
        own_keys, own_values = (
            kept[self.slots, :, : self.deepest] for kept in self.suffixes.layers[layer]
        )  # (R, KV, L, D)
        longest = max(s.home.longest for s in self.shares)
        scores = q.new_zeros(rows, most, groups, rep, longest + self.deepest)
        for share in self.shares:
            keys = share.home.layers[layer][0]
            found = _to_rows(share, _of_prompts(share, q) @ keys.mT, most, rep)
            part = scores[..., : share.home.longest]
            if share.rows is None:
                part.copy_(found)
            else:
                part[share.rows] = found
        scores[..., longest:] = _by_row(_by_group(q) @ own_keys.mT, most, rep)
        scores.masked_fill_(self._who_is_hidden(window)[:, :, None, None], -torch.inf)
        probs = torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
        out = _by_row(_by_group(probs[..., longest:]) @ own_values, most, rep)
        out = out.contiguous()  # (R, M, KV, rep, D)
        for share in self.shares:
            values = share.home.layers[layer][1]
            part = probs[..., : share.home.longest]
            found = _to_rows(share, _of_prompts(share, part) @ values, most, rep)
            if share.rows is None:
                out += found
            else:
                out.index_add_(0, share.rows, found)
        out = out.view(rows, most, heads, size)
        return out[:, 0] if most == 1 else out[self.row, self.rank]


def _by_group(x: Tensor) -> Tensor:
    """(R, M, KV, rep, X) -> (R, KV, M * rep, X)"""
    grouped: Tensor = x.transpose(1, 2).flatten(2, 3)
    return grouped


def _by_row(x: Tensor, most: int, rep: int) -> Tensor:
    """(R, KV, M * rep, X) -> (R, M, KV, rep, X)"""
    whole: Tensor = x.unflatten(2, (most, rep))
    return whole.transpose(1, 2)


def _of_prompts(share: Share, x: Tensor) -> Tensor:
    """(R, M, KV, rep, X) -> (P, KV, G * M * rep, X)"""
    prompts = len(share.home.members)
    taken: Tensor = x.index_select(0, share.queries).unflatten(0, (prompts, -1))
    # (P, G, M, KV, rep, X)
    return taken.permute(0, 3, 1, 2, 4, 5).flatten(2, 4)


def _to_rows(share: Share, x: Tensor, most: int, rep: int) -> Tensor:
    """(P, KV, G * M * rep, X) -> (R', M, KV, rep, X)"""
    whole: Tensor = x.unflatten(2, (-1, most, rep))  # (P, KV, G, M, rep, X)
    return whole.permute(0, 2, 3, 1, 4, 5)[share.prompt, share.rank]
