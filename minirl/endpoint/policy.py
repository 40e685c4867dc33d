"""A served model as a policy.

The engine deals in tokens, a server in messages. The ids here are therefore names: one id stands
for an opening, one for a reply of the environment's, and the last id of a turn for the whole
message that the server wrote. Before it stand as many paddings as the server counted further tokens
(reasoning included), so that the length of a turn is its length in the server's tokens. Where a
server does not count, it is a fourth of the text's bytes, and that is said.

Log-probabilities are not asked for, and are 0.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from minirl.endpoint.address import Server
from minirl.endpoint.apart import run_apart
from minirl.endpoint.client import Client, Patience
from minirl.endpoint.dialect import Dialect
from minirl.endpoint.errands import Errand, run_errands
from minirl.endpoint.journal import Journal, Slot, digest
from minirl.endpoint.spend import Cap, Prices, Purse, Spent
from minirl.endpoint.wire import Answer, JsonObject, Question, Sampling, linked, wire_messages
from minirl.types import Message, Request, Sample, StopReason

PADDING = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an id stands for."""

    messages: tuple[JsonObject, ...] = ()
    tools: tuple[JsonObject, ...] = ()
    text: str = ""


class EndpointPolicy:
    """Samples from a server.

    Args:
        server: where, and which model.
        sampling: how to draw tokens.
        journal: what was answered already, and where answers are kept.
        concurrency: requests at the same time.
        choices: most completions of one request. With more than one, a prompt is paid for once, but
            servers count the tokens of all together, some of only one: their lengths are then
            shared out, or estimated.
        notify: told, once each, what a person should know of the server.
        on_answer: called after each answer with everything that was spent, also before.

    Raises:
        EndpointError: (from ``sample``) the server fails or refuses.
        CapReached: (from ``sample``) the next request could go past the cap.
    """

    def __init__(
        self,
        server: Server,
        sampling: Sampling | None = None,
        *,
        journal: Journal | None = None,
        concurrency: int = 8,
        choices: int = 1,
        patience: Patience | None = None,
        cap: Cap | None = None,
        prices: Prices | None = None,
        notify: Callable[[str], None] = lambda _: None,
        on_answer: Callable[[Spent], None] = lambda _: None,
    ) -> None:
        self.server = server
        self.sampling = sampling or Sampling()
        self.journal = Journal(None) if journal is None else journal
        self.concurrency = concurrency
        self.choices = choices
        self.patience = patience or Patience()
        self.cap = cap or Cap()
        self.prices = prices
        self.on_answer = on_answer
        self.dialect = Dialect()
        self.estimates = False
        self._notify = notify
        self._book: list[_Entry] = [_Entry()]  # PADDING
        self._known: dict[str, int] = {}

    @property
    def spent(self) -> Spent:
        """Everything, with what the journal says of former runs."""
        return self.journal.spent

    # The codec -------------------------------------------------------------------------------

    def encode_open(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        return (self._id(_Entry(wire_messages(messages), tuple(tools))),)

    def encode_reply(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        return (self._id(_Entry(wire_messages(messages))),)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self._book[i].text for i in ids)

    def conversation(
        self, ids: Sequence[int]
    ) -> tuple[tuple[JsonObject, ...], tuple[JsonObject, ...]]:
        """The messages and the tools that ids stand for."""
        entries = [self._book[i] for i in ids if i != PADDING]
        messages = [m for e in entries for m in e.messages]
        return linked(messages), tuple(t for e in entries for t in e.tools)

    def _id(self, entry: _Entry) -> int:
        """Equal entries have one id."""
        key = json.dumps([entry.messages, entry.tools, entry.text], sort_keys=True)
        if key not in self._known:
            self._known[key] = len(self._book)
            self._book.append(entry)
        return self._known[key]

    def _sample(self, answer: Answer) -> Sample:
        name = self._id(_Entry((answer.as_message(),), text=answer.text))
        ids = (*[PADDING] * (answer.tokens - 1), name)
        stop = StopReason.LENGTH if answer.cut_off else StopReason.EOS
        return Sample(ids, (0.0,) * len(ids), stop)

    # The sampler -----------------------------------------------------------------------------

    @contextmanager
    def session(self) -> Iterator[None]:
        """Nothing: a server keeps what it likes."""
        yield

    def sample(self, requests: Sequence[Request], *, seed: int) -> list[list[Sample]]:
        answers: dict[Slot, Answer] = {}
        wanted: list[list[Slot]] = []
        errands: list[Errand] = []
        numbers: Counter[tuple[str, int]] = Counter()
        for request in requests:
            question = self._question(request)
            name, task, turn = digest(question), request.task.id, request.turn
            first = numbers[task, turn]
            numbers[task, turn] += request.n
            slots = [Slot(name, task, turn, first + k, seed) for k in range(request.n)]
            wanted.append(slots)
            answers |= {s: a for s in slots if (a := self.journal.find(s)) is not None}
            missing = [s for s in slots if s not in answers]
            for start in range(0, len(missing), self.choices):
                errands.append(_errand(question, missing[start : start + self.choices]))
        if errands:
            answers |= run_apart(self._ask(errands))
        if not self.estimates and any(not a.counted for a in answers.values()):
            self.estimates = True
            self._notify("note: the server does not count each answer's tokens; they are estimated")
        return [[self._sample(answers[s]) for s in slots] for slots in wanted]

    def _question(self, request: Request) -> Question:
        messages, tools = self.conversation(request.prompt_ids)
        return Question(
            self.server.model, messages, tools, 1, request.max_tokens, self.sampling, seed=0
        )

    async def _ask(self, errands: Sequence[Errand]) -> dict[Slot, Answer]:
        purse = Purse(self.cap, self.prices, self.journal.spent)
        client = Client(
            self.server,
            self.patience,
            self.dialect,
            connections=self.concurrency,
            notify=self._notify,
        )
        answers: dict[Slot, Answer] = {}

        def keep(slots: Sequence[Slot], given: Sequence[Answer], spent: Spent) -> None:
            self.journal.keep(slots, given, spent)
            answers.update(zip(slots, given, strict=True))
            self.on_answer(self.journal.spent)

        async with client:
            try:
                await run_errands(client, purse, errands, self.concurrency, keep, _errand)
            finally:
                self.dialect = client.dialect
        return answers


def _errand(question: Question, slots: Sequence[Slot]) -> Errand:
    """The question for some slots; its seed is that of the first."""
    s = slots[0]
    text = f"{s.seed}/{s.task}/{s.turn}/{s.sample}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
    return Errand(replace(question, n=len(slots), seed=seed), tuple(slots))
