"""One server process for all of these tests; each gives it its own plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai_server import KEY, OpenAIServer, openai_server

from minirl.endpoint import EndpointPolicy, Patience, Server

QUICK = Patience(total=5.0, retries=3, first=0.01, longest=0.05)
Ask = Callable[..., EndpointPolicy]


@pytest.fixture(scope="session")
def _process() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


@pytest.fixture
def server(_process: OpenAIServer) -> OpenAIServer:
    _process.plan()
    return _process


@pytest.fixture
def ask(server: OpenAIServer) -> Ask:
    """A policy at the server, with what it was told collected in ``policy.notes``."""

    def make(url: str | None = None, **options: Any) -> EndpointPolicy:
        options.setdefault("patience", QUICK)
        options.setdefault("choices", 16)
        notes: list[str] = []
        options.setdefault("notify", notes.append)
        place = Server.at(url or server.url, "m", {"MINIRL_API_KEY": KEY})
        policy = EndpointPolicy(place, **options)
        policy.notes = notes  # type: ignore[attr-defined]
        return policy

    return make
