"""The environment API.

A single-turn environment is one short file: subclass :class:`Environment`, give it a ``Config``,
and write ``task``, ``gold``, ``decoys`` and ``score``. A multi-turn one overrides ``episode`` (and
``max_turns``) instead of ``score``. What else an author can declare, the audit puts to the proof:
``alternatives`` (other right answers) and ``shifted`` (how the answer follows the question).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from minirl.types import Message, Score, Split, Task


class EnvConfig(BaseModel):
    """An environment's options: fields with a type, a default and a docstring, their help."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


ConfigT = TypeVar("ConfigT", bound=EnvConfig)

# What a policy writes in one episode: a single text, or one text a turn.
Turns: TypeAlias = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Step:
    """What an episode answers to one assistant message: more messages, or the final score."""

    messages: tuple[Message, ...] = ()
    score: Score | None = None

    def __post_init__(self) -> None:
        if (self.score is None) == (not self.messages):
            raise ValueError("a Step carries either messages or a score, and not both")


class Episode(Protocol):
    """The single-use state of one attempt at a task."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The opening messages."""

    @property
    def tools(self) -> tuple[dict[str, Any], ...]:
        """JSON schemas of the tools, as chat templates take them; empty without tools."""

    def step(self, message: Message) -> Step:
        """Take what the policy wrote; malformed output scores 0 and never raises."""

    def give_up(self, reason: str) -> Score:
        """The score of an episode cut off (token or turn limit) after its last ``step``."""


class SingleTurnEpisode:
    """An episode of one step, played for every environment that only writes ``score``."""

    tools: tuple[dict[str, Any], ...] = ()

    def __init__(self, env: Environment[Any], task: Task) -> None:
        self._env = env
        self._task = task
        self.messages = task.prompt

    def step(self, message: Message) -> Step:
        return Step(score=self._env.score(self._task, message.content))

    def give_up(self, reason: str) -> Score:
        return Score(0.0, False, reason=reason)


class Environment(Generic[ConfigT]):
    """Tasks and their verifier.

    Class attributes:
        name: the registry name.
        Config: the pydantic model of its options.
        levels: named difficulties; ``NAME:LEVEL`` selects one and overrides the Config's defaults
            with it.
        max_turns: how often the policy may speak; 1 for a single-turn environment. Where it depends
            on the options, set it on the instance.
        guess_floor: the solved rate that a policy without any insight may reach (one fixed answer,
            the prompt's third word, another task's answer); .5 for yes-or-no questions.
        answer_in_prompt: the answer is a selection from the prompt, and may stand there.
        partial_credit: a ``value`` between 0 and 1 is meant; else only 0 and 1 are.

    Attributes:
        notice: what a user must know before a run begins (data that had to be replaced, say).
    """

    name: ClassVar[str]
    Config: ClassVar[type[EnvConfig]] = EnvConfig
    levels: ClassVar[dict[str, dict[str, Any]]] = {}
    max_turns: int = 1
    guess_floor: float = 0.2
    answer_in_prompt: bool = False
    partial_credit: bool = False
    notice: str | None = None

    def __init__(self, config: ConfigT, *, level: str | None = None) -> None:
        self.config = config
        self.level = level
        self.label = self.name if level is None else f"{self.name}:{level}"

    # What an author writes -------------------------------------------------------------------

    def task(self, split: Split, index: int) -> Task:
        """Task ``index`` of ``split``: pure, and in no other split.

        Past ``size("train")`` the tasks start again; past ``size("test")`` raise ConfigError, for a
        test task that is counted twice would narrow the interval dishonestly.
        """
        raise NotImplementedError(f"{type(self).__name__} must define task(split, index)")

    def gold(self, task: Task) -> Turns:
        """A completion that must score 1 (for several turns: one text a turn).

        Raise UnknownGold where the task's source knows no right answer.
        """
        raise NotImplementedError(f"{type(self).__name__} must define gold(task)")

    def decoys(self, task: Task) -> Sequence[Turns]:
        """Plausible completions that must score 0."""
        raise NotImplementedError(f"{type(self).__name__} must define decoys(task)")

    def alternatives(self, task: Task) -> Sequence[Turns]:
        """Right completions that differ from ``gold`` in more than wording; each must score 1.

        Write it where a task has several right answers, or several ways to reach one.
        """
        return ()

    def shifted(self, task: Task, rng: random.Random) -> tuple[Task, Turns] | None:
        """``task`` changed so that its answer changes in a known way, and that answer.

        A metamorphic relation (add 1 to a term and the sum grows by 1; permute the digits of a
        puzzle and its solution is permuted). The audit demands that the answer passes on the
        changed task and that the old gold fails there. None where no such relation is known.
        """
        return None

    def score(self, task: Task, text: str) -> Score:
        """Judge the whole text of a single-turn completion."""
        raise NotImplementedError(f"{type(self).__name__} must define score(task, text)")

    def size(self, split: Split) -> int | None:
        """How many distinct tasks the split has; None where they do not run out in practice."""
        return None

    # What the engine uses --------------------------------------------------------------------

    def episode(self, task: Task) -> Episode:
        """Open one attempt at ``task``."""
        return SingleTurnEpisode(self, task)

    def score_many(self, pairs: Sequence[tuple[Task, str]]) -> list[Score]:
        """Judge many single-turn completions; override it where scoring is cheaper in bulk."""
        return [self.score(task, text) for task, text in pairs]


def as_turns(written: Turns) -> tuple[str, ...]:
    """``written`` as one text a turn."""
    return (written,) if isinstance(written, str) else tuple(written)


def opening(
    system: str, question: str, example: tuple[str, str] | None = None
) -> tuple[Message, ...]:
    """A single-turn prompt: the rule, a worked user/assistant turn if given, the question."""
    shown = (
        [] if example is None else [Message("user", example[0]), Message("assistant", example[1])]
    )
    return (Message("system", system), *shown, Message("user", question))


def task_rng(*key: object) -> random.Random:
    """A generator that depends on ``key`` alone: the same in every process."""
    text = "\x1f".join(map(str, key))
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


TEST_SHARE = 0.3


def split_of(key: str) -> Split:
    """The split that a problem belongs to, by a hash of its canonical text.

    Content decides and not the index: the same problem met twice always falls on the same side.
    About 30 % of all problems are held out.
    """
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return "test" if bucket < TEST_SHARE else "train"
