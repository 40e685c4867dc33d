"""One attempt at a task, fed what a served model says; the engine's rules without its tokens.

It travels inside every exported package, which is why it knows no other library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from minirl.envs.base import Environment, SingleTurnEpisode
from minirl.envs.tool_calls import parse_tool_calls
from minirl.types import Message, Score, Split

CUT_OFF = "cut off at the token limit"
OUT_OF_TURNS = "out of turns"
UNFINISHED = "the conversation ended before the episode did"

_SURROGATE = re.compile("[\ud800-\udfff]")


class Player:
    """An episode that hears one assistant message after the other.

    Attributes:
        score: the verifier's judgement; None while the episode goes on.
    """

    def __init__(self, env: Environment[Any], split: Split, index: int) -> None:
        self.task = env.task(split, index)
        self._episode = env.episode(self.task)
        self._max_turns = env.max_turns
        self._turns = 0
        self.score: Score | None = None

    @property
    def opening(self) -> tuple[Message, ...]:
        return self._episode.messages

    @property
    def tools(self) -> tuple[dict[str, Any], ...]:
        """JSON schemas, as chat templates take them."""
        return self._episode.tools

    def hear(
        self, content: str, calls: Sequence[tuple[str, str]] = (), *, cut_off: bool = False
    ) -> tuple[Message, ...]:
        """Take one assistant message and return the environment's answer; none once it is over.

        Args:
            content: what the model wrote.
            calls: structured tool calls, as names and JSON texts; the environment sees them in the
                ``<tool_call>`` convention.
            cut_off: whether the message ended at the token limit, which leaves it unsolved.
        """
        if self.score is not None:
            return ()
        text = as_text(content, calls)
        message = Message("assistant", text, parse_tool_calls(text) if self.tools else ())
        self._turns += 1
        if cut_off and not isinstance(self._episode, SingleTurnEpisode):
            self.score = self._episode.give_up(CUT_OFF)
            return ()
        step = self._episode.step(message)
        if step.score is not None:
            self.score = step.score
            if cut_off:
                self.score = replace(step.score, value=0.0, solved=False, reason=CUT_OFF)
            return ()
        if self._turns >= self._max_turns:
            self.score = self._episode.give_up(OUT_OF_TURNS)
            return ()
        return step.messages

    def final(self) -> Score:
        """The score; an episode that is not over is given up."""
        if self.score is None:
            self.score = self._episode.give_up(UNFINISHED)
        return self.score


def as_text(content: str, calls: Sequence[tuple[str, str]]) -> str:
    """A turn with structured calls, as one text."""
    spelled = [_spelled(name, arguments) for name, arguments in calls]
    return "\n".join([*([content] if content else []), *spelled])


def _spelled(name: str, arguments: str) -> str:
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        # A closing tag inside a string would end the call early.
        plain = json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
        arguments = _SURROGATE.sub("\ufffd", plain)
    shown = json.dumps(_SURROGATE.sub("\ufffd", name), ensure_ascii=False).replace("</", "<\\/")
    return f'<tool_call>{{"name": {shown}, "arguments": {arguments}}}</tool_call>'
