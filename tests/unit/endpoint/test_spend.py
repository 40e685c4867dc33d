from __future__ import annotations

import asyncio

import pytest

from minirl.endpoint.spend import Cap, CapReached, Prices, Purse, Spent


def test_cost_is_tokens_times_their_prices():
    spent = Spent(3, 2_000_000, 500_000)
    assert spent.cost(Prices(1.5, 6)) == pytest.approx(2 * 1.5 + 0.5 * 6)
    assert spent.cost(None) is None
    assert spent.describe(Prices(1.5, 6)) == "3 requests, 2,500,000 tokens, $6.0000"
    assert spent.as_record(None) == {
        "requests": 3,
        "prompt_tokens": 2_000_000,
        "completion_tokens": 500_000,
        "cost": None,
    }


@pytest.mark.parametrize(
    ("cap", "allowed"),
    [
        (Cap(), True),
        (Cap(requests=2), True),
        (Cap(requests=1), False),
        (Cap(tokens=30), True),
        (Cap(tokens=29), False),
        (Cap(cost=50e-6), True),
        (Cap(cost=49e-6), False),
    ],
)
def test_each_cap(cap, allowed):
    assert cap.allows(Spent(2, 10, 20), Prices(1, 2)) is allowed


def test_requests_at_the_same_time_stay_under_the_cap_together():
    """Each may take 10 of 35 tokens, and takes 5: three at once, then a fourth and a fifth fit."""

    async def play() -> tuple[list[int], Spent]:
        purse = Purse(Cap(tokens=35), None, Spent())
        most, seen = Spent(1, 0, 10), []

        async def buy() -> None:
            await purse.set_aside(most)
            seen.append(purse._aside.tokens + purse.spent.tokens)
            await asyncio.sleep(0)
            await purse.settle(most, Spent(1, 0, 5))

        ended = await asyncio.gather(*(buy() for _ in range(9)), return_exceptions=True)
        assert [type(e) for e in ended if e] == [CapReached] * 3
        return seen, purse.spent

    seen, spent = asyncio.run(play())
    assert max(seen) <= 35
    assert spent == Spent(6, 0, 30)
