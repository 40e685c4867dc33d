"""How a word problem is told.

A story follows one amount (money, kilometres, somebody's age, ...). Its start gives the amount,
each event changes it, its end asks for it or for something made from it. A part names a *kind*,
which is the arithmetic (:mod:`~minirl.envs.word_problems.kinds`), and a text, in which the kind's
numbers are filled in; so a family of stories is a table of sentences
(:mod:`~minirl.envs.word_problems.home`, :mod:`~minirl.envs.word_problems.world`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from minirl.envs.word_problems.family import Family, Part
from minirl.envs.word_problems.kinds import KINDS
from minirl.envs.word_problems.teller import Amount, Teller, Unfit
from minirl.rewards.draws import pick, shuffled
from minirl.rewards.expression import canonical

MOST_ASIDE = 60  # a larger number would give an aside away as senseless
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """A told story: the question, the arithmetic of its steps, and the answer.

    ``key`` is what is computed, whatever it is told about: two problems with one key are the same.
    """

    family: str
    question: str
    steps: tuple[str, ...]
    answer: int
    key: str

    @property
    def numbers(self) -> list[int]:
        """The numbers of the question, as they stand there."""
        return [int(digits) for digits in _DIGITS.findall(self.question)]


def tell(
    rng: Random, families: Sequence[Family], *, steps: int, asides: int, largest: int
) -> Problem | None:
    """A story of exactly ``steps`` steps; None where the draw made no sensible one.

    Stories that a blind rule would solve are not told: from two steps on, the answer is neither
    the sum nor the product of the numbers shown, nor one of them.
    """
    family = pick(rng, families)
    start, end = pick(rng, family.starts), pick(rng, family.ends)
    between = steps - KINDS[start.kind].steps - KINDS[end.kind].steps
    if between < 0:
        return None
    try:
        problem = _tell(Teller(rng, family, largest), start, between, end, asides)
    except Unfit:
        return None
    numbers = problem.numbers
    blind = {sum(numbers), math.prod(numbers)} if steps > 1 else set()
    return None if problem.answer in blind | set(numbers) else problem


def _tell(teller: Teller, start: Part, between: int, end: Part, asides: int) -> Problem:
    """A story with events of ``between`` steps, all of them different.

    An event that does not fit gives way to another one.
    """
    rng, family = teller.rng, teller.family
    amount, sentence = _part(teller, start, Amount(0, 0))
    sentences = [sentence]
    events: Sequence[Part] = family.events
    while between:
        events = [event for event in events if KINDS[event.kind].steps <= between]
        if not events:
            raise Unfit
        event = pick(rng, events)
        events.remove(event)
        done = len(teller.steps)
        try:
            amount, sentence = _part(teller, event, amount)
        except Unfit:
            del teller.steps[done:]
            continue
        sentences.append(sentence)
        between -= KINDS[event.kind].steps
    for text in shuffled(rng, family.asides)[:asides]:
        teller.let(n=teller.draw(3, min(teller.largest, MOST_ASIDE)))
        sentences.insert(teller.draw(1, len(sentences)), _filled(text, teller))
    amount, sentence = _part(teller, end, amount)
    question = " ".join([*sentences, sentence])
    key = canonical(amount.tree)
    return Problem(family.name, question, tuple(teller.steps), amount.value, key)


def _part(teller: Teller, part: Part, amount: Amount) -> tuple[Amount, str]:
    """What becomes of the amount, and the sentence."""
    newcomer = teller.newcomer() if "{new}" in part.text else None
    amount = KINDS[part.kind].apply(teller, amount)
    sentence = _filled(part.text, teller)
    if newcomer:
        teller.meet(newcomer)  # the next sentence is about this person
    return amount, sentence


def _filled(text: str, teller: Teller) -> str:
    told = text.format_map(teller.fields)
    return told[0].upper() + told[1:]
