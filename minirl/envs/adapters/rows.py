"""Rows with a prompt and an answer as an environment, whatever they were read from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from minirl.envs.adapters.matchers import MATCHERS, Matcher
from minirl.envs.adapters.trl_reward import TrlReward
from minirl.envs.base import EnvConfig, Environment
from minirl.envs.registry import unknown_name
from minirl.envs.universe import Listed
from minirl.errors import ConfigError, UnknownGold
from minirl.rewards.answer import LABEL, score_answer, slot_decoys, strict_answer
from minirl.types import Message, Score, Split, Task

SYSTEM = f"Give the answer on the last line as '{LABEL} answer'."
ROLES = ("system", "user", "assistant")

Row = Mapping[str, Any]
Placed = tuple[str, Row]  # where it stands, for error messages; the row


class RowsConfig(EnvConfig):
    prompt: str | None = None
    """The column of the prompt, a text or chat messages. Unset: `prompt`, or else `question`."""
    answer: str = "answer"
    """The column of the right answer. A reward function of yours can do without."""
    system: str | None = None
    """A system message for rows that bring none. Unset: the rule of the answer slot where a matcher
    judges, none where a reward function of yours does."""
    reward: str = "exact"
    """Who judges: `exact`, `number` or `choice` compare the answer slot with the answer column;
    `PATH.py:function` is a reward function with TRL's signature. It is your code: not sandboxed."""
    solved_at: float = Field(1.0, gt=0.0, le=1.0)
    """From which reward on a task counts as solved, where a reward function judges."""
    gold: str | None = None
    """A column with a completion that gets the full reward, where a reward function judges."""
    limit: int = Field(50_000, ge=1)
    """How many rows of a split are read at most."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row, checked."""

    where: str
    prompt: tuple[Message, ...]
    answer: str | None
    row: Row

    @property
    def key(self) -> str:
        """The prompt, whatever its spaces."""
        told = [[m.role, " ".join(m.content.split())] for m in self.prompt]
        return json.dumps(told, ensure_ascii=False)


class OwnSplits(Listed[Example]):
    """The data's own splits; what stands in its test split stands in ours, in its order."""

    def __init__(self, name: str, train: Iterable[Example], test: Iterable[Example]) -> None:
        self._name = name
        held = {example.key: example for example in reversed(list(test))}
        shown = {e.key: e for e in reversed(list(train)) if e.key not in held}
        self._split = {
            "train": list(shown.values())[::-1],
            "test": list(held.values())[::-1],
        }


class Rows(Environment[RowsConfig]):
    """Prompts and answers of a data set.

    Args:
        config: which columns, and who judges.
        label: the environment's name, with where the rows come from.
        train, test: the rows, each with the place it was read from; without ``test``, ``train`` is
            split by content.

    Raises:
        ConfigError: a row lacks a column, or holds something else there.
    """

    name = "rows"
    Config = RowsConfig

    def __init__(
        self, config: RowsConfig, *, label: str, train: Sequence[Placed], test: Sequence[Placed]
    ) -> None:
        super().__init__(config)
        self.label = label
        self._reward: TrlReward | None = None
        self._matcher: Matcher | None = MATCHERS.get(config.reward)
        if self._matcher is None:
            self._reward = _reward_function(config)
        examples = [[self._example(where, row) for where, row in rows] for rows in (train, test)]
        if not any(examples):
            raise ConfigError(f"{label} holds no row")
        if test:
            self._universe: Listed[Example] = OwnSplits(label, *examples)
        else:
            self._universe = Listed(label, examples[0], lambda e: e.key)
        self.notice = self._left_out(sum(map(len, examples)), (len(train), len(test)))

    def task(self, split: Split, index: int) -> Task:
        example = self._universe.pick(split, index)
        data = {
            "where": example.where,
            "answer": example.answer,
            "row": dict(example.row),
            "key": example.key,
        }
        return Task(self.label, split, index, example.prompt, data)

    def gold(self, task: Task) -> str:
        if self._matcher is not None:
            return f"{LABEL} {task.data['answer']}"
        if self.config.gold is None:
            raise UnknownGold(
                f"{self.label}: what its reward function wants is not known",
                fix="name a column of completions that get the full reward (env.options.gold)",
            )
        return str(task.data["row"][self.config.gold])

    def decoys(self, task: Task) -> Sequence[str]:
        if self._matcher is None:
            return ()
        right = task.data["answer"]
        wrong = self._matcher.wrong(right)
        echo = "\n".join(m.content for m in task.prompt)
        return [*slot_decoys(right, wrong), *([echo] if strict_answer(echo) is None else [])]

    def score(self, task: Task, text: str) -> Score:
        return self.score_many([(task, text)])[0]

    def score_many(self, pairs: Sequence[tuple[Task, str]]) -> list[Score]:
        if self._reward is not None:
            return self._reward.score_many(pairs, self.config.solved_at)
        return [self._match(task.data["answer"], text) for task, text in pairs]

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def _match(self, right: str, text: str) -> Score:
        assert self._matcher is not None
        accepts = self._matcher.accepts
        return score_answer(
            text, lambda slot: accepts(right, slot), lenient=lambda whole: right in whole
        )

    def _example(self, where: str, row: Row) -> Example:
        column = self.config.prompt or ("prompt" if "prompt" in row else "question")
        told = _column(row, column, where)
        prompt = self._prompt(told, column, where)
        if self.config.gold is not None:
            _text(_column(row, self.config.gold, where), self.config.gold, where)
        if self._matcher is None:
            return Example(where, prompt, None, row)
        raw = _column(row, self.config.answer, where)
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            raw = repr(raw)
        text = _text(raw, self.config.answer, where)
        right = self._matcher.read(text)
        if right is None or LABEL in right:
            raise ConfigError(
                f"{where}: column {self.config.answer!r} is no answer for reward = "
                f"{self.config.reward!r}",
                expected=self._matcher.expected,
                got=f"{text!r:.80}",
            )
        return Example(where, prompt, right, row)

    def _prompt(self, told: Any, column: str, where: str) -> tuple[Message, ...]:
        if isinstance(told, str):
            messages = [Message("user", _text(told, column, where))]
        elif isinstance(told, Sequence) and told:
            messages = [_message(m, column, where) for m in told]
        else:
            raise _not(told, column, where, "a text, or a list of chat messages")
        if messages[0].role == "system":
            if self.config.system is not None:
                raise ConfigError(
                    f"{where}: the row brings a system message, and env.options.system another",
                    fix="leave env.options.system out",
                )
            return tuple(messages)
        system = self.config.system or (SYSTEM if self._matcher else None)
        return (*([Message("system", system)] if system else []), *messages)

    def _left_out(self, read: int, rows: tuple[int, int]) -> str | None:
        told = []
        kept = sum(self._universe.size(split) for split in ("train", "test"))
        if kept < read:
            told.append(f"{read - kept} of {read} rows repeat a prompt and are left out")
        if self.config.limit in rows:
            told.append(f"at most {self.config.limit} rows of a split are read (env.options.limit)")
        return f"{self.label}: {'; '.join(told)}" if told else None


def _reward_function(config: RowsConfig) -> TrlReward:
    if ".py:" not in config.reward:
        message = f"no reward is called {config.reward!r}"
        fix = "or name a function of yours, as in reward = './rewards.py:function'"
        raise unknown_name(message, config.reward, MATCHERS, fix=fix)
    return TrlReward.load(config.reward, config.prompt)


def _column(row: Any, column: str, where: str) -> Any:
    if not isinstance(row, Mapping):
        raise ConfigError(f"{where} is no row", expected="an object", got=f"{row!r:.80}")
    if column not in row:
        raise ConfigError(
            f"{where} has no column {column!r}",
            got=f"the columns {', '.join(map(repr, row)) or 'none'}",
            fix="name the columns: env.options.prompt, env.options.answer",
        )
    return row[column]


def _text(value: Any, column: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _not(value, column, where, "a text that is not empty")
    return value


def _message(value: Any, column: str, where: str) -> Message:
    told = value if isinstance(value, Mapping) else {}
    role, content = told.get("role"), told.get("content")
    if role not in ROLES or not isinstance(content, str) or told.get("tool_calls"):
        raise _not(
            value, column, where, "messages with a role (system, user, assistant) and a text"
        )
    return Message(role, content)


def _not(value: Any, column: str, where: str, expected: str) -> ConfigError:
    return ConfigError(
        f"{where}: column {column!r} is not usable", expected=expected, got=f"{value!r:.80}"
    )
