"""What has been asked and paid for, and the cap on it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from minirl.errors import EndpointError


class CapReached(EndpointError):
    """The next request could go past the cap on spend."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars per million tokens of prompts and of completions."""

    prompt: float
    completion: float


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests that were answered, with their tokens."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    def __sub__(self, other: Spent) -> Spent:
        return self + Spent(-other.requests, -other.prompt_tokens, -other.completion_tokens)

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def cost(self, prices: Prices | None) -> float | None:
        """Dollars; None without prices."""
        if prices is None:
            return None
        dollars = self.prompt_tokens * prices.prompt + self.completion_tokens * prices.completion
        return dollars / 1e6

    def describe(self, prices: Prices | None) -> str:
        cost = self.cost(prices)
        dollars = "" if cost is None else f", ${cost:.4f}"
        return f"{self.requests:,} requests, {self.tokens:,} tokens{dollars}"

    def as_record(self, prices: Prices | None) -> dict[str, Any]:
        return {**asdict(self), "cost": self.cost(prices)}


@dataclass(frozen=True, slots=True)
class Cap:
    """Most that may be spent; None is no cap."""

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None

    def allows(self, spent: Spent, prices: Prices | None) -> bool:
        cost = spent.cost(prices)
        return (
            (self.requests is None or spent.requests <= self.requests)
            and (self.tokens is None or spent.tokens <= self.tokens)
            and (self.cost is None or cost is None or cost <= self.cost)
        )


class Purse:
    """Pays for requests. What a request may take at most is set aside before it is sent, so that
    requests at the same time do not go past the cap together.

    Args:
        spent: before now, which counts as well.
    """

    def __init__(self, cap: Cap, prices: Prices | None, spent: Spent) -> None:
        self.cap = cap
        self.prices = prices
        self.spent = spent
        self._aside = Spent()
        self._changed = asyncio.Condition()

    async def set_aside(self, most: Spent) -> None:
        """Wait until ``most`` fits under the cap.

        Raises:
            CapReached: it will not, whatever the requests on their way turn out to take.
        """
        async with self._changed:
            while not self.cap.allows(self.spent + self._aside + most, self.prices):
                if self._aside == Spent():
                    raise CapReached(
                        f"the cap on spend is reached: {self.spent.describe(self.prices)} so far",
                        got=f"the next request may take {most.describe(self.prices)}",
                    )
                await self._changed.wait()
            self._aside += most

    async def settle(self, most: Spent, taken: Spent) -> None:
        """Give back what was set aside, and pay what was taken."""
        async with self._changed:
            self._aside -= most
            self.spent += taken
            self._changed.notify_all()
