"""Which of reasoning-gym's entries is task ``index`` of a split.

Entries are drawn one after the other; the hash of the question says which split an entry is of, a
question met before is passed over, and so is an entry that their scorer cannot judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from minirl.envs.base import split_of
from minirl.errors import ConfigError, EnvironmentFault
from minirl.types import SPLITS, Split

BLOCK = 1024  # train tasks are distinct within so many; test tasks are all distinct
STRIDE = 2**18  # entries that one block may draw from
PREVIEW = 40  # entries in which a small universe shows itself by a repeat (some 1,000 problems)
PATIENCE = 1000  # consecutive entries without a new problem: there are no more
BROKEN = 20  # entries that cannot be judged, and not one that can: their task is broken
_CACHED_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class Drawn:
    """One entry: its number, and what is shown and known of it."""

    number: int
    question: str
    answer: str | None

    @property
    def key(self) -> str:
        return hashlib.sha256(self.question.encode("utf-8", "backslashreplace")).hexdigest()[:32]


@dataclass(slots=True)
class Block:
    """What has been drawn so far from one stretch of entries."""

    next: int
    found: dict[Split, list[Drawn]] = field(default_factory=lambda: {s: [] for s in SPLITS})
    seen: set[str] = field(default_factory=set)
    misses: int = 0
    broken: int = 0
    repeats: int = 0
    drawn: int = 0


class Stream:
    """A universe that is drawn only as far as it is asked for.

    Args:
        name: for error messages.
        draw: the entry of a number; None where it cannot be generated.
        sound: whether an entry can be judged; called once a problem.
    """

    def __init__(
        self, name: str, draw: Callable[[int], Drawn | None], sound: Callable[[Drawn], bool]
    ) -> None:
        self._name, self._draw, self._sound = name, draw, sound
        self._blocks: dict[int, Block] = {}

    def preview(self, n: int) -> list[Drawn]:
        """The first ``n`` entries, whatever their split."""
        return [drawn for number in range(n) if (drawn := self._draw(number))]

    def pick(self, split: Split, index: int) -> Drawn:
        """Problem ``index``; past the last one ``train`` starts again and ``test`` is an error."""
        if index < 0:
            raise ConfigError(f"{self._name}: task indices start at 0", got=str(index))
        number, offset = divmod(index, BLOCK) if split == "train" else (0, index)
        if number and self.size("train") is not None:
            number, offset = 0, index
        found = self._reach(number, split, offset + 1)
        if not found:
            raise ConfigError(
                f"{self._name}: these options leave no problem for the {split} split",
                fix="widen the ranges in the environment's options",
            )
        if split == "test" and offset >= len(found):
            raise ConfigError(
                f"{self._name}: there is no test task {index}; the test split has only "
                f"{len(found)} different problems with these options",
                expected=f"an index from 0 to {len(found) - 1}",
                got=str(index),
                fix=f"evaluate on at most {len(found)} tasks, or choose a larger level",
            )
        return found[offset % len(found)]

    def size(self, split: Split) -> int | None:
        """How many problems the split has; None where the first entries show no repeat, or where
        there are a block of them.
        """
        block = self._block(0)
        while block.drawn < PREVIEW and not self._over(block):
            self._extend(block)
        if not block.repeats:
            return None
        found = self._reach(0, split, BLOCK)
        return len(found) if len(found) < BLOCK else None

    def _reach(self, number: int, split: Split, n: int) -> list[Drawn]:
        block = self._block(number)
        while len(block.found[split]) < n and not self._over(block):
            self._extend(block)
        return block.found[split]

    def _over(self, block: Block) -> bool:
        return block.misses >= PATIENCE or block.drawn >= STRIDE

    def _block(self, number: int) -> Block:
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) >= _CACHED_BLOCKS:
                del self._blocks[next(key for key in self._blocks if key > 0)]
            block = self._blocks[number] = Block(next=number * STRIDE)
        return block

    def _extend(self, block: Block) -> None:
        drawn = self._draw(block.next)
        block.next += 1
        block.drawn += 1
        if drawn is not None and drawn.key in block.seen:
            block.misses += 1
            block.repeats += 1
            return
        if drawn is not None:
            block.seen.add(drawn.key)
        if drawn is None or not self._sound(drawn):
            block.misses += 1
            block.broken += 1
            if block.broken >= BROKEN and not any(block.found.values()):
                raise EnvironmentFault(
                    f"{self._name}: it generates nothing, or its scorer refuses its own "
                    "answers, or accepts any text",
                    got=f"{block.broken} entries in a row, the last {drawn!r:.120}",
                    fix="choose another task, see docs/reasoning_gym.md",
                )
            return
        block.misses = 0
        block.found[split_of(drawn.key)].append(drawn)
