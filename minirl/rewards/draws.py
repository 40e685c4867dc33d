"""Random draws for generators that are in a hurry: what ``random`` draws, without its overhead.

From the same state each function draws what its counterpart in CPython 3.11 to 3.13 does.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def below(rng: Random, n: int) -> int:
    """A number from 0 to n - 1, as ``rng.randrange(n)``; ValueError where ``n`` is not above 0."""
    if n <= 0:
        raise ValueError(f"there is no number from 0 to {n - 1}")
    bits = n.bit_length()
    drawn = rng.getrandbits(bits)
    while drawn >= n:
        drawn = rng.getrandbits(bits)
    return drawn


def pick(rng: Random, choices: Sequence[T]) -> T:
    """One of ``choices``, as ``rng.choice``; ValueError where there is none."""
    return choices[below(rng, len(choices))]


def shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    """All of ``items`` in random order, as ``rng.sample(items, len(items))``."""
    pool, found = list(items), []
    getrandbits = rng.getrandbits
    for left in range(len(pool), 0, -1):
        bits = left.bit_length()
        drawn = getrandbits(bits)
        while drawn >= left:
            drawn = getrandbits(bits)
        found.append(pool[drawn])
        pool[drawn] = pool[left - 1]
    return found
