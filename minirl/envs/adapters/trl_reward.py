"""A reward function written for TRL: ``func(prompts, completions, **columns) -> [float or None]``.

TRL hands it texts where the data's prompts are texts, and lists of messages where they are
conversations; so does this. It is the user's own code and runs in our process, not sandboxed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minirl.envs.registry import run_file
from minirl.errors import ConfigError, EnvironmentFault
from minirl.types import Score, Task

# What TRL adds to the columns; trainer_state is None, the loggers keep nothing.
ABSENT: Mapping[str, Any] = {
    "trainer_state": None,
    "log_extra": lambda column, values: None,
    "log_metric": lambda name, value: None,
}
KEPT_BACK = ("prompt", "completion", "completion_ids")


@dataclass(frozen=True)
class TrlReward:
    """One such function.

    Attributes:
        name: for error messages.
        function: what is called.
        prompt: the column of the prompt, if named.
    """

    name: str
    function: Callable[..., Any]
    prompt: str | None = None

    @classmethod
    def load(cls, spec: str, prompt: str | None = None) -> TrlReward:
        """The function of ``PATH.py:function``; the file is run as Python.

        Raises:
            ConfigError: no such file or function, or one that TRL could not call.
            EnvironmentFault: the file fails on import.
        """
        place, _, name = spec.rpartition(":")
        path = Path(place).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"there is no reward file {path}", got=spec, fix=f"looked for {path.absolute()}"
            )
        function = getattr(run_file(path), name, None)
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise ConfigError(
                f"{path} defines no function {name!r}",
                expected="def NAME(prompts, completions, **columns), not async",
                got=repr(function),
            )
        if "completion_ids" in _required(function):
            raise ConfigError(
                f"{spec} needs completion_ids, which an environment does not see",
                fix="let it judge the text (completions)",
            )
        return cls(spec, function, prompt)

    def score_many(self, pairs: Sequence[tuple[Task, str]], solved_at: float) -> list[Score]:
        """Judge completions; calls of one kind of prompt (text, conversation) are made at once.

        Raises:
            EnvironmentFault: it raises, or gives something else than a number in [0, 1] or None
                for each.
        """
        scores: dict[int, Score] = {}
        for texts in (True, False):
            chosen = [i for i, (t, _) in enumerate(pairs) if _is_text(t, self.prompt) == texts]
            if chosen:
                rewards = self.rewards([pairs[i] for i in chosen])
                for i, reward in zip(chosen, rewards, strict=True):
                    scores[i] = self._score(pairs[i], reward, solved_at)
        return [scores[i] for i in range(len(pairs))]

    def rewards(self, pairs: Sequence[tuple[Task, str]]) -> list[Any]:
        """What the function gives, for prompts of one kind."""
        columns = {
            column: [task.data["row"].get(column) for task, _ in pairs]
            for column in pairs[0][0].data["row"]
            if column not in KEPT_BACK
        }
        given = {
            "prompts": [_prompt(task, self.prompt) for task, _ in pairs],
            "completions": [_completion(task, text, self.prompt) for task, text in pairs],
            **columns,
            **ABSENT,
        }
        where = pairs[0][0].data["where"]
        try:
            found = list(self.function(**_accepted(self.function, given)))
        except Exception as error:
            raise EnvironmentFault(
                f"{self.name} raised {type(error).__name__}: {error}",
                got=f"{where}, completion {pairs[0][1]!r:.80}",
                fix="a reward function must judge whatever a model writes",
            ) from error
        if len(found) != len(pairs):
            raise EnvironmentFault(
                f"{self.name} gave {len(found)} rewards for {len(pairs)} completions", got=where
            )
        return found

    def _score(self, pair: tuple[Task, str], reward: Any, solved_at: float) -> Score:
        task, text = pair
        if reward is None:  # TRL: not applicable to this row; it counts nothing
            return Score(0.0, False, {"applicable": 0.0}, "the reward function gave None")
        try:
            value = float(reward)
        except (TypeError, ValueError):
            value = math.nan
        if not 0.0 <= value <= 1.0:
            raise EnvironmentFault(
                f"{self.name} gave {reward!r:.60} for {task.data['where']}",
                expected="a number in [0, 1], or None",
                got=f"completion {text!r:.80}",
                fix="scale the reward: 1 for solved, 0 for nothing",
            )
        solved = value >= solved_at
        return Score(value, solved, {"applicable": 1.0}, f"reward {value:.3g}")


def _is_text(task: Task, column: str | None) -> bool:
    return isinstance(task.data["row"].get(column or "prompt"), str)


def _prompt(task: Task, column: str | None) -> Any:
    if _is_text(task, column):
        return task.data["row"][column or "prompt"]
    return [message.as_dict() for message in task.prompt]


def _completion(task: Task, text: str, column: str | None) -> Any:
    return text if _is_text(task, column) else [{"role": "assistant", "content": text}]


def _required(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    empty = inspect.Parameter.empty
    return [p.name for p in parameters if p.default is empty]


def _accepted(function: Callable[..., Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """All of it where the function takes ``**kwargs``, else what it names."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return given
    return {p.name: given[p.name] for p in parameters if p.name in given}
