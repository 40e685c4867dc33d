"""Many questions at the same time, within a cap; what a server leaves unanswered is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from minirl.endpoint.client import Client
from minirl.endpoint.journal import Slot
from minirl.endpoint.spend import Purse, Spent
from minirl.endpoint.wire import Answer, Question

Keep = Callable[[Sequence[Slot], Sequence[Answer], Spent], None]


@dataclass(frozen=True, slots=True)
class Errand:
    """A question and the slots that its ``n`` answers are for."""

    question: Question
    slots: tuple[Slot, ...]


async def run_errands(
    client: Client,
    purse: Purse,
    errands: Sequence[Errand],
    concurrency: int,
    keep: Keep,
    again: Callable[[Question, Sequence[Slot]], Errand],
) -> None:
    """Run errands, ``concurrency`` at a time; ``keep`` is given each answer when it comes.

    After a failure nothing more is sent, and what is on its way is waited for: it is paid for.

    Raises:
        EndpointError: the first failure.
    """
    gate = asyncio.Semaphore(concurrency)

    async def run(errand: Errand) -> list[Errand]:
        async with gate:
            if client.stopping.is_set():
                return []
            if client.dialect.single and len(errand.slots) > 1:
                return [again(errand.question, [s]) for s in errand.slots]
            return await _run(client, purse, errand, keep, again)

    running = {asyncio.create_task(run(e)) for e in errands}
    failure: BaseException | None = None
    try:
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    running |= {asyncio.create_task(run(e)) for e in task.result()}
                else:
                    failure = failure or error
                    client.stopping.set()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failure is not None:
        raise failure


async def _run(
    client: Client,
    purse: Purse,
    errand: Errand,
    keep: Keep,
    again: Callable[[Question, Sequence[Slot]], Errand],
) -> list[Errand]:
    """Run one errand; returns what is left of it."""
    question, slots = errand.question, errand.slots
    bound = question.prompt_bound()
    most = Spent(1, bound, question.n * question.max_tokens)
    await purse.set_aside(most)
    taken = Spent()
    try:
        if client.stopping.is_set():  # while it waited
            return []
        completion = await client.ask(question)
        given = completion.answers
        prompt = bound if completion.prompt_tokens is None else completion.prompt_tokens
        taken = Spent(1, prompt, sum(a.tokens for a in given))
        keep(slots[: len(given)], given, taken)
    finally:
        await purse.settle(most, taken)
    rest = slots[len(given) :]
    if rest and not client.dialect.single:
        client.dialect = replace(client.dialect, single=True)
        client.notify("note: the server ignores n: one completion a request")
    return [again(question, [s]) for s in rest]
