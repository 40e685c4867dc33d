"""What is wrong does not pass: each completion here is wrong whatever the task."""

from __future__ import annotations

from collections.abc import Iterator

from minirl.envs.audit.subject import Subject
from minirl.envs.audit.tally import Tally
from minirl.envs.base import Turns, as_turns
from minirl.stats import wilson_interval
from minirl.types import Task

BLANK = ("", " ", "\n", "\t \n", "\u00a0", "\u200b", "\x00", "\ufeff")
_NEIGHBOURS_PAID = 0.02  # of neighbours that may be right by chance: "a|b" and "1a|b"


def decoys(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(subject.settings.tasks)):
        found = subject.call("decoys", lambda: subject.env.decoys(task), task)  # noqa: B023
        if found is None:
            continue
        if not found:
            why = "decoys() is empty: write what a clever policy would try"
            tally.count(subject.example(task, "", None, why))
        for text in found:
            tally.count(subject.pays(task, text, "a decoy passes"))


def blank(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(subject.settings.tasks // 4)):
        for text in BLANK:
            tally.count(subject.pays(task, repeated(subject, text), "an empty completion passes"))
        tally.count(subject.pays(task, (), "an episode without a word passes"))


def echo(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(subject.settings.tasks // 2)):
        right = subject.declared(task)
        for text in _echoes(subject, task):
            if as_turns(text) not in right:
                why = "copying from the prompt passes"
                tally.count(subject.pays(task, repeated(subject, text), why))


def _echoes(subject: Subject, task: Task) -> Iterator[str]:
    contents = [m.content for m in task.prompt]
    yield "\n".join(contents)
    yield from contents
    if not subject.env.answer_in_prompt:
        lines = {line.strip(): None for text in contents for line in text.splitlines()}
        yield from list(lines)[:40]


def stuffed(subject: Subject, tally: Tally) -> None:
    """Two answers in one completion are no answer.

    Where the answer has a place of its own, none of the mixtures may pass. Elsewhere (programs,
    tool calls) a mixture may count as its first or its last part, but not as both.
    """
    tasks = subject.mixed(subject.settings.tasks // 2)
    for task, other in tally.within(zip(tasks, [*tasks[1:], *tasks[:1]], strict=True)):
        mine, theirs = subject.gold(task), subject.gold(other)
        if mine is None or theirs is None or mine == theirs:
            continue
        if any(subject.pays(t, g, "") for t, g in ((task, theirs), (other, mine))):
            continue  # they share an answer
        before, last, foreign = as_turns(mine)[:-1], as_turns(mine)[-1], as_turns(theirs)[-1]
        found, apart = subject.slot(task), subject.slot(other)
        if found is not None and apart is not None and found[1].kind != "call":
            a, b, fill = found[1].answer, apart[1].answer, found[1].fill
            joints = (" ", ", ", " or ", "\n", "; ", "/")
            texts = [fill(f"{x}{j}{y}") for j in joints for x, y in ((a, b), (b, a))]
            texts += [f"{x}\n{y}" for x, y in ((last, foreign), (foreign, last), (last, last))]
            right = subject.declared(task)
            for text in texts:
                if (*before, text) not in right:
                    why = "several answers in one completion pass"
                    tally.count(subject.pays(task, (*before, text), why))
        elif not before and len(as_turns(theirs)) == 1:
            for text in (f"{last}\n{foreign}", f"{foreign}\n{last}"):
                both = subject.pays(task, text, "one completion passes for two different tasks")
                tally.count(both if both and subject.pays(other, text, "") else None)


def neighbours(subject: Subject, tally: Tally) -> None:
    """An answer with something attached to it is another answer."""
    for task in tally.within(subject.mixed(subject.settings.tasks // 2)):
        found = subject.slot(task)
        if found is None:
            continue
        before, slot = found
        right = subject.declared(task)
        for answer in (f"{slot.answer}9", f"1{slot.answer}", f"x{slot.answer}x"):
            text = slot.fill(answer)
            if (*before, text) not in right:
                why = "the right answer with something attached to it passes"
                tally.count(subject.pays(task, (*before, text), why))
    if tally.tries:
        tally.failed = wilson_interval(tally.failures, tally.tries).low > _NEIGHBOURS_PAID


def sentence(subject: Subject, tally: Tally) -> None:
    """The right answer outside of its place, or talked about, is not an answer."""
    for task in tally.within(subject.mixed(subject.settings.tasks // 2)):
        found = subject.slot(task)
        if found is None or found[1].kind == "call":
            continue
        before, slot = found
        answer, right = slot.answer, subject.declared(task)
        texts = [f"It is not {answer}.", f"I do not know. Perhaps {answer}?"]
        if slot.kind != "line":
            texts += [answer, f"{answer}\n{slot.fill('I do not know')}"]
            texts += [slot.fill(f"not {answer}"), f"{slot.fill('0000')}\n{answer}"]
        for text in texts:
            if (*before, text) not in right:
                why = "the right answer passes outside of its place"
                tally.count(subject.pays(task, (*before, text), why))


def repeated(subject: Subject, text: str) -> Turns:
    """``text`` as a whole completion, or in each of the first turns."""
    return text if subject.single else (text,) * min(3, subject.env.max_turns)
