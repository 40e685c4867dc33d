"""Random arguments for every kind of value, and the ones that programs forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

from minirl.envs.code.step import Kind

Arguments: TypeAlias = tuple[Any, ...]

WORDS = tuple(
    """
    a an at bee big cat cold dear deer drab each earn easel east eel eat echo era green ice idea in
    inner iron lane late lead learn level life line lion list listen loose near net nice noon north
    ocean odd old on open orca otter own paper read red rice ring river rose sand seed silent silo
    sit sleep snail stone stressed tea ten tiles tin tone tree under uncle wolf """.split()  # noqa: SIM905
)

# How a statement describes an argument of each kind.
ARGUMENTS: Mapping[Kind, tuple[str, str]] = {
    "int": ("x", "an integer"),
    "natural": ("n", "an integer from 1 to 60"),
    "ints": ("xs", "a list of integers, which may be empty"),
    "str": ("s", "a string of lower-case words with single spaces between them, or ''"),
    "strs": ("words", "a list of lower-case words, which may be empty"),
    "brackets": ("s", "a string of the brackets ( ) [ ] { }, which may be empty"),
    "pairs": ("pairs", "a list of pairs [low, high] of integers with 0 <= low <= high"),
    "grid": ("grid", "a list of equally long rows of digits, with at least one cell"),
    "two strs": ("a, b", "two strings, each of which may be empty"),
}

EDGES: Mapping[Kind, Sequence[Arguments]] = {
    "int": ((0,), (1,), (-1,), (2,), (-13,), (1000,)),
    "natural": ((1,), (2,), (3,), (4,), (59,), (60,)),
    "ints": (([],), ([0],), ([-4],), ([7],), ([5, 5, 5],), ([3, -3, 0],), ([2, 4, 6, 8],)),
    "str": (("",), ("a",), ("eel",), ("cold cold cold",), ("tree",)),
    "strs": (([],), (["a"],), (["ice"],), (["cat", "cat"],), (["ten", "net", "tea"],)),
    "brackets": (("",), ("(",), ("()",), ("([)]",), ("}{",), ("(())[]",), ("[](",)),
    "pairs": (([],), ([[3, 3]],), ([[1, 5], [2, 3]],), ([[4, 6], [1, 4]],), ([[0, 2], [3, 5]],)),
    "grid": (([[0]],), ([[7]],), ([[1, 2, 3]],), ([[9], [4], [6]],), ([[5, 5], [5, 5]],)),
    "two strs": (("", ""), ("", "tea"), ("ten", ""), ("eat", "eat"), ("ab", "ba"), ("abc", "xyz")),
}


def draw(kind: Kind, rng: Random) -> Arguments:
    """One random tuple of arguments of ``kind``; small, since every case costs a call."""
    if kind == "two strs":
        letters = rng.choice(("ab", "abc", "aeinst"))
        return ("".join(rng.choices(letters, k=rng.randint(1, 8))), _close(rng, letters))
    return (_value(kind, rng),)


def _value(kind: Kind, rng: Random) -> Any:
    if kind == "int":
        return rng.randint(-10, 10) if rng.random() < 0.4 else rng.randint(-60, 200)
    if kind == "natural":
        return rng.randint(1, 60)
    if kind == "ints":
        reach = rng.choice((3, 8, 12, 12, 30))
        low = rng.choice((-reach, -reach, 0))
        return [rng.randint(low, reach) for _ in range(rng.randint(2, 9))]
    if kind == "str":
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 5)))
    if kind == "strs":
        return rng.choices(rng.sample(WORDS, 12), k=rng.randint(2, 7))
    if kind == "brackets":
        return _brackets(rng)
    if kind == "pairs":
        lows = [rng.randint(0, 15) for _ in range(rng.randint(2, 6))]
        return [[low, low + rng.choice((0, 1, 2, 3, 5, 8))] for low in lows]
    width = rng.randint(1, 5)
    return [[rng.randint(0, 9) for _ in range(width)] for _ in range(rng.randint(1, 5))]


def _close(rng: Random, letters: str) -> str:
    return "".join(rng.choices(letters, k=rng.randint(1, 8)))


def _brackets(rng: Random) -> str:
    """A well-formed string, in most cases with one character changed, added or removed."""
    text = ""
    for _ in range(rng.randint(1, 4)):
        pair = rng.choice(("()", "[]", "{}"))
        at = rng.randint(0, len(text))
        end = rng.randint(at, len(text))
        text = text[:at] + pair[0] + text[at:end] + pair[1] + text[end:]
    if rng.random() < 0.7:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(("", *"()[]{}")) + text[at + rng.randint(0, 1) :]
    return text
