"""Rows of tokens as one tree, so that what rows have in common is computed once.

In a step of GRPO the G rollouts of a task share their prompt, the prompts of an environment often
share their beginning (rules, worked examples), and the rollouts of a task often begin alike. A
causal model's state at a token depends on the tokens before it alone, so one state serves every row
that is equal up to there, and its gradient is the sum of theirs: the tree's pass gives exactly the
log-probabilities and gradients of the plain one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

Run = tuple[int, int]  # nodes from the first up to, not including, the second

# Nodes that attend to each other in one dense product: more waste work on pairs that are masked,
# fewer waste calls.
BLOCK = 128
TRUNK = 1024  # the same along a path, of which half is masked


@dataclass(frozen=True, slots=True)
class Block:
    """Nodes whose attention is computed together.

    Attributes:
        queries: the run of nodes that attend.
        keys: the runs that they attend to, in order; the last one ends as ``queries`` does.
        causal: whether plain causal masking says who attends to whom.
    """

    queries: Run
    keys: tuple[Run, ...]
    causal: bool


@dataclass(slots=True)
class TokenTree:
    """N nodes, a token each, parents before children and every subtree in one run.

    Attributes:
        tokens: (N,) token of each node.
        depth: (N,) how many tokens stand before it in its rows: its position.
        parent: (N,) the node before it; -1 at a root.
        end: (N,) the first node behind its subtree: v is u or before it where v <= u < end[v].
        rows: for each row the nodes of its tokens, in order.
        blocks: the nodes, cut for attention.
    """

    tokens: torch.Tensor
    depth: torch.Tensor
    parent: torch.Tensor
    end: torch.Tensor
    rows: list[torch.Tensor]
    blocks: tuple[Block, ...]
    _masks: dict[tuple[Block, int | None, torch.dtype], torch.Tensor | None] = field(
        default_factory=dict
    )

    def __len__(self) -> int:
        return self.tokens.numel()

    def mask(self, block: Block, window: int | None, dtype: torch.dtype) -> torch.Tensor | None:
        """What is added to a block's attention scores (queries, keys): 0 where a key is the query
        or before it in its rows (and less than ``window`` tokens before), else -inf. None where
        plain causal masking says the same. Kept, because every layer asks for it.
        """
        key = (block, window, dtype)
        if key not in self._masks:
            self._masks[key] = self._mask(block, window, dtype)
        return self._masks[key]

    def _mask(self, block: Block, window: int | None, dtype: torch.dtype) -> torch.Tensor | None:
        a, b = block.queries
        if block.causal and (window is None or b - a <= window):
            return None
        nodes = torch.arange(len(self), device=self.tokens.device)
        q, k = nodes[a:b, None], torch.cat([nodes[s:e] for s, e in block.keys])
        seen = (k <= q) & (q < self.end[k])
        if window is not None:
            seen &= self.depth[q] - self.depth[k] < window
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
            ~seen, -torch.inf
        )


def token_tree(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> TokenTree:
    """The tree of some rows of tokens; each must have one at least.

    Sorted, rows with a common beginning stand together, and each adds the nodes behind what it has
    in common with the row before.
    """
    tokens: list[int] = []
    depth: list[int] = []
    parent: list[int] = []
    count = sum(map(len, rows))
    end = np.full(count, -1, dtype=np.int64)
    paths: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(rows)
    before: list[int] = []
    path = np.empty(0, dtype=np.int64)
    for at in sorted(range(len(rows)), key=lambda i: list(rows[i])):
        row = list(rows[at])
        common, first = _common(before, row), len(tokens)
        end[path[common:]] = first
        new = np.arange(first, first + len(row) - common)
        tokens.extend(row[common:])
        depth.extend(range(common, len(row)))
        path = np.concatenate([path[:common], new])
        parent.extend(path[common - 1 : -1] if common else [-1, *path[:-1]])
        paths[at] = path
        before = row
    n = len(tokens)
    end[path] = n
    end = end[:n]
    return TokenTree(
        tokens=torch.tensor(tokens, device=device),
        depth=torch.tensor(depth, device=device),
        parent=torch.tensor(parent, device=device),
        end=torch.from_numpy(end).to(device),
        rows=[torch.from_numpy(p).to(device) for p in paths],
        blocks=tuple(_blocks(end, 0, n, ())),
    )


def count_nodes(rows: Sequence[Sequence[int]]) -> int:
    """How many nodes the tree of these rows has."""
    ordered = sorted(map(list, rows))
    shared = (_common(a, b) for a, b in pairwise(ordered))
    return sum(map(len, rows)) - sum(shared)


def _common(a: list[int], b: list[int]) -> int:
    most = min(len(a), len(b))
    if a[:most] == b[:most]:
        return most
    return next(i for i in range(most) if a[i] != b[i])


def _blocks(end: np.ndarray, first: int, stop: int, before: tuple[Run, ...]) -> Iterator[Block]:
    """Cut the subtrees that fill the nodes from ``first`` to ``stop``, all of which stand behind
    the path ``before``: small neighbours together, a large one into its trunk and its branches.
    """
    start = first
    while start < stop:
        trunk = _trunk(end, start)
        if end[start] - start > BLOCK:
            for a in range(start, trunk, TRUNK):
                b = min(a + TRUNK, trunk)
                yield Block((a, b), _joined(*before, (start, b)), causal=not before and a == start)
            yield from _blocks(end, trunk, int(end[start]), _joined(*before, (start, trunk)))
            start = int(end[start])
            continue
        reach = start
        while reach < stop and end[reach] - start <= BLOCK:
            reach = int(end[reach])
        causal = not before and trunk == reach
        yield Block((start, reach), _joined(*before, (start, reach)), causal)
        start = reach


def _joined(*runs: Run) -> tuple[Run, ...]:
    """The runs, those that touch made one."""
    out: list[Run] = []
    for start, stop in runs:
        if out and out[-1][1] == start:
            start = out.pop()[0]
        out.append((start, stop))
    return tuple(out)


def _trunk(end: np.ndarray, start: int) -> int:
    """Where the path that begins at ``start`` ends or branches: the node behind its last."""
    node = start
    while node + 1 < end[start] and end[node + 1] == end[start]:
        node += 1
    return node + 1
