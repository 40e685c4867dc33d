"""Which problem is task ``index`` of a split: distinct problems, and splits disjoint by content.

An environment describes its problems and a canonical key for each; two problems with one key are
the same problem (3 + 4 and 4 + 3). The key alone decides the split
(:func:`minirl.envs.base.split_of`), so the same problem lies on the same side at every level and
for every option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Generic, Protocol, TypeVar

from minirl.envs.base import split_of, task_rng
from minirl.errors import ConfigError
from minirl.types import SPLITS, Split

BLOCK = 1024  # a Drawn universe never repeats a problem within a block of this many indices
_PATIENCE = 4000  # consecutive draws without a new problem before a block is called exhausted
_CACHED_BLOCKS = 32

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)


class Universe(Protocol[P_co]):
    """All problems of one configuration."""

    def pick(self, split: Split, index: int) -> P_co:
        """Problem ``index``; past the last one ``train`` starts again and ``test`` is an error."""

    def size(self, split: Split) -> int | None:
        """How many distinct problems the split has; None where they do not run out in practice."""


class Listed(Generic[P]):
    """A universe small enough to write down (some 50,000 problems at most), shuffled once."""

    def __init__(self, name: str, problems: Iterable[P], key: Callable[[P], str]) -> None:
        shuffled = list(problems)
        task_rng(name, "universe").shuffle(shuffled)
        distinct: dict[str, P] = {}
        for problem in shuffled:
            distinct.setdefault(key(problem), problem)
        self._name = name
        self._split: dict[Split, list[P]] = {split: [] for split in SPLITS}
        for text, problem in distinct.items():
            self._split[split_of(text)].append(problem)

    def pick(self, split: Split, index: int) -> P:
        return _at(self._name, self._split.get(split, []), split, index, first=0)

    def size(self, split: Split) -> int:
        return len(self._split[split])


class Drawn(Generic[P]):
    """A universe too large to write down: random draws, of which the split keeps its own.

    Problems are distinct within each block of ``BLOCK`` indices; across blocks a repeat is
    possible, and rare in a large universe. One that turns out smaller than a block is treated as
    finite. ``draw`` may return None to reject a draw, and so may ``proof``, which sees only what
    the split would keep: the place for costly checks.
    """

    def __init__(
        self,
        name: str,
        draw: Callable[[Random], P | None],
        key: Callable[[P], str],
        proof: Callable[[P], bool] | None = None,
    ) -> None:
        self._name, self._draw, self._key, self._proof = name, draw, key, proof
        self._blocks: dict[tuple[Split, int], list[P]] = {}

    def pick(self, split: Split, index: int) -> P:
        number = 0 if index < BLOCK or self.size(split) is not None else index // BLOCK
        return _at(self._name, self._block(split, number), split, index, first=number * BLOCK)

    def size(self, split: Split) -> int | None:
        first = self._block(split, 0)
        return len(first) if len(first) < BLOCK else None

    def _block(self, split: Split, number: int) -> list[P]:
        block = self._blocks.get((split, number))
        if block is None:
            if len(self._blocks) >= _CACHED_BLOCKS:
                del self._blocks[next(key for key in self._blocks if key[1] > 0)]
            block = self._blocks[split, number] = self._fill(split, number)
        return block

    def _fill(self, split: Split, number: int) -> list[P]:
        rng = task_rng(self._name, split, number)
        found: dict[str, P] = {}
        misses = 0
        while len(found) < BLOCK and misses < _PATIENCE:
            problem = self._draw(rng)
            text = None if problem is None else self._key(problem)
            if problem is None or text is None or text in found or split_of(text) != split:
                misses += 1
            elif self._proof is None or self._proof(problem):
                found[text] = problem
                misses = 0
            else:
                misses += 1
        return list(found.values())


def _at(name: str, problems: list[P], split: Split, index: int, *, first: int) -> P:
    """Problem ``index`` of a list whose first member has index ``first``."""
    if index < 0:
        raise ConfigError(f"{name}: task indices start at 0", got=str(index))
    if not problems:
        raise ConfigError(
            f"{name}: these options leave no problem for the {split} split",
            fix="widen the ranges in the environment's options",
        )
    offset = index - first
    if split == "test" and offset >= len(problems):
        raise ConfigError(
            f"{name}: there is no test task {index}; the test split has only "
            f"{len(problems)} different problems with these options",
            expected=f"an index from 0 to {first + len(problems) - 1}",
            got=str(index),
            fix=f"evaluate on at most {len(problems)} tasks, or choose a larger level",
        )
    return problems[offset % len(problems)]
