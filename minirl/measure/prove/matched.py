"""The temperature at which a policy's token entropy is a given one."""

from __future__ import annotations

from collections.abc import Callable

HOTTEST = 4.0  # times the temperature of the proof
TRIALS = 6
NEAR = 0.05  # relative error of the entropy that is good enough


def matching_temperature(
    entropy_at: Callable[[float], float], wanted: float, coldest: float
) -> float:
    """Find where ``entropy_at``, which rises with the temperature, is ``wanted``.

    Entropy is measured by sampling, so a handful of trials is all it is worth: false position
    between ``coldest``, where the entropy is too low, and :data:`HOTTEST` times that; each trial
    takes the place of the end on its side (the Illinois rule halves the weight of an end that
    stays).

    Returns:
        The best temperature tried; the hottest where even that is too cold.
    """
    low, high = coldest, HOTTEST * coldest
    under, over = entropy_at(low) - wanted, entropy_at(high) - wanted
    tried = {low: under, high: over}
    if over <= 0:
        return high
    side = 0
    for _ in range(TRIALS):
        middle = (low * over - high * under) / (over - under)
        off = entropy_at(middle) - wanted
        tried[middle] = off
        if abs(off) <= NEAR * wanted:
            break
        if off < 0:
            low, under = middle, off
            over = over / 2 if side < 0 else over
            side = -1
        else:
            high, over = middle, off
            under = under / 2 if side > 0 else under
            side = 1
    return min(tried, key=lambda heat: abs(tried[heat]))
