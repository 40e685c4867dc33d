"""Change a list of numbers by stated operations."""

from __future__ import annotations

from random import Random
from typing import ClassVar

from pydantic import Field

from minirl.envs.edits import ORDINALS, Chain, Edit, Edits, EditsConfig, Items
from minirl.envs.registry import register
from minirl.rewards.answer import LABEL

LARGEST = 20


def _append(rng: Random, items: Items) -> tuple[str, Items]:
    number = str(rng.randint(1, LARGEST))
    return f"Put {number} at the end.", (*items, number)


def _prepend(rng: Random, items: Items) -> tuple[str, Items]:
    number = str(rng.randint(1, LARGEST))
    return f"Put {number} at the front.", (number, *items)


def _drop_first(rng: Random, items: Items) -> tuple[str, Items]:
    return "Remove the first number.", items[1:]


def _drop_last(rng: Random, items: Items) -> tuple[str, Items]:
    return "Remove the last number.", items[:-1]


def _reverse(rng: Random, items: Items) -> tuple[str, Items]:
    return "Reverse the order.", items[::-1]


def _swap_ends(rng: Random, items: Items) -> tuple[str, Items] | None:
    if len(items) < 2:
        return None
    return "Swap the first and the last number.", (items[-1], *items[1:-1], items[0])


def _rotate(rng: Random, items: Items) -> tuple[str, Items] | None:
    if len(items) < 4:
        return None
    k = rng.randint(2, len(items) - 2)
    return f"Move the first {k} numbers to the end.", items[k:] + items[:k]


def _remove_every(rng: Random, items: Items) -> tuple[str, Items]:
    k = rng.choice(list(ORDINALS))
    kept = tuple(item for i, item in enumerate(items, 1) if i % k)
    return f"Remove every {ORDINALS[k]} number.", kept


def _dedupe(rng: Random, items: Items) -> tuple[str, Items]:
    return "Remove repeated numbers, keeping the first of each.", tuple(dict.fromkeys(items))


def _sort(rng: Random, items: Items) -> tuple[str, Items]:
    return "Sort from smallest to largest.", tuple(sorted(items, key=int))


def _add(rng: Random, items: Items) -> tuple[str, Items]:
    n = rng.randint(1, 9)
    return f"Add {n} to each number.", tuple(str(int(item) + n) for item in items)


def _double(rng: Random, items: Items) -> tuple[str, Items]:
    return "Double each number.", tuple(str(2 * int(item)) for item in items)


def _odd_only(rng: Random, items: Items) -> tuple[str, Items]:
    return "Remove the even numbers.", tuple(item for item in items if int(item) % 2)


def _count(rng: Random, items: Items) -> tuple[str, Items]:
    return "Count the numbers and put the count at the end.", (*items, str(len(items)))


OPERATIONS: dict[str, Edit] = {
    "append": _append,
    "prepend": _prepend,
    "drop_first": _drop_first,
    "drop_last": _drop_last,
    "reverse": _reverse,
    "swap_ends": _swap_ends,
    "rotate": _rotate,
    "remove_every": _remove_every,
    "dedupe": _dedupe,
    "sort": _sort,
    "add": _add,
    "double": _double,
    "odd_only": _odd_only,
    "count": _count,
}


class ListEditsConfig(EditsConfig):
    known = OPERATIONS

    operations: tuple[str, ...] = tuple(OPERATIONS)
    """What may be asked, each at most once a task: any of append, prepend, drop_first, drop_last,
    reverse, swap_ends, rotate, remove_every, dedupe, sort, add, double, odd_only, count.
    """
    length: int = Field(5, ge=3, le=20)
    """How many numbers are given, each from 1 to 20."""


@register
class ListEdits(Edits[ListEditsConfig]):
    """Change a list of numbers by one to five stated operations."""

    name = "list_edits"
    Config = ListEditsConfig
    levels: ClassVar = {
        # Nothing that only takes away: the answer would stand in the list as it is shown.
        "1": {"length": 3, "operations": ["append", "prepend", "reverse"]},
        "2": {"length": 4, "operations": ["append", "drop_first", "reverse", "swap_ends", "add"]},
        "3": {"length": 5},
        "4": {"length": 6, "steps": 2},
        "5": {"length": 8, "steps": 3},
        "6": {"length": 12, "steps": 5},
    }

    system = (
        f"Change the list as told, step by step. Give the result on the last line as "
        f"'{LABEL} number, number, number'."
    )
    noun = "List"
    separator = ", "
    turn = "Reverse the order."
    example = Chain(
        ("31", "7", "31", "24"),
        (
            "Put 28 at the end.",
            "Remove repeated numbers, keeping the first of each.",
            "Swap the first and the last number.",
            "Add 1 to each number.",
            "Remove the first number.",
        ),
        (
            ("31", "7", "31", "24", "28"),
            ("31", "7", "24", "28"),
            ("28", "7", "24", "31"),
            ("29", "8", "25", "32"),
            ("8", "25", "32"),
        ),
    )

    @property
    def title(self) -> str:
        return f"{self.name} of {self.config.length} numbers"

    def start(self, rng: Random) -> Items:
        return tuple(str(rng.randint(1, LARGEST)) for _ in range(self.config.length))
