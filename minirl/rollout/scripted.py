"""Policies without a model. They play the same engine, so an environment can be tried before any
training.

``gold`` writes the reference solution, ``random`` the reference solution of some other task (what
guessing is worth), ``cheater`` goes through the environment's decoys, all answers at once, and an
echo of the prompt.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal, get_args

from minirl.envs.base import Environment, Turns, as_turns, task_rng
from minirl.errors import UnknownNameError
from minirl.rollout.policy import Sessionless
from minirl.types import Message, Request, Sample, StopReason, Task

Script = Literal["gold", "random", "cheater"]
_END = 256  # one past the bytes: closes a turn


class ScriptedPolicy(Sessionless):
    """Writes prepared texts; its tokens are UTF-8 bytes, its log-probabilities are 0."""

    def __init__(self, env: Environment[Any], script: Script) -> None:
        if script not in get_args(Script):
            raise UnknownNameError(
                f"no scripted policy {script!r}", expected=", ".join(get_args(Script))
            )
        self._env = env
        self._script = script

    def encode_open(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        return self.encode_reply(messages, tools)

    def encode_reply(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        text = "".join(f"{m.role}: {m.content}\n" for m in messages)
        return tuple(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i != _END).decode(errors="replace")

    def sample(self, requests: Sequence[Request], *, seed: int) -> list[list[Sample]]:
        return [
            [self._sample(r, task_rng(seed, r.task.id, r.turn, k), k) for k in range(r.n)]
            for r in requests
        ]

    def _sample(self, request: Request, rng: random.Random, k: int) -> Sample:
        ids = (*self._text(request.task, request.turn, rng, k).encode(), _END)
        if len(ids) > request.max_tokens:
            ids, stop = ids[: request.max_tokens], StopReason.LENGTH
        else:
            stop = StopReason.EOS
        return Sample(ids, (0.0,) * len(ids), stop)

    def _text(self, task: Task, turn: int, rng: random.Random, k: int) -> str:
        if self._script == "gold":
            return self._gold(task, turn)
        if self._script == "random":
            return self._gold_of_another(task, rng, turn)
        gold = self._gold(task, turn)
        tricks = [
            *self._env.decoys(task),
            "",
            task.prompt[-1].content,
            "\n".join([gold, gold]),
            gold + "\n" + self._gold_of_another(task, rng, turn),
        ]
        return _at(tricks[k % len(tricks)], turn)

    def _gold_of_another(self, task: Task, rng: random.Random, turn: int) -> str:
        size = self._env.size(task.split) or 10_000
        return self._gold(self._env.task(task.split, rng.randrange(size)), turn)

    def _gold(self, task: Task, turn: int) -> str:
        return _at(self._env.gold(task), turn)


def _at(written: Turns, turn: int) -> str:
    """What is said on ``turn``; the last text again where there is no more."""
    turns = as_turns(written)
    return turns[min(turn, len(turns) - 1)]
