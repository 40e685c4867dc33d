"""Policies without insight stay at the floor: constants, other tasks' answers, the prompt's words.

The best of many policies looks better than it is on the tasks it was chosen by, so it is chosen on
one half and measured on the other. It is over the floor where the lower end of its 95 % interval
is.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from minirl.envs.audit.report import Example
from minirl.envs.audit.subject import Subject
from minirl.envs.audit.tally import Tally
from minirl.envs.audit.tricks import CALLS
from minirl.envs.audit.wrong import repeated
from minirl.envs.base import Turns, as_turns
from minirl.rewards.answer import strict_answer
from minirl.stats import wilson_interval
from minirl.types import Message, Task

STOCK = (
    "0", "1", "2", "3", "5", "7", "10", "42", "100", "-1", "0.5", "yes", "no", "Yes", "No", "true",
    "false", "True", "False", "A", "B", "C", "D", "None", "null", "[]", "{}", "()", "number",
    "word", "x", "a", "the answer", "unknown", "none of the above", ".*", "SELECT 1",
)  # fmt: skip
_FREQUENT = 12  # of the commonest gold answers
_SCREEN = 60  # tasks on which all policies are tried
_FINALISTS = 3
_WORD = re.compile(r"[^\s,;:?!()\[\]{}\"'`]+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

Policy = Callable[[Task], Turns | None]


def constants(subject: Subject, tally: Tally) -> None:
    chosen_by, _ = _halves(subject)
    found = [subject.slot(task) for task in chosen_by]
    answers = Counter(slot[1].answer for slot in found if slot is not None)
    texts = dict.fromkeys([a for a, _ in answers.most_common(_FREQUENT)] + list(STOCK))
    golds = Counter(as_turns(g) for task in chosen_by if (g := subject.gold(task)) is not None)
    policies = {f"always {text!r}": _always(subject, text) for text in texts}
    for turns, _ in golds.most_common(_FREQUENT // 2):
        policies[f"always the gold {turns[-1][-40:]!r}"] = partial(_just, turns)
    _judge(subject, tally, policies)


def others(subject: Subject, tally: Tally) -> None:
    """Another task's gold, for each task."""
    tasks = subject.mixed(subject.settings.tasks)
    example = None
    for task, other in tally.within(zip(tasks, [*tasks[1:], *tasks[:1]], strict=True)):
        theirs = subject.gold(other)
        if theirs is not None and task is not other:
            tally.tries += 1
            paid = subject.pays(task, theirs, f"the gold answer of {other.id} passes too")
            tally.failures += paid is not None
            example = example or paid
    _over_the_floor(subject, tally, example, "")


def words(subject: Subject, tally: Tally) -> None:
    """What stands at one place of the prompt, given as the answer."""
    policies: dict[str, Policy] = {}
    for place in (*range(8), *range(-8, 0)):
        for what, pick in (("word", _words), ("line", _lines), ("number", _numbers)):
            policies[f"the prompt's {what} {place}"] = _copying(subject, pick, place)
    for place in (0, -1):
        policies[f"the worked example's answer {place}"] = _following(subject, place)
    _judge(subject, tally, policies)


def replies(subject: Subject, tally: Tally) -> None:
    """What a reply to nonsense says, given as the answer."""
    if subject.single:
        tally.detail = "an episode is one turn"
        return
    for task in tally.within(subject.mixed(min(subject.settings.tasks, 24))):
        paid = None
        for text in ("?", *CALLS[-6:-1], *(_first_calls(subject, task))):
            said = subject.call("step", lambda: _reply(subject, task, text), task, text)  # noqa: B023
            for answer in (
                [] if said is None else dict.fromkeys([*_words(said)[-12:], *_lines(said)])
            ):
                written = _in_slot(subject, task, answer)
                if written is not None:
                    why = "what a reply to nonsense says passes as the answer"
                    paid = paid or subject.pays(task, (text, *as_turns(written)[:1]), why)
        tally.tries += 1
        tally.failures += paid is not None
        tally.example = tally.example or paid
    _over_the_floor(subject, tally, tally.example, "")


def leak(subject: Subject, tally: Tally) -> None:
    """The answer stands in what the model is shown more often than other tasks' answers do."""
    if subject.env.answer_in_prompt:
        tally.detail = "answer_in_prompt: the environment says that it is a selection"
        return
    tasks = subject.mixed(subject.settings.tasks)
    own, by_chance, example = 0, 0, None
    for task, other in tally.within(zip(tasks, [*tasks[1:], *tasks[:1]], strict=True)):
        mine, theirs = subject.slot(task), subject.slot(other)
        if mine is None or theirs is None:
            continue
        shown = _shown(subject, task)
        tally.tries += 1
        by_chance += _stands_in(theirs[1].answer, shown)
        if _stands_in(mine[1].answer, shown):
            own += 1
            why = f"the answer {mine[1].answer[:80]!r} stands in what the model is shown"
            example = example or subject.example(task, "", None, why)
    tally.failures = own
    if tally.tries:
        expected = max(subject.env.guess_floor, by_chance / tally.tries)
        low = wilson_interval(own, tally.tries).low
        tally.failed = low > expected + 0.1
        tally.detail = f"own answers {own}, other tasks' {by_chance} of {tally.tries}"
        tally.example = example if tally.failed else None


def _judge(subject: Subject, tally: Tally, policies: dict[str, Policy]) -> None:
    chosen_by, measured_on = _halves(subject)
    screened = chosen_by[:_SCREEN]
    paid = {name: sum(_pays(subject, policy, t) is not None for t in screened)
            for name, policy in tally.within(policies.items())}  # fmt: skip
    best: tuple[int, int, str, Example | None] = (0, 0, "none", None)
    for name in sorted(paid, key=lambda n: -paid[n])[:_FINALISTS]:
        examples = [_pays(subject, policies[name], task) for task in tally.within(measured_on)]
        hits = [e for e in examples if e is not None]
        if examples and len(hits) / len(examples) >= best[0] / max(best[1], 1):
            best = len(hits), len(examples), name, hits[0] if hits else None
    tally.failures, tally.tries = best[:2]
    _over_the_floor(subject, tally, best[3], f"best of {len(paid)}, {best[2]}: ")


def _over_the_floor(subject: Subject, tally: Tally, example: Example | None, what: str) -> None:
    if not tally.tries:
        return
    low, high = wilson_interval(tally.failures, tally.tries)
    tally.failed = low > subject.env.guess_floor
    tally.detail = (
        f"{what}{100 * tally.failures / tally.tries:.1f} % [{100 * low:.1f}, {100 * high:.1f}], "
        f"floor {100 * subject.env.guess_floor:g} %"
    )
    tally.example = example if tally.failed else None


def _halves(subject: Subject) -> tuple[list[Task], list[Task]]:
    tasks = subject.mixed(subject.settings.tasks)
    return tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :]


def _pays(subject: Subject, policy: Policy, task: Task) -> Example | None:
    written = policy(task)
    return (
        None if written is None else subject.pays(task, written, "a policy without insight passes")
    )


def _always(subject: Subject, text: str) -> Policy:
    return lambda task: _in_slot(subject, task, text)


def _just(turns: Turns, task: Task) -> Turns:
    return turns


def _copying(subject: Subject, pick: Callable[[str], Sequence[str]], place: int) -> Policy:
    return lambda task: _in_slot(subject, task, _at(pick(_shown(subject, task)), place))


def _following(subject: Subject, place: int) -> Policy:
    return lambda task: _in_slot(subject, task, _at(_examples(task), place))


def _in_slot(subject: Subject, task: Task, answer: str | None) -> Turns | None:
    if answer is None:
        return None
    found = subject.slot(task)
    return repeated(subject, answer if found is None else found[1].fill(answer))


def _shown(subject: Subject, task: Task) -> str:
    """All that the model sees before it speaks: messages, and tools."""
    episode = subject.call("episode", lambda: subject.env.episode(task), task)
    if episode is None:
        return "\n".join(message.content for message in task.prompt)
    tools = [json.dumps(tool, default=str, ensure_ascii=False) for tool in episode.tools]
    return "\n".join([*(message.content for message in episode.messages), *tools])


def _stands_in(answer: str, shown: str) -> bool:
    forms = {
        answer,
        *(f(answer.encode(errors="replace")).decode() for f in (base64.b64encode, _hex)),
    }
    return any(
        re.search(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])", shown) is not None for form in forms
    )


def _hex(raw: bytes) -> bytes:
    return raw.hex().encode() if len(raw) > 2 else raw


def _reply(subject: Subject, task: Task, text: str) -> str:
    from minirl.envs.tool_calls import parse_tool_calls

    episode = subject.env.episode(task)
    calls = parse_tool_calls(text) if episode.tools else ()
    return "\n".join(m.content for m in episode.step(Message("assistant", text, calls)).messages)


def _first_calls(subject: Subject, task: Task) -> list[str]:
    """A call without arguments of each tool that needs some."""
    episode = subject.call("episode", lambda: subject.env.episode(task), task)
    found = []
    for tool in episode.tools if episode else ():
        told = tool.get("function", tool) if isinstance(tool, dict) else {}
        schema = told.get("parameters")
        if isinstance(schema, dict) and schema.get("required"):
            body = json.dumps({"name": told.get("name"), "arguments": {}})
            found.append(f"<tool_call>{body}</tool_call>")
    return found


def _at(found: Sequence[str], place: int) -> str | None:
    return found[place] if -len(found) <= place < len(found) else None


def _words(text: str) -> list[str]:
    return [word.strip(".") for word in _WORD.findall(text)]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _numbers(text: str) -> list[str]:
    return _NUMBER.findall(text)


def _examples(task: Task) -> list[str]:
    texts = [m.content for m in task.prompt if m.role == "assistant"]
    return [strict_answer(t) or t for t in texts]
