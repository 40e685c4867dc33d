"""An episode with prepared texts: no model, no tokens. The audit, the adapters and play use it."""

from __future__ import annotations

from typing import Any

from minirl.envs.base import Environment, Turns, as_turns
from minirl.envs.tool_calls import parse_tool_calls
from minirl.types import Message, Score, Task

OUT_OF_TEXTS = "it said no more"


def recite(env: Environment[Any], task: Task, written: Turns) -> Score:
    """The score of an episode in which the policy writes ``written``, a text a turn.

    An episode that is not over after the last text is given up, as one that is cut off is; texts
    after its end, or after ``env.max_turns``, are not heard.
    """
    episode = env.episode(task)
    for text in as_turns(written)[: env.max_turns]:
        calls = parse_tool_calls(text) if episode.tools else ()
        step = episode.step(Message("assistant", text, calls))
        if step.score is not None:
            return step.score
    return episode.give_up(OUT_OF_TEXTS)
