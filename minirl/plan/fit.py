"""What fits, and what to change where a recipe does not. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minirl.config import Recipe, change

Settings = dict[str, Any]
Fits = Callable[[Recipe], bool]

FAR = 2**21  # no search goes on past this


def rows_of(recipe: Recipe) -> int:
    """Rollouts of a step."""
    return recipe.train.prompts_per_step * recipe.train.group_size


def divisors(n: int) -> list[int]:
    """All divisors of ``n``, the largest first."""
    return [d for d in range(n, 0, -1) if n % d == 0]


def next_lower(recipe: Recipe) -> dict[str, int] | None:
    """The setting to try after memory ran out: first ``train.micro_batch`` goes down to the next
    divisor of at most half, then ``sampling.batch`` to half; None where both are 1.
    """
    rows = rows_of(recipe)
    micro = recipe.train.micro_batch or rows
    if micro > 1:
        return {"train.micro_batch": next(d for d in divisors(rows) if d <= micro // 2)}
    if recipe.sampling.batch > 1:
        return {"sampling.batch": recipe.sampling.batch // 2}
    return None


def largest(fits: Callable[[int], bool], *, start: int = 1, limit: int = FAR) -> int:
    """The largest whole number from ``start`` to ``limit`` that fits, of a law that is monotonic;
    0 where ``start`` does not.
    """
    if not fits(start):
        return 0
    low, high = start, start
    while high < limit and fits(min(2 * high, limit)):
        low = high = min(2 * high, limit)
    high = min(2 * high, limit)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def remedy(
    recipe: Recipe, fits: Fits, *, four_bit: bool, eight_bit: bool = True
) -> Settings | None:
    """Settings under which the recipe fits, as few and as mild as there are; None where none do.

    They are tried in the order of what they cost: smaller passes cost a little time, recomputation
    a third more of it, 4-bit weights some precision, shorter replies change the task.

    Args:
        fits: the prediction.
        four_bit: whether the model can be kept in 4 bits there.
        eight_bit: whether 8-bit optimizer states can be used.
    """
    taken: Settings = {}
    for step in _steps(recipe, four_bit=four_bit, eight_bit=eight_bit):
        taken |= step
        if fits(change(recipe, taken)):
            return _without_needless(recipe, taken, fits)
    return None


def _steps(recipe: Recipe, *, four_bit: bool, eight_bit: bool) -> Iterator[Settings]:
    rows = rows_of(recipe)
    micro = recipe.train.micro_batch or rows
    yield from ({"train.micro_batch": d} for d in divisors(rows) if d < micro)
    batch = recipe.sampling.batch
    while batch > 8:
        batch //= 2
        yield {"sampling.batch": batch}
    if not recipe.train.gradient_checkpointing:
        yield {"train.gradient_checkpointing": True}
    if four_bit and not recipe.model.load_in_4bit:
        yield {"model.load_in_4bit": True}
    if eight_bit and recipe.train.optim == "adamw_torch":
        yield {"train.optim": "adamw_8bit"}
    while batch > 1:
        batch //= 2
        yield {"sampling.batch": batch}
    r = recipe.model.lora_r
    while r > 8:
        r //= 2
        yield {"model.lora_r": r}
    reply = recipe.sampling.max_tokens
    while reply > 32:
        reply //= 2
        yield {"sampling.max_tokens": reply}


def _without_needless(recipe: Recipe, taken: Settings, fits: Fits) -> Settings:
    """Leave out what the rest makes unnecessary, the costliest first; then give back what can be
    given back of the numbers.
    """
    kept = dict(taken)
    for key in reversed(list(taken)):
        rest = {k: v for k, v in kept.items() if k != key}
        if rest and fits(change(recipe, rest)):
            kept = rest
    if "train.micro_batch" in kept:
        rows = rows_of(recipe)
        micro = recipe.train.micro_batch or rows
        kept["train.micro_batch"] = next(
            d
            for d in divisors(rows)
            if d <= micro and fits(change(recipe, kept | {"train.micro_batch": d}))
        )
    if "sampling.batch" in kept:
        while 2 * kept["sampling.batch"] <= recipe.sampling.batch and fits(
            change(recipe, kept | {"sampling.batch": 2 * kept["sampling.batch"]})
        ):
            kept["sampling.batch"] *= 2
    return kept
