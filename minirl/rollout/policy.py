"""What the engine needs of a policy: a codec between messages and tokens, and a sampler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from minirl.types import Message, Request, Sample


class Policy(Protocol):
    """Whatever turns requests into samples: a model in this process, a server, a script."""

    def encode_open(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        """Tokens of the opening, up to where the policy begins to write."""

    def encode_reply(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        """Tokens that the environment's messages add after a turn that the policy closed, up to
        its next turn.
        """

    def decode(self, ids: Sequence[int]) -> str:
        """The text of one turn, without the token that closes it."""

    def session(self) -> AbstractContextManager[None]:
        """Around calls of :meth:`sample` between which the policy does not change: it may keep what
        it computed for requests that go on from there.
        """

    def sample(self, requests: Sequence[Request], *, seed: int) -> list[list[Sample]]:
        """Draw ``request.n`` samples for each request; equal requests and seed give equal
        samples.
        """


class Sessionless:
    """The half of a policy that has nothing to keep between its calls."""

    @contextmanager
    def session(self) -> Iterator[None]:
        yield
