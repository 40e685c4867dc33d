"""Sort a few words alphabetically."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from random import Random
from typing import ClassVar

from pydantic import Field

from minirl.envs.base import EnvConfig, Environment, opening
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Universe
from minirl.rewards.answer import LABEL, score_answer, slot_decoys
from minirl.types import Score, Split, Task

SYSTEM = f"Sort the words alphabetically. Give them on the last line as '{LABEL} word, word, word'."

# None of the example's words is in WORDS, so that copying the example is never right.
EXAMPLE = ("Sort: pear, apple, grape.", f"{LABEL} apple, grape, pear")

WORDS = tuple(
    """
    act add age air arm art ask baby back ball band bank bath bear bed bell bird blue boat body bone
    book bowl box boy bread brick brown bus cake call camp card cat chair circle city clock cloud
    coat coin cold color corn cow cup dance dark day deer desk dish dog door dream dress drum duck
    dust ear earth east egg engine eye face fall farm field fire fish floor flower foot forest fox
    friend frog game garden gate girl glass goat gold grass green hair hand hat heart hill home
    horse house ice island jacket job juice jump key king kitchen kite knee lake lamp leaf leg lemon
    letter light lion lip lock lunch map market milk mirror moon mouse mouth music name neck nest
    night north nose note ocean office oil onion orange paint paper park pencil phone piano picture
    pig plane plant plate pocket pond queen rabbit rain red rice ring river road rock roof room rope
    rose salt sand school sea seed shadow sheep ship shirt shoe silver sister sky smile snow soap
    sock song soup spoon star stone storm street sugar sun table tail tea tent tiger tool tooth
    tower toy train tree truck turtle uncle valley voice wagon wall watch water west wheel white
    wind window wing winter wolf wood yard year yellow zebra zero """.split()  # noqa: SIM905
)


class SortWordsConfig(EnvConfig):
    count: int = Field(4, ge=3, le=20)
    """How many words are given."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""


@register
class SortWords(Environment[SortWordsConfig]):
    """Sort common words alphabetically."""

    name = "sort_words"
    Config = SortWordsConfig
    levels: ClassVar = {str(n): {"count": n} for n in (3, 4, 5, 6, 8)}

    def task(self, split: Split, index: int) -> Task:
        words = self._universe.pick(split, index)
        example = EXAMPLE if self.config.worked_example else None
        prompt = opening(SYSTEM, f"Sort: {', '.join(words)}.", example)
        data = {"words": list(words), "sorted": sorted(words), "key": _key(words)}
        return Task(self.label, split, index, prompt, data)

    def gold(self, task: Task) -> str:
        return f"{LABEL} {', '.join(task.data['sorted'])}"

    def decoys(self, task: Task) -> Sequence[str]:
        shown, right = task.data["words"], task.data["sorted"]
        wrong = (
            shown,
            right[::-1],
            right[:-1],
            right[1:],
            [*right, right[-1]],
            [*right, "zoo"],
            [*right[:-2], right[-1], right[-2]],
            [right[0]] * len(right),
            [w.upper() for w in right],
            [*right, ""],
        )
        return (
            *slot_decoys(", ".join(right), ", ".join(shown)),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            EXAMPLE[1],  # the example, copied
            *(f"{LABEL} {', '.join(words)}" for words in wrong),
            f"{LABEL} {' '.join(right)}",
            f"{LABEL} {''.join(right)}",
            f"{LABEL} {right}",
            f"{LABEL} word, word, word",
        )

    def score(self, task: Task, text: str) -> Score:
        right: list[str] = task.data["sorted"]

        def accepts(slot: str) -> bool:
            return right == [word.strip(" ") for word in slot.split(",")]

        def lenient(whole: str) -> bool:
            return re.findall(r"[a-z]+", whole.lower())[-len(right) :] == right

        return score_answer(text, accepts, lenient=lenient)

    @cached_property
    def _universe(self) -> Universe[tuple[str, ...]]:
        return Drawn(f"{self.name} of {self.config.count} words", self._draw, _key)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def _draw(self, rng: Random) -> tuple[str, ...] | None:
        words = rng.sample(WORDS, self.config.count)
        return None if words == sorted(words) else tuple(words)  # echoing the prompt must not pay


def _key(words: Sequence[str]) -> str:
    return " ".join(sorted(words))
