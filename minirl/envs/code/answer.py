"""The answer slot of a programming task: exactly one fenced ``python`` block, closed.

Anything else (no fence, two blocks, another language, an open end) counts as no answer; what stands
there is looked at for the ``lenient`` part alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE = "```"
OPENING = f"{FENCE}python"
MAX_CHARS = 10_000  # of a program; more counts as none

_DEFINED = re.compile(r"^def ([A-Za-z_][A-Za-z0-9_]{0,60})\(", re.MULTILINE)
_CODE = re.compile(
    r"(?:def|class) [A-Za-z_]|(?:for|while|if) [^:]+:|import [a-z]|from [a-z._]+ import |[#@]"
    r"|[A-Za-z_][A-Za-z0-9_]{0,60} ?[-+*]?= ?[^=\s]"
)


@dataclass(frozen=True, slots=True)
class Submission:
    """A program to run and the function to call; ``strict`` if it stood in the slot."""

    source: str
    function: str
    strict: bool


def fenced(source: str) -> str:
    """``source`` in the answer slot."""
    return f"{OPENING}\n{source}\n{FENCE}"


def strict_block(text: str) -> str | None:
    """The program in the one fenced block of ``text``; None where the form is not kept."""
    if text.count(FENCE) != 2:
        return None
    before, inside, after = text.split(FENCE)
    language, newline, source = inside.partition("\n")
    at_line_starts = before[-1:] in ("", "\n") and source[-1:] == "\n"
    alone = after.partition("\n")[0].strip(" \t\r") == ""
    if language.rstrip(" \t\r") != "python" or not newline or not at_line_starts or not alone:
        return None
    return source if source.strip() and len(source) <= MAX_CHARS else None


def read_submission(text: str, function: str) -> Submission | None:
    """What to run for ``text``: the strict block, else the last program-like part of it."""
    source = strict_block(text)
    if source is not None:
        names = _DEFINED.findall(source)
        mentioned = re.search(rf"\b{re.escape(function)}\b", source) is not None
        if mentioned or not names:
            return Submission(source, function, True)
        return Submission(source, names[-1], False)
    for part in reversed(text[-2 * MAX_CHARS :].split(FENCE)):
        source = _program_in(part)
        names = _DEFINED.findall(source)
        if names:
            return Submission(source, function if function in names else names[-1], False)
    return None


def _program_in(text: str) -> str:
    """The lines of ``text`` from the first that looks like Python to the last in one piece."""
    kept: list[str] = []
    for line in text.splitlines():
        indented = line.startswith((" ", "\t")) or not line.strip()
        if _CODE.match(line) or (kept and indented):
            kept.append(line)
        elif kept:
            break
    return "\n".join(kept)
