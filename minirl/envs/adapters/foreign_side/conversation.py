"""The model's side of a rollout that another library drives: its requests come out of the loop, and
answers go in."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import Refused

Outcome = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """What the model wrote: text, and calls as names and JSON texts."""

    content: str
    calls: list[tuple[str, str]]


class Conversation:
    """One rollout, run as a task of its own until it asks for the model or is over."""

    def __init__(self, play: Callable[[Conversation], Awaitable[Outcome]]) -> None:
        self._asked: asyncio.Queue[tuple[list[dict[str, Any]], list[dict[str, Any]]]]
        self._asked = asyncio.Queue()
        self._answers: asyncio.Queue[Said] = asyncio.Queue()
        self._task = asyncio.ensure_future(play(self))
        self._seen: list[dict[str, Any]] = []

    async def respond(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Said:
        """Called by the library in place of a model."""
        await self._asked.put((messages, tools))
        return await self._answers.get()

    async def opening(self) -> dict[str, Any]:
        """Messages and tools of the first request."""
        request = await self._next()
        if request is None:
            raise Refused("unfit", f"it ends before the model is asked: {self._task.result()}")
        messages, tools = request
        self._seen = messages
        return {"messages": [_plain(m) for m in messages], "tools": tools}

    async def say(self, said: Said) -> dict[str, Any]:
        """Answer the open request; what follows it."""
        await self._answers.put(said)
        request = await self._next()
        if request is None:
            return {"done": self._task.result()}
        messages, _ = request
        before = len(self._seen)
        if (
            [_plain(m) for m in messages[:before]] != [_plain(m) for m in self._seen]
            or len(messages) <= before
            or messages[before]["role"] != "assistant"
        ):
            raise Refused("unfit", "it rewrites the conversation between turns")
        self._seen = messages
        return {"messages": [_plain(m) for m in messages[before + 1 :]]}

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _next(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
        waiting = asyncio.ensure_future(self._asked.get())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        self._task.result()  # raises what the rollout raised
        return None


class Sessions:
    """Open conversations by number."""

    def __init__(self) -> None:
        self._open: dict[int, Conversation] = {}
        self._numbers = itertools.count()

    async def begin(self, play: Callable[[Conversation], Awaitable[Outcome]]) -> dict[str, Any]:
        number = next(self._numbers)
        conversation = self._open[number] = Conversation(play)
        try:
            return {"session": number, **await conversation.opening()}
        except BaseException:
            await self.close(number)
            raise

    async def step(self, session: int, content: str, calls: list[list[str]]) -> dict[str, Any]:
        said = Said(content, [(name, arguments) for name, arguments in calls])
        try:
            answer = await self._open[session].say(said)
        except BaseException:
            await self.close(session)
            raise
        if "done" in answer:
            await self.close(session)
        return answer

    async def close(self, session: int) -> dict[str, Any]:
        conversation = self._open.pop(session, None)
        if conversation:
            await conversation.close()
        return {}


def _plain(message: Mapping[str, Any]) -> dict[str, str]:
    """A message as role and text."""
    return {"role": message["role"], "content": text_of(message.get("content"))}


def text_of(content: Any) -> str:
    """The text of a message's content."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        part = part if isinstance(part, Mapping) else part.model_dump()
        if part.get("type") != "text":
            raise Refused("unfit", f"its messages hold {part.get('type')!r} and not only text")
        texts.append(str(part.get("text", "")))
    return "\n".join(texts)
