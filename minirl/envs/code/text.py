"""Steps over strings and lists of words."""

from __future__ import annotations

from collections.abc import Mapping

from minirl.envs.code.step import Op, call, each, keep

VOWELS = "aeiou"
LETTERS = "abcdeilnorst"  # frequent in the inputs


def count_vowels(text: str) -> int:
    return sum(1 for c in text if c in "aeiou")


def words_by_first_letter(words: list[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(word[0], []).append(word)
    return groups


TEXT: Mapping[str, Op] = {
    "length": Op(
        "str", "int", "count the characters", len, "len({v})", near=("vowels", "count_words")
    ),
    "vowels": call("str", "int", "count the vowels (a, e, i, o, u)", count_vowels),
    "count_words": Op(
        "str", "int", "count the words", lambda v: len(v.split()), "len({v}.split())"
    ),
    "count_letter": Op(
        "str",
        "int",
        "count how often the letter '{0}' occurs",
        lambda v, c: v.count(c),
        "{v}.count({0!r})",
        (LETTERS,),
    ),
    "find_letter": Op(
        "str",
        "int",
        "find the position of the first '{0}', counted from 0 (-1 if there is none)",
        lambda v, c: v.find(c),
        "{v}.find({0!r})",
        (LETTERS,),
    ),
    "backwards": Op("str", "str", "reverse the string", lambda v: v[::-1], "{v}[::-1]"),
    "upper": Op("str", "other", "make all letters upper case", lambda v: v.upper(), "{v}.upper()"),
    "swap_letter": Op(
        "str",
        "str",
        "replace every '{0}' by '{1}'",
        lambda v, c, d: v.replace(c, d),
        "{v}.replace({0!r}, {1!r})",
        (LETTERS, "xyz-"),
    ),
    "drop_letter": Op(
        "str",
        "str",
        "remove every '{0}'",
        lambda v, c: v.replace(c, ""),
        '{v}.replace({0!r}, "")',
        (LETTERS,),
    ),
    "start": Op(
        "str",
        "str",
        "keep only the first {0} characters (all, if there are fewer)",
        lambda v, n: v[:n],
        "{v}[:{0}]",
        (range(2, 12),),
    ),
    "end": Op(
        "str",
        "str",
        "keep only the last {0} characters (all, if there are fewer)",
        lambda v, n: v[-n:],
        "{v}[-{0}:]",
        (range(2, 12),),
        near=("start",),
    ),
    "append": Op(
        "str", "str", "append '{0}'", lambda v, c: v + c, "{v} + {0!r}", (("!", "?", "-", "xyz"),)
    ),
    "split": Op("str", "strs", "split it into words", lambda v: v.split(), "{v}.split()"),
    "letter_tally": Op(
        "str",
        "other",
        "make a dictionary from each character to how often it occurs",
        lambda v: {c: v.count(c) for c in v},
        "{{c: {v}.count(c) for c in {v}}}",
    ),
}

WORDS: Mapping[str, Op] = {
    "keep_longer": keep(
        "strs",
        "keep only the words with more than {0} letters",
        lambda x, n: len(x) > n,
        "len(x) > {0}",
        range(1, 5),
        near=("keep_as_long",),
    ),
    "keep_as_long": keep(
        "strs",
        "keep only the words with at least {0} letters",
        lambda x, n: len(x) >= n,
        "len(x) >= {0}",
        range(2, 6),
        near=("keep_longer",),
    ),
    "keep_with": keep(
        "strs",
        "keep only the words that contain '{0}'",
        lambda x, c: c in x,
        "{0!r} in x",
        LETTERS,
        near=("keep_without",),
    ),
    "keep_without": keep(
        "strs",
        "remove the words that contain '{0}'",
        lambda x, c: c not in x,
        "{0!r} not in x",
        LETTERS,
        near=("keep_with",),
    ),
    "keep_vowel_start": keep(
        "strs",
        "keep only the words that start with a vowel (a, e, i, o, u)",
        lambda x: x[0] in VOWELS,
        'x[0] in "aeiou"',
    ),
    "each_backwards": each(
        "strs", "strs", "reverse the letters of each word", lambda x: x[::-1], "x[::-1]"
    ),
    "each_start": each(
        "strs",
        "strs",
        "shorten each word to its first {0} letters",
        lambda x, n: x[:n],
        "x[:{0}]",
        range(1, 5),
    ),
    "each_append": each(
        "strs",
        "strs",
        "append '{0}' to each word",
        lambda x, c: x + c,
        "x + {0!r}",
        ("s", "ed", "!", "ing"),
    ),
    "lengths": each("strs", "ints", "replace each word by its number of letters", len, "len(x)"),
    "sort_words": Op("strs", "strs", "sort the words alphabetically", sorted, "sorted({v})"),
    "sort_by_length": Op(
        "strs",
        "strs",
        "sort the words by length, shortest first, and alphabetically among equally long ones",
        lambda v: sorted(v, key=lambda x: (len(x), x)),
        "sorted({v}, key=lambda x: (len(x), x))",
        near=("sort_words",),
    ),
    "words_backwards": Op(
        "strs", "strs", "reverse the order of the words", lambda v: v[::-1], "{v}[::-1]"
    ),
    "distinct_words": Op(
        "strs",
        "strs",
        "keep only the first occurrence of each word",
        lambda v: list(dict.fromkeys(v)),
        "list(dict.fromkeys({v}))",
    ),
    "how_many": Op("strs", "int", "count the words", len, "len({v})"),
    "join": Op(
        "strs",
        "str",
        "join the words with '{0}' between them",
        lambda v, c: c.join(v),
        "{0!r}.join({v})",
        (("-", "+", ", ", "/"),),
    ),
    "longest": Op(
        "strs",
        "str",
        "take the longest word (the first of them if there are several, '' if there is none)",
        lambda v: max(v, key=len, default=""),
        'max({v}, key=len, default="")',
    ),
    "initials": Op(
        "strs",
        "str",
        "make a string of the first letters of the words",
        lambda v: "".join(x[0] for x in v),
        '"".join(x[0] for x in {v})',
    ),
    "by_letter": call(
        "strs",
        "other",
        "make a dictionary from each first letter to the list of the words that start with it",
        words_by_first_letter,
    ),
}
