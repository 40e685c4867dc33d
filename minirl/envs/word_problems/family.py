"""A family of stories as data: tables of sentences, each with its kind of arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

MOST = 20_000  # no amount of a story grows past it


class Part(NamedTuple):
    """One piece of a story: the name of a kind, and its text."""

    kind: str
    text: str


@dataclass(frozen=True)
class Family:
    """Stories of one sort.

    Attributes:
        words: what ``{name}`` in a text may stand for; chosen once a story.
        starts, events, ends: the parts; a story has one start, some different events and one end.
        asides: sentences with a number ``{n}`` that has nothing to do with the question.
        first: range of a starting amount.
        change: range of what an event adds or takes away.
        each: range of what one of several equal groups holds.
        most: no amount of the story grows past it.
    """

    name: str
    words: Mapping[str, tuple[str, ...]]
    starts: tuple[Part, ...]
    events: tuple[Part, ...]
    ends: tuple[Part, ...]
    asides: tuple[str, ...]
    first: tuple[int, int] = (5, 1000)
    change: tuple[int, int] = (2, 1000)
    each: tuple[int, int] = (2, 12)
    most: int = MOST


def parts(table: str) -> tuple[Part, ...]:
    """A table with a part in each line: its kind, then its text."""
    rows = (line.split(None, 1) for line in table.strip().splitlines())
    return tuple(Part(kind, text.strip()) for kind, text in rows)


def lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())
