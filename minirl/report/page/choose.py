"""Which rollouts a page shows where there are too many: a fixed rule, no chance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

RULE = (
    "Every training step, and every held-out task of each policy, keeps about the same number of "
    "solved and of unsolved rollouts, evenly spaced among those it has."
)


def choose(strata: Sequence[Hashable], most: int) -> list[int]:
    """Positions of at most ``most`` items, ascending: all of a small stratum, and equally many of
    the larger ones.

    Args:
        strata: the stratum of each item. Where there are more strata than ``most``, evenly spaced
            ones keep one item each.
    """
    if len(strata) <= most:
        return list(range(len(strata)))
    members: dict[Hashable, list[int]] = {}
    for position, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(position)
    groups = list(members.values())
    sizes = [len(g) for g in groups]
    each = _share(sizes, most)
    quotas = [min(size, each) for size in sizes]
    # What equal shares leave over goes, one each, to evenly spaced strata that have more.
    hungry = [i for i, size in enumerate(sizes) if size > each]
    for i in _spaced(hungry, most - sum(quotas)):
        quotas[i] += 1
    return sorted(p for g, q in zip(groups, quotas, strict=True) for p in _spaced(g, q))


def _share(sizes: Sequence[int], most: int) -> int:
    """The largest q with Σ min(size, q) <= most."""
    low, high = 0, max(sizes)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(s, middle) for s in sizes) <= most:
            low = middle
        else:
            high = middle - 1
    return low


def _spaced(items: Sequence[int], count: int) -> list[int]:
    """``count`` of the items, evenly spaced."""
    count = min(count, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]
