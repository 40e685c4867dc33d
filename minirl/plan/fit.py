"""What fits, and what to change where a recipe does not. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from minirl.config import TOKEN_BUDGET, Recipe, change

Settings = dict[str, Any]
Fits = Callable[[Recipe], bool]

FAR = 2**21  # no search goes on past this
LEAST_BUDGET = 64  # tokens; few conversations are shorter, and a pass holds a whole one at least


def rows_of(recipe: Recipe) -> int:
    """Rollouts of a step."""
    return recipe.train.prompts_per_step * recipe.train.group_size


def divisors(n: int) -> list[int]:
    """All divisors of ``n``, the largest first."""
    return [d for d in range(n, 0, -1) if n % d == 0]


def budget_of(
    recipe: Recipe, *, backend: Literal["unsloth", "transformers"], device: Literal["cuda", "cpu"]
) -> int | None:
    """Most tokens of a training pass; None where the pass is another one than minirl's, which
    ``train.micro_batch`` bounds.
    """
    if backend == "unsloth" or not recipe.train.shared_prefix:
        return None
    return recipe.train.token_budget or TOKEN_BUDGET[device]


def lower_budgets(budget: int) -> Iterator[int]:
    """``budget`` halved again and again, down to :data:`LEAST_BUDGET`."""
    while budget > LEAST_BUDGET:
        budget = max(LEAST_BUDGET, budget // 2)
        yield budget


def next_lower(
    recipe: Recipe, *, backend: Literal["unsloth", "transformers"], device: Literal["cuda", "cpu"]
) -> dict[str, int] | None:
    """The setting to try after memory ran out; None where nothing is left to lower.

    First what bounds the training pass: ``train.token_budget`` goes down to half, or
    ``train.micro_batch`` to the next divisor of at most half (see :func:`budget_of`). Then
    ``sampling.batch`` goes down to half.

    Args:
        backend, device: what runs the recipe, and where.
    """
    budget = budget_of(recipe, backend=backend, device=device)
    rows = rows_of(recipe)
    micro = recipe.train.micro_batch or rows
    if budget is not None:
        if lower := next(lower_budgets(budget), None):
            return {"train.token_budget": lower}
    elif micro > 1:
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
    recipe: Recipe,
    fits: Fits,
    *,
    budget: int | None,
    four_bit: bool,
    eight_bit: bool = True,
) -> Settings | None:
    """Settings under which the recipe fits, as few and as mild as there are; None where none do.

    They are tried in the order of what they cost: smaller passes cost a little time, recomputation
    a third more of it, 4-bit weights some precision, shorter replies change the task.

    Args:
        fits: the prediction.
        budget: tokens of a training pass that token_budget bounds; None where micro_batch does.
        four_bit: whether the model can be kept in 4 bits there.
        eight_bit: whether 8-bit optimizer states can be used.
    """
    taken: Settings = {}
    for step in _steps(recipe, budget=budget, four_bit=four_bit, eight_bit=eight_bit):
        taken |= step
        if fits(change(recipe, taken)):
            return _without_needless(recipe, taken, fits, budget)
    return None


def _steps(
    recipe: Recipe, *, budget: int | None, four_bit: bool, eight_bit: bool
) -> Iterator[Settings]:
    if budget is not None:
        yield from ({"train.token_budget": lower} for lower in lower_budgets(budget))
    else:
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


def _without_needless(recipe: Recipe, taken: Settings, fits: Fits, budget: int | None) -> Settings:
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
    if "train.token_budget" in kept and budget is not None:
        kept["train.token_budget"] = next(
            b
            for b in (budget, *lower_budgets(budget))
            if fits(change(recipe, kept | {"train.token_budget": b}))
        )
    if "sampling.batch" in kept:
        while 2 * kept["sampling.batch"] <= recipe.sampling.batch and fits(
            change(recipe, kept | {"sampling.batch": 2 * kept["sampling.batch"]})
        ):
            kept["sampling.batch"] *= 2
    return kept
