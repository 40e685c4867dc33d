"""Change a text of a few letters by stated operations."""

from __future__ import annotations

from random import Random
from string import ascii_lowercase, ascii_uppercase
from typing import ClassVar

from pydantic import Field

from minirl.envs.edits import ORDINALS, Chain, Edit, Edits, EditsConfig, Items
from minirl.envs.registry import register
from minirl.envs.sort_words import WORDS
from minirl.rewards.answer import LABEL

VOWELS = frozenset("aeiouAEIOU")


def _append(rng: Random, items: Items) -> tuple[str, Items]:
    letter = rng.choice(ascii_lowercase)
    return f"Put {letter} at the end.", (*items, letter)


def _prepend(rng: Random, items: Items) -> tuple[str, Items]:
    letter = rng.choice(ascii_lowercase)
    return f"Put {letter} at the front.", (letter, *items)


def _capitals(rng: Random, items: Items) -> tuple[str, Items]:
    return "Write it in capital letters.", tuple(item.upper() for item in items)


def _drop_first(rng: Random, items: Items) -> tuple[str, Items]:
    return "Remove the first letter.", items[1:]


def _drop_last(rng: Random, items: Items) -> tuple[str, Items]:
    return "Remove the last letter.", items[:-1]


def _reverse(rng: Random, items: Items) -> tuple[str, Items]:
    return "Write it backwards.", items[::-1]


def _swap_ends(rng: Random, items: Items) -> tuple[str, Items] | None:
    if len(items) < 2:
        return None
    return "Swap the first and the last letter.", (items[-1], *items[1:-1], items[0])


def _rotate(rng: Random, items: Items) -> tuple[str, Items] | None:
    if len(items) < 4:
        return None
    k = rng.randint(2, len(items) - 2)
    return f"Move the first {k} letters to the end.", items[k:] + items[:k]


def _remove_every(rng: Random, items: Items) -> tuple[str, Items]:
    k = rng.choice(list(ORDINALS))
    kept = tuple(item for i, item in enumerate(items, 1) if i % k)
    return f"Remove every {ORDINALS[k]} letter.", kept


def _dedupe(rng: Random, items: Items) -> tuple[str, Items] | None:
    if not _one_case(items):
        return None  # is "a" a repeat of "A"?
    return "Remove repeated letters, keeping the first of each.", tuple(dict.fromkeys(items))


def _sort(rng: Random, items: Items) -> tuple[str, Items] | None:
    if not _one_case(items):
        return None
    return "Put the letters in alphabetical order.", tuple(sorted(items))


def _capital_vowels(rng: Random, items: Items) -> tuple[str, Items]:
    changed = tuple(item.upper() if item in VOWELS else item for item in items)
    return "Write the vowels in capital letters.", changed


def _no_vowels(rng: Random, items: Items) -> tuple[str, Items]:
    return "Remove the vowels.", tuple(item for item in items if item not in VOWELS)


def _double(rng: Random, items: Items) -> tuple[str, Items]:
    return "Write each letter twice.", tuple(item for item in items for _ in range(2))


def _caesar(rng: Random, items: Items) -> tuple[str, Items]:
    k = rng.randint(1, 5)
    places = "next letter" if k == 1 else f"letter {k} places later"
    table = {
        a: b
        for letters in (ascii_lowercase, ascii_uppercase)
        for a, b in zip(letters, letters[k:] + letters[:k], strict=True)
    }
    text = f"Replace each letter by the {places} in the alphabet (after z comes a)."
    return text, tuple(table[item] for item in items)


def _count(rng: Random, items: Items) -> tuple[str, Items]:
    return "Count the letters and put the count at the end.", (*items, *str(len(items)))


def _one_case(items: Items) -> bool:
    text = "".join(items)
    return text.islower() or text.isupper()


OPERATIONS: dict[str, Edit] = {
    "append": _append,
    "prepend": _prepend,
    "capitals": _capitals,
    "drop_first": _drop_first,
    "drop_last": _drop_last,
    "reverse": _reverse,
    "swap_ends": _swap_ends,
    "rotate": _rotate,
    "remove_every": _remove_every,
    "dedupe": _dedupe,
    "sort": _sort,
    "capital_vowels": _capital_vowels,
    "no_vowels": _no_vowels,
    "double": _double,
    "caesar": _caesar,
    "count": _count,
}


class StringEditsConfig(EditsConfig):
    known = OPERATIONS

    operations: tuple[str, ...] = tuple(OPERATIONS)
    """What may be asked, each at most once a task: any of append, prepend, capitals, drop_first,
    drop_last, reverse, swap_ends, rotate, remove_every, dedupe, sort, capital_vowels, no_vowels,
    double, caesar, count.
    """
    words: int = Field(1, ge=1, le=4)
    """How many common words are written together to make the text."""


@register
class StringEdits(Edits[StringEditsConfig]):
    """Change a word or two by one to five stated operations."""

    name = "string_edits"
    Config = StringEditsConfig
    levels: ClassVar = {
        "1": {"operations": ["append", "prepend", "capitals", "drop_last"]},
        "2": {"operations": ["append", "drop_first", "capital_vowels", "swap_ends", "reverse"]},
        "3": {"words": 2},
        "4": {"words": 2, "steps": 2},
        "5": {"words": 2, "steps": 3},
        "6": {"words": 3, "steps": 5},
    }

    system = (
        f"Change the text as told, step by step. Give the result on the last line as "
        f"'{LABEL} text'."
    )
    noun = "Text"
    separator = ""
    turn = "Write it backwards."
    example = Chain(
        tuple("kiwi"),
        (
            "Put s at the end.",
            "Remove repeated letters, keeping the first of each.",
            "Swap the first and the last letter.",
            "Write the vowels in capital letters.",
            "Remove the first letter.",
        ),
        (tuple("kiwis"), tuple("kiws"), tuple("siwk"), tuple("sIwk"), tuple("Iwk")),
    )

    @property
    def title(self) -> str:
        return f"{self.name} of {self.config.words} words"

    def start(self, rng: Random) -> Items:
        return tuple("".join(rng.sample(WORDS, self.config.words)))

    def fits(self, items: Items) -> bool:
        """Whether a further operation can follow: all of them speak of letters."""
        return "".join(items).isalpha()
