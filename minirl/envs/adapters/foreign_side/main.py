"""Serves one environment of another library over standard input and output, a JSON line each."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import IO, Any, Protocol

from .errors import Refused

SIDES = {"verifiers": ".verifiers_door", "openenv": ".openenv_door"}


class Side(Protocol):
    """An environment of another library, as sessions."""

    async def hello(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Load it and describe it."""

    async def open(self, part: str, row: int) -> dict[str, Any]:
        """Begin an episode: ``session``, and ``messages`` and ``tools`` that open it."""

    async def step(self, session: int, content: str, calls: list[list[str]]) -> dict[str, Any]:
        """Say something in it: ``messages`` in answer, or ``done`` with the outcome."""

    async def close(self, session: int) -> dict[str, Any]:
        """Forget it."""


async def serve(side: Side, requests: IO[str], answers: IO[str]) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, requests.readline):
        request = json.loads(line)
        try:
            method = getattr(side, request.pop("op"))
            answer = {"ok": await method(**request)}
        except Refused as refusal:
            answer = {"refused": {"kind": refusal.kind, "message": str(refusal)}}
        except Exception as error:
            traceback.print_exc()
            answer = {"failed": f"{type(error).__name__}: {error}"[:2000]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    # What the library prints must not reach the pipe.
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    # Calls that the library makes to itself do not take the way through a proxy.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    sys.path.insert(0, os.getcwd())
    module = importlib.import_module(SIDES[sys.argv[1]], __package__)
    asyncio.run(serve(module.side(), requests, answers))
    answers.flush()
    os._exit(0)  # exit handlers of the library may wait for servers that are gone
