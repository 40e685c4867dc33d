"""Chains of stated operations on a sequence: what ``list_edits`` and ``string_edits`` share.

A sequence is a tuple of strings: the items of a list, or the letters of a text. A subclass brings
the sequences to start from, its operations, and what stands between two items.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import ClassVar, TypeAlias, TypeVar

from pydantic import Field, model_validator

from minirl.envs.base import EnvConfig, Environment, opening
from minirl.envs.universe import Drawn, Universe
from minirl.rewards.answer import LABEL, score_answer, slot_decoys
from minirl.types import Score, Split, Task

Items: TypeAlias = tuple[str, ...]
# What an operation says and makes of the items; None where it does not fit them.
Edit: TypeAlias = Callable[[Random, Items], tuple[str, Items] | None]

ORDINALS = {2: "second", 3: "third"}
MAX_STEPS = 5

_WORDS = re.compile(r"[0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Chain:
    """A start, the operations in words, and what each of them makes: as many as operations."""

    given: Items
    edits: tuple[str, ...]
    made: tuple[Items, ...]

    @property
    def key(self) -> str:
        return f"{','.join(self.given)}|{' '.join(self.edits)}"


class EditsConfig(EnvConfig):
    """A subclass names its operations and lists them in ``known``."""

    known: ClassVar[Mapping[str, Edit]]

    operations: tuple[str, ...]
    """What may be asked, each at most once a task."""
    steps: int = Field(1, ge=1, le=MAX_STEPS)
    """How many operations are chained."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""

    @model_validator(mode="after")
    def _possible(self) -> EditsConfig:
        unknown = sorted(set(self.operations) - set(self.known))
        if unknown:
            raise ValueError(f"operations are any of {', '.join(self.known)}; got {unknown}")
        if len(set(self.operations)) < self.steps:
            raise ValueError(f"{self.steps} steps need as many operations, got {self.operations}")
        return self


EditsConfigT = TypeVar("EditsConfigT", bound=EditsConfig)


class Edits(Environment[EditsConfigT]):
    """Each operation of a chain changes what it gets and leaves something.

    Class attributes:
        system: the rule.
        noun: what the question calls the sequence.
        separator: what is written between two items.
        example: a chain of MAX_STEPS operations; the worked example shows its first ones.
        turn: the operation of ``shifted``, in words: it reverses the sequence.
    """

    system: ClassVar[str]
    noun: ClassVar[str]
    separator: ClassVar[str]
    example: ClassVar[Chain]
    turn: ClassVar[str]

    @property
    @abstractmethod
    def title(self) -> str:
        """A name for the problems of these options."""

    @abstractmethod
    def start(self, rng: Random) -> Items:
        """What a chain starts from."""

    def fits(self, items: Items) -> bool:
        """Whether a further operation makes sense on ``items``."""
        return True

    def task(self, split: Split, index: int) -> Task:
        return self._task(split, index, self._universe.pick(split, index))

    def gold(self, task: Task) -> str:
        return self._worked(task.data["made"])

    def decoys(self, task: Task) -> Sequence[str]:
        made = task.data["made"]
        given, right = self.write(task.data["given"]), self.write(made[-1])
        return (
            *slot_decoys(right, given),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            self._example[1],  # the example, copied
            f"{LABEL} {task.data['edits'][-1]}",
            f"{LABEL} {given} -> {right}",
            f"{LABEL} {right}{self.separator}{right}",
            f"{LABEL} {right},",
            f'{LABEL} "{right}"',
            f"{LABEL} [{right}]",
            *(f"{LABEL} {self.write(v)}" for v in _near(made[-1]) if v and v != tuple(made[-1])),
            *(f"{LABEL} {self.write(v)}" for v in made[:-1] if v != made[-1]),
        )

    def shifted(self, task: Task, rng: Random) -> tuple[Task, str] | None:
        """One more operation turns the answer round."""
        given, edits, made = (task.data[k] for k in ("given", "edits", "made"))
        turned = made[-1][::-1]
        if turned == made[-1] or not self.fits(tuple(made[-1])):
            return None
        steps = tuple(map(tuple, [*made, turned]))
        chain = Chain(tuple(given), (*edits, self.turn), steps)
        return self._task(task.split, task.index, chain), f"{LABEL} {self.write(turned)}"

    def score(self, task: Task, text: str) -> Score:
        right = task.data["made"][-1]

        def lenient(whole: str) -> bool:
            end = _WORDS.findall(whole[-len(self.write(right)) - 100 :])
            return "".join(end[-len(right) if self.separator else -1 :]) == "".join(right)

        return score_answer(text, lambda slot: self.read(slot) == right, lenient=lenient)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def write(self, items: Sequence[str]) -> str:
        return self.separator.join(items)

    def read(self, slot: str) -> list[str]:
        """The items of an answer; blanks around an item are no part of it."""
        return [item.strip(" ") for item in slot.split(",")] if self.separator else list(slot)

    def _task(self, split: Split, index: int, chain: Chain) -> Task:
        example = self._example if self.config.worked_example else None
        prompt = opening(self.system, self._question(chain), example)
        data = {
            "given": list(chain.given),
            "edits": list(chain.edits),
            "made": [list(items) for items in chain.made],
            "key": chain.key,
        }
        return Task(self.label, split, index, prompt, data)

    def _question(self, chain: Chain) -> str:
        return f"{self.noun}: {self.write(chain.given)}\n{' '.join(chain.edits)}"

    def _worked(self, made: Sequence[Sequence[str]]) -> str:
        *before, last = (self.write(items) for items in made)
        return "\n".join([*before, f"{LABEL} {last}"])

    @cached_property
    def _example(self) -> tuple[str, str]:
        steps = self.config.steps
        chain = Chain(self.example.given, self.example.edits[:steps], self.example.made[:steps])
        return self._question(chain), self._worked(chain.made)

    @cached_property
    def _universe(self) -> Universe[Chain]:
        operations = [self.config.known[name] for name in sorted(set(self.config.operations))]
        steps = self.config.steps
        banned = self.example.made[steps - 1]  # else copying the example would be right

        def draw(rng: Random) -> Chain | None:
            given = items = self.start(rng)
            edits, made = [], []
            for operation in rng.sample(operations, steps):
                edit = operation(rng, items) if self.fits(items) else None
                if edit is None or edit[1] == items or not edit[1]:
                    return None
                edits.append(edit[0])
                items = edit[1]
                made.append(items)
            # else echoing the question would be right
            return None if items in (given, banned) else Chain(given, tuple(edits), tuple(made))

        return Drawn(self.title, draw, lambda chain: chain.key)


def _near(right: Sequence[str]) -> list[tuple[str, ...]]:
    """Sequences that one slip makes of the right one."""
    first, *rest = right
    *most, last = right
    slips = (
        rest,
        most,
        [*right, last],
        [first, *right],
        [*rest, first],
        [last, *most],
        right[::-1],
        [item.swapcase() for item in right],
    )
    return [tuple(slip) for slip in slips]
