"""Write a regular expression from strings that it must match and strings that it must not.

Hidden strings of the same language decide, so that a list of the shown ones does not pay. Patterns
are model output: they are matched by RE2, in linear time and bounded memory (no backreferences and
no lookaround), and are never handed to Python's ``re``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from random import Random
from string import ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from minirl.envs.base import EnvConfig, Environment, opening, task_rng
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Universe
from minirl.rewards.answer import LABEL, score_answer, slot_decoys
from minirl.types import Score, Split, Task

if TYPE_CHECKING:
    import re2

SYSTEM = (
    "Write one regular expression that matches each of the first strings as a whole and none of "
    f"the others. Give it on the last line as '{LABEL} expression'."
)
MAX_CHARS = 100
MAX_MEMORY = 1 << 16  # bytes of RE2's program and automaton, for one pattern
LONGEST, LONGEST_SHOWN = 9, 5  # an unbounded run has at most so many characters in a string
SHOWN, HIDDEN = 4, 4  # matching strings; of others there are as many as slips to make

CLASSES = {"[0-9]": digits, "[a-z]": ascii_lowercase, "[A-Z]": ascii_uppercase}
STRANGERS = {"[0-9]": "aG", "[a-z]": "5G", "[A-Z]": "a5"}  # characters of other classes
# A random byte -> a character of the class; some are a little more frequent than others.
_TABLES = {name: (chars * 26)[:256].encode() for name, chars in CLASSES.items()}
SEPARATORS = "-_:#"
EXAMPLE_WORDS = ("dog", "sun", "cup")


@dataclass(frozen=True, slots=True)
class Run:
    """A separator (or none), and then ``least`` to ``most`` characters of a class; any number from
    ``least`` on where ``most`` is LONGEST.
    """

    separator: str
    chars: str
    least: int
    most: int

    @property
    def pattern(self) -> str:
        if self.most == LONGEST:
            return f"{self.separator}{self.chars}+"
        few = f"{self.least}" if self.least == self.most else f"{self.least},{self.most}"
        return f"{self.separator}{self.chars}{{{few}}}"


@dataclass(frozen=True, slots=True)
class Language:
    """One of some words of three letters, then the runs.

    A run of small letters after the words, and every later run, begins with a separator. So where a
    piece of a string belongs is never in doubt, and what :func:`strangers` makes is outside.
    """

    words: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def pattern(self) -> str:
        """The expression it is made from; others describe it as well."""
        words = self.words[0] if len(self.words) == 1 else f"({'|'.join(self.words)})"
        return words + "".join([run.pattern for run in self.runs])

    def write(self, rng: Random, word: str, lengths: Sequence[int]) -> str:
        parts = [word]
        for run, length in zip(self.runs, lengths, strict=True):
            parts += run.separator, rng.randbytes(length).translate(_TABLES[run.chars]).decode()
        return "".join(parts)


def members(language: Language, rng: Random, count: int, longest: int) -> list[str]:
    """Strings of a language: the shortest first, then the longest, then any."""
    runs = [(run.least, min(run.most, longest)) for run in language.runs]
    lengths = [[least for least, _ in runs], [most for _, most in runs]]
    while len(lengths) < count:
        lengths.append([_between(rng, least, most) for least, most in runs])
    words = language.words
    return [language.write(rng, words[i % len(words)], lengths[i]) for i in range(count)]


def strangers(language: Language, rng: Random, longest: int) -> list[str]:
    """Strings close to a language and outside it, by one slip each: first another word, then what
    can go wrong with one run after the other, then the rest.
    """
    word = rng.choice(language.words)
    lengths = [_between(rng, run.least, min(run.most, longest)) for run in language.runs]
    member = language.write(rng, word, lengths)
    other = word
    while other in language.words:
        other = "".join(rng.choices(ascii_lowercase, k=3))
    slips = [language.write(rng, other, lengths)]
    start = len(word)
    for i, run in enumerate(language.runs):
        start += len(run.separator)
        at = start + _between(rng, 0, lengths[i] - 1)
        start += lengths[i]
        slips.append(language.write(rng, word, [*lengths[:i], run.least - 1, *lengths[i + 1 :]]))
        slips += [member[:at] + odd + member[at + 1 :] for odd in STRANGERS[run.chars]]
        if run.most < LONGEST:
            slips.append(language.write(rng, word, [*lengths[:i], run.most + 1, *lengths[i + 1 :]]))
    odd = STRANGERS[language.runs[-1].chars][0]
    return [*slips, member + odd, word.upper() + member[len(word) :], word[0] + member, ""]


def _shown(language: Language, rng: Random) -> tuple[list[str], list[str]]:
    """What the question shows of both sides."""
    other, *slips = strangers(language, rng, LONGEST_SHOWN)
    per_run = 3 if language.runs[0].most == LONGEST else 4
    first = per_run * rng.randrange(len(language.runs))
    match = members(language, rng, SHOWN, LONGEST_SHOWN)
    return match, [other, *slips[first : first + per_run]]


class RegexSynthesisConfig(EnvConfig):
    classes: int = Field(1, ge=1, le=4)
    """How many runs of characters (digits, small or capital letters) a string has."""
    bounded: bool = False
    """Whether runs have a length to find out; else a run is one character or more."""
    words: int = Field(1, ge=1, le=3)
    """How many words a string may begin with, one of them each time."""
    only_digits: bool = False
    """Whether all runs are of digits."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""


@register
class RegexSynthesis(Environment[RegexSynthesisConfig]):
    """Find the regular expression behind strings that match and strings that do not."""

    name = "regex_synthesis"
    Config = RegexSynthesisConfig
    levels: ClassVar = {
        "1": {"only_digits": True},
        "2": {},
        "3": {"classes": 2},
        "4": {"classes": 2, "bounded": True},
        "5": {"classes": 2, "bounded": True, "words": 3},
    }

    def task(self, split: Split, index: int) -> Task:
        return self._task(split, index, self._universe.pick(split, index))

    def gold(self, task: Task) -> str:
        return f"{LABEL} {task.data['pattern']}"

    def alternatives(self, task: Task) -> Sequence[str]:
        pattern = task.data["pattern"]
        return (
            f"{LABEL} ^{pattern}$",
            f"{LABEL} (?:{pattern})",
            f"{LABEL} (({pattern}))",
            f"{LABEL} {pattern.replace('[0-9]', '[[:digit:]]')}",
            *([f"{LABEL} {pattern.replace('[0-9]', chr(92) + 'd')}"] if "[0-9]" in pattern else []),
        )

    def decoys(self, task: Task) -> Sequence[str]:
        pattern, shown = task.data["pattern"], task.data["match"]
        at_end = re.sub(r"(\+|\{[0-9,]+\})$", "", pattern)
        wrong = (
            *shown,
            "|".join(shown),  # a list of what is shown
            f"({'|'.join(shown)}).*",
            ".*",
            ".+",
            "(?s).*",
            "[^!]*",
            "[0-9a-zA-Z:#_-]+",
            f"{pattern}|.*",
            f"{pattern}|",
            f"{pattern}.*",
            f".*{pattern}",
            f"({pattern})?",
            f"({pattern})*",
            f"(?i){pattern}",
            f"{pattern}!",
            f"{at_end}{{7}}",
            f"/{pattern}/",
            f'"{pattern}"',
            f"`{pattern}`",
            f"^{pattern}$ .",
            f"(?={pattern}).*",  # lookahead, which RE2 does not know
            r"(.)\1",
            "(",
            "[",
            "a**",
            "(a{1000}){1000}",
            r"\pL{1000}",
            "((((((.{9}){9}){9}){9}){9}){9})",
            "(a*)*" * 30,
            "\uff41+",
        )
        return (
            *slot_decoys(pattern, shown[0]),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            self._example[1],  # the example, copied
            *(f"{LABEL} {text}" for text in wrong),
        )

    def shifted(self, task: Task, rng: Random) -> tuple[Task, str]:
        """The words at the front change, letter by letter."""
        by = rng.randrange(1, 26)
        rename = str.maketrans(ascii_lowercase, ascii_lowercase[by:] + ascii_lowercase[:by])
        words, runs = task.data["words"], tuple(Run(*run) for run in task.data["runs"])
        language = Language(tuple(word.translate(rename) for word in words), runs)
        changed = self._task(task.split, task.index, language)
        start = len("|".join(words)) + (2 if len(words) > 1 else 0)
        pattern = task.data["pattern"]
        return changed, f"{LABEL} {pattern[:start].translate(rename)}{pattern[start:]}"

    def score(self, task: Task, text: str) -> Score:
        hidden, strange = task.data["hidden_match"], task.data["hidden_other"]

        def right(pattern: str) -> bool:
            matcher = compiled(pattern)
            return (
                matcher is not None
                and all(map(matcher.Match, hidden))
                and not any(map(matcher.Match, strange))
            )

        def lenient(whole: str) -> bool:
            words = whole[-2 * MAX_CHARS :].split()
            return bool(words) and right(words[-1].strip("`'\"/."))

        return score_answer(text, right, lenient=lenient)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def _task(self, split: Split, index: int, language: Language) -> Task:
        pattern = language.pattern
        rng = task_rng(self.name, pattern)
        match, other = _shown(language, rng)
        hidden = members(language, rng, HIDDEN, LONGEST)
        while all(text.startswith(tuple(match)) for text in hidden):
            hidden = members(language, rng, HIDDEN, LONGEST)  # else "a shown one, and more" pays
        data = {
            "pattern": pattern,
            "words": list(language.words),
            "runs": [[run.separator, run.chars, run.least, run.most] for run in language.runs],
            "match": match,
            "other": other,
            "hidden_match": hidden,
            "hidden_other": strangers(language, rng, LONGEST),
            "key": pattern,
        }
        example = self._example if self.config.worked_example else None
        return Task(
            self.label, split, index, opening(SYSTEM, _question(match, other), example), data
        )

    @cached_property
    def _example(self) -> tuple[str, str]:
        words = EXAMPLE_WORDS[: self.config.words]
        length = (2, 3) if self.config.bounded else (1, LONGEST)
        chars = ["[0-9]"] * 4 if self.config.only_digits else ["[0-9]", "[A-Z]", "[a-z]", "[0-9]"]
        separators = ("", "-", "_", ":")
        runs = tuple(
            Run(separator, kind, *length)
            for separator, kind in zip(separators, chars[: self.config.classes], strict=False)
        )
        language, rng = Language(words, runs), task_rng(self.name, "example")
        match, other = _shown(language, rng)
        return _question(match, other), f"{LABEL} {language.pattern}"

    @cached_property
    def _universe(self) -> Universe[Language]:
        config = self.config
        classes = ("[0-9]",) if config.only_digits else tuple(CLASSES)

        def draw_run(rng: Random, first: bool) -> Run:
            chars = rng.choice(classes)
            separator = "" if first and chars != "[a-z]" else rng.choice(SEPARATORS)
            least = rng.randint(2, 3) if config.bounded else 1
            return Run(
                separator, chars, least, least + rng.randint(0, 1) if config.bounded else LONGEST
            )

        def draw(rng: Random) -> Language | None:
            words = tuple("".join(rng.choices(ascii_lowercase, k=3)) for _ in range(config.words))
            runs = tuple(draw_run(rng, i == 0) for i in range(config.classes))
            distinct = len(set(words)) == len(words) and not {*words} & {*EXAMPLE_WORDS}
            return Language(tuple(sorted(words)), runs) if distinct else None

        name = f"{self.name} of {config.classes} runs"
        return Drawn(name, draw, lambda language: language.pattern)


def _between(rng: Random, low: int, high: int) -> int:
    return low + int(rng.random() * (high - low + 1))  # three times as fast as randint


def compiled(pattern: str) -> re2.Set | None:
    """A matcher of whole strings; None for what is no pattern, or too long or large a one.

    Only printable ASCII. Classes by Unicode property are refused as well: one of them, repeated,
    fits into MAX_CHARS and takes RE2 a second to compile.
    """
    import re2  # a slow import, which making tasks can do without

    if len(pattern) > MAX_CHARS or "\\p" in pattern.lower():
        return None
    if not (pattern.isascii() and pattern.isprintable()):
        return None
    matcher = re2.Set.FullMatchSet(_options())
    try:
        matcher.Add(pattern.encode())
        matcher.Compile()
    except re2.error:
        return None
    return matcher


@cache
def _options() -> re2.Options:
    import re2

    options = re2.Options()
    options.log_errors = False  # a pattern that is none is everyday model output
    options.max_mem = MAX_MEMORY
    options.never_capture = True
    options.encoding = re2.Options.Encoding.LATIN1  # all is ASCII; matching is faster so
    return options


def _question(match: Sequence[str], other: Sequence[str]) -> str:
    return f"Match: {', '.join(match)}\nDo not match: {', '.join(other)}"
