"""Which problem is task ``index`` of a split: distinct problems, and splits disjoint by content.

An environment describes its problems and a canonical key for each; two problems with one key are
the same problem (3 + 4 and 4 + 3). The key alone decides the split
(:func:`minirl.envs.base.split_of`), so the same problem lies on the same side at every level and
for every option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from random import Random
from threading import Lock
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
    the split would keep: the place for costly checks. ``endless`` is the author's word that there
    are far more problems than a block holds; else a block is drawn to see. With ``one_stream`` both
    splits take their problems from the same draws, so that a costly draw is seldom made in vain;
    the tasks are others than without it.
    """

    def __init__(
        self,
        name: str,
        draw: Callable[[Random], P | None],
        key: Callable[[P], str],
        proof: Callable[[P], bool] | None = None,
        *,
        endless: bool = False,
        one_stream: bool = False,
    ) -> None:
        self._endless, self._one_stream = endless, one_stream
        self._name, self._draw, self._key, self._proof = name, draw, key, proof
        self._blocks: dict[tuple[Split, int], _Block[P]] = {}
        self._streams: dict[int, _Stream[P | None]] = {}
        self._turn = Lock()

    def pick(self, split: Split, index: int) -> P:
        number = 0 if index < BLOCK or self.size(split) is not None else index // BLOCK
        first = number * BLOCK
        found = self._found(split, number, index - first + 1)
        if 0 <= index - first < len(found):
            return found[index - first]
        return _at(self._name, self._found(split, number, BLOCK), split, index, first=first)

    def size(self, split: Split) -> int | None:
        if self._endless:
            return None
        first = self._found(split, 0, BLOCK)
        return len(first) if len(first) < BLOCK else None

    def _found(self, split: Split, number: int, wanted: int) -> list[P]:
        """The block's problems as far as they are drawn: ``wanted`` of them where it has so many.

        Drawing goes only as far as it must, so that the first task does not wait for a block.
        """
        with self._turn:
            block = self._blocks.get((split, number))
            if block is None:
                if len(self._blocks) >= _CACHED_BLOCKS:
                    self._forget(next(key[1] for key in self._blocks if key[1] > 0))
                block = self._blocks[split, number] = _Block([], self._fill(split, number))
            try:
                missing = min(wanted, BLOCK) - len(block.found)
                block.found.extend(islice(block.more, max(missing, 0)))
            except BaseException:
                self._forget(number)  # what broke off in the middle would look finished
                raise
            return block.found

    def _forget(self, number: int) -> None:
        for split in SPLITS:
            self._blocks.pop((split, number), None)
        self._streams.pop(number, None)

    def _fill(self, split: Split, number: int) -> Iterator[P]:
        seen: set[str] = set()
        misses = 0
        for problem in self._draws(split, number):
            text = None if problem is None else self._key(problem)
            if problem is None or text is None or text in seen or split_of(text) != split:
                misses += 1
            elif self._proof is None or self._proof(problem):
                seen.add(text)
                misses = 0
                yield problem
            else:
                misses += 1
            if len(seen) == BLOCK or misses == _PATIENCE:
                return

    def _draws(self, split: Split, number: int) -> Iterable[P | None]:
        """A block's draws, without end."""
        if not self._one_stream:
            rng = task_rng(self._name, split, number)
            return (self._draw(rng) for _ in count())
        if number not in self._streams:
            rng = task_rng(self._name, number)
            self._streams[number] = _Stream(lambda: self._draw(rng))
        return self._streams[number]


class _Stream(Generic[P]):
    """Draws that several can go through, each from the first one on."""

    def __init__(self, draw: Callable[[], P]) -> None:
        self._draw = draw
        self._drawn: list[P] = []

    def __iter__(self) -> Iterator[P]:
        for i in count():
            if i == len(self._drawn):
                self._drawn.append(self._draw())
            yield self._drawn[i]


@dataclass(slots=True)
class _Block(Generic[P]):
    """Problems drawn so far, and where more come from."""

    found: list[P]
    more: Iterator[P]


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
