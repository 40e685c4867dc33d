"""``tiny:ENV``: the tiny model, cold-started on an environment of yours instead of on its own.

A stand-in for a real model, so that an environment can be probed, trained on and proved in a
minute without a GPU: it has the skills of nobody, and some chance of a right episode. Several
environments are joined by ``+``: ``tiny:gridworld:1+gridworld:2``. Each is used without its worked
example, for at one token a character every word counts: train on it with
``options = { worked_example = false }``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minirl.envs import make_env
from minirl.envs.base import Environment, as_turns
from minirl.envs.tool_calls import parse_tool_calls
from minirl.errors import ModelError
from minirl.models.tiny import MAX_LENGTH, Example, make_model
from minirl.types import Message, Task, json_line

GOAL = 0.3  # of whole episodes, as far as the turns of one are independent
MOST_STEPS = 3000
LOOKED_AT = 64  # tasks that tell how long episodes are, and name the model


@dataclass(frozen=True, slots=True)
class Course:
    """What a tiny model is cold-started on; two courses with one name teach the same."""

    name: str
    example: Callable[[int], Example]
    goal: float


def course(spec: str) -> Course:
    """The gold turns of the environments that ``spec`` (without the prefix) joins by ``+``.

    Raises:
        ModelError: their episodes are longer than the model's context.
        UnknownNameError, ConfigError: as :func:`minirl.envs.make_env` does.
    """
    envs = [_brief(part) for part in spec.split("+")]

    def turn(i: int) -> Example:
        env = envs[i % len(envs)]
        at = i // len(envs)
        task = env.task("train", at % (env.size("train") or 1_000_000))
        turns = as_turns(env.gold(task))
        return _conversation(env, task, turns[: at % len(turns)]), turns[at % len(turns)]

    shown = [turn(i) for i in range(LOOKED_AT * len(envs))]
    longest = max(sum(len(m.content) + 32 for m in opening) + len(text) for opening, text in shown)
    if longest > MAX_LENGTH:
        raise ModelError(
            f"the tiny model cannot hold an episode of {spec}",
            expected=f"at most {MAX_LENGTH} characters",
            got=f"{longest}",
            fix="choose an easier level or shorter prompts, or another model",
        )
    lines = [json_line([[m.as_dict() for m in opening], text]) for opening, text in shown]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
    lengths = [
        len(as_turns(env.gold(env.task("train", i)))) for env in envs for i in range(LOOKED_AT)
    ]
    goal = sum(GOAL ** (1 / length) for length in lengths) / len(lengths)
    return Course(f"tiny-{digest}", turn, goal)


def build(path: Path, taught: Course) -> None:
    """Write the model into ``path``; a minute or two on two cores.

    Raises:
        ModelError: it does not learn to solve the tasks even now and then.
    """
    reached = make_model(path, taught.example, goal=taught.goal, seed=0, most_steps=MOST_STEPS)
    if reached < taught.goal / 2:
        raise ModelError(
            "the tiny model does not learn this environment",
            expected=f"probability {taught.goal:.2f} of a gold turn",
            got=f"{reached:.3f} after {MOST_STEPS} steps of cold start",
            fix="choose an easier level, or a real model",
        )


def _brief(spec: str) -> Environment[Any]:
    env = make_env(spec)
    shorter = {"worked_example": False} if "worked_example" in type(env).Config.model_fields else {}
    return make_env(spec, shorter)


def _conversation(env: Environment[Any], task: Task, said: tuple[str, ...]) -> tuple[Message, ...]:
    """The messages that stand before the next turn once ``said`` was said."""
    episode = env.episode(task)
    messages = list(episode.messages)
    for text in said:
        calls = parse_tool_calls(text) if episode.tools else ()
        message = Message("assistant", text, calls)
        messages += [Message("assistant", text), *episode.step(message).messages]
    return tuple(messages)
