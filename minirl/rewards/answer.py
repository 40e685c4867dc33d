"""One strict final answer slot: the last line is ``Answer: X``, and the label stands nowhere else.

A rule that accepts "the answer somewhere" pays for lists of guesses. This one pays for a single
commitment; how many completions hold the right answer in any form is reported beside it
(``lenient``) and never rewarded.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from minirl.types import Score

LABEL = "Answer:"
BLANK = " \t\r\n"  # ASCII only: exotic spaces in an answer are part of it, and wrong

# A sign counts where it is not a subtraction: "3-4" holds 3 and 4, "= -4" holds -4.
NUMBER = re.compile(r"(?:(?<![0-9A-Za-z)])-)?[0-9]+(?:\.[0-9]+)?")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,29}")


def strict_answer(text: str) -> str | None:
    """The X of a final line ``Answer: X``; None where it is missing, empty or not the only one."""
    if text.count(LABEL) != 1:
        return None
    last = text.rstrip(BLANK).rpartition("\n")[2].strip(BLANK)
    answer = last.removeprefix(LABEL).strip(BLANK)
    return answer if last.startswith(LABEL) and answer else None


def lenient_answer(text: str, pattern: re.Pattern[str] = NUMBER) -> str | None:
    """The last match of ``pattern`` (a number) anywhere in ``text``: for reports, never rewards.

    A pattern of your own must run in linear time: the text is whatever the model wrote.
    """
    last = None
    for match in pattern.finditer(text):
        last = match.group()
    return last


def parse_integer(text: str) -> int | None:
    """The integer that ``text`` spells canonically, else None.

    Canonical: at most 30 ASCII digits with an optional leading ``-``; no ``+``, no leading zeros,
    no ``-0``, no spaces, separators, exponents or full stop. One number has one spelling.
    """
    return int(text) if _INTEGER.fullmatch(text) else None


def score_answer(
    text: str,
    accepts: Callable[[str], bool],
    *,
    lenient: Callable[[str], bool] | re.Pattern[str] = NUMBER,
) -> Score:
    """Score 1 if the strict slot holds an accepted answer, else 0.

    Args:
        text: the whole completion.
        accepts: the verifier of one answer; it must return, not raise, for any string.
        lenient: where else the right answer might stand: a pattern whose last match ``accepts``
            judges, or a function of the whole text.

    Returns:
        A score with the parts ``strict`` (the reward), ``format`` (there is a slot) and ``lenient``
        (the right answer stands there in some form); ``lenient`` is never below ``strict``.
    """
    answer = strict_answer(text)
    solved = answer is not None and accepts(answer)
    if solved:
        loosely = True
    elif isinstance(lenient, re.Pattern):
        last = lenient_answer(text, lenient)
        loosely = last is not None and accepts(last)
    else:
        loosely = lenient(text)
    parts = {
        "strict": float(solved),
        "format": float(answer is not None),
        "lenient": float(loosely),
    }
    return Score(float(solved), solved, parts, _reason(text, answer, solved))


def slot_decoys(right: str, wrong: str) -> tuple[str, ...]:
    """Completions that try to get paid for ``right`` without committing to it; each must score 0.

    Args:
        right: an accepted answer.
        wrong: a well-formed answer that is not accepted.
    """
    return (
        "",
        LABEL,
        right,
        f"{LABEL} {wrong}",
        f"{LABEL} {wrong}\n{LABEL} {right}",
        f"{LABEL} {right}\n{LABEL} {wrong}",
        f"{LABEL} {right}\n{LABEL} {right}",
        f"{LABEL} {wrong} {LABEL} {right}",
        f"{LABEL} {wrong}, {right}",
        f"{LABEL} {right} or {wrong}",
        f"{LABEL} {right}\nThat is the result.",
        f"{LABEL} {right}.",
        f"{LABEL} {right}\x00",
        f"{LABEL} <{right}>",
        f"{LABEL}\n{right}",
        f"So the {LABEL} {right}",
        f"answer: {right}",
        f"**{LABEL}** {right}",
        f"Answer {right}",
    )


def _reason(text: str, answer: str | None, solved: bool) -> str:
    if solved:
        return "correct"
    if answer is not None:
        return f"wrong answer {_short(answer)}"
    count = text.count(LABEL)
    if count > 1:
        return f"{count} answers"
    return "the answer is not the last line" if count else "no answer line"


def _short(answer: str) -> str:
    return ascii(answer if len(answer) <= 40 else answer[:37] + "...")
