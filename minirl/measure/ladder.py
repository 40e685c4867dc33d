"""Where on a ladder of levels to begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def starting_level(rungs: Sequence[Mapping[str, Any]]) -> tuple[str | None, str]:
    """The level to start at, and why.

    It is the hardest whose verdict is ``go``: there is most to learn that can be learned. Where
    there is none, it is the one of ``ease`` with the largest share of groups with signal.

    Args:
        rungs: probe.json of each level with its ``level``, the easiest first.
    """
    good = [r for r in rungs if r["verdict"] == "go"]
    if good:
        level = str(good[-1]["level"])
        return level, f"start at level {level}: the hardest with enough signal to train on"
    easy = [r for r in rungs if r["verdict"] == "ease"]
    best = max(easy or rungs, key=lambda r: _signal(r)["value"])
    level, share = str(best["level"]), _signal(best)
    bounds = (
        f"{100 * share['value']:.0f} % [{100 * share['low']:.0f}, {100 * share['high']:.0f}] of "
        "its groups carry signal"
    )
    if easy:
        return level, f"start at level {level}, with a larger G: {bounds}, and no level is better"
    return None, f"no level can be trained as it is; level {level} comes nearest: {bounds}"


def _signal(rung: Mapping[str, Any]) -> Mapping[str, float]:
    found: Mapping[str, float] = rung["signal"][str(rung["group_size"])]
    return found
