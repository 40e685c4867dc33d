"""Answers that only look right, and hostile text: none passes, none does harm."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minirl.envs.audit.subject import Subject
from minirl.envs.audit.tally import Tally
from minirl.envs.audit.wrong import repeated

_FULLWIDTH = {ord(c): ord(c) + 0xFEE0 for c in map(chr, range(0x21, 0x7F))}
_ARABIC = {ord("0") + d: 0x0660 + d for d in range(10)}
_BOLD = {ord("0") + d: 0x1D7CE + d for d in range(10)}
_HOMOGLYPHS = str.maketrans("aceopxy", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443")
_INVISIBLE = "\u200b\u200d\u2060\ufeff\u00ad\x00\x07\u0301\u202e\u2066\u00a0\u3000\u2028\x85\ufe0f"
NUMBERS = (
    "nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1e999", "-1e999", "1e308", "1e-999",
    "NaN NaN", "0/0", "\u221e", "9" * 400, "9" * 5000, "1" + "0" * 10_000, "-" + "9" * 5000,
    "0x" + "f" * 5000, "1e5000", "1_000", "1e1000000000", "9" * 1_000_000, "[NaN]", '{"a": NaN}',
)  # fmt: skip
_MB = 1_000_000
PAYLOADS = (
    "a" * _MB,
    " " * _MB,
    "\n" * (_MB // 2),
    "a" * 50_000 + "!",
    "a " * 50_000 + "\x00",
    "1," * 50_000,
    "0" * 50_000 + "x",
    "(" * 100_000,
    "[" * 100_000,
    "{" * 100_000,
    '{"a":' * 20_000,
    "-" * 100_000,
    "1+" * 50_000,
    "Answer: " * 50_000,
    "Answer:\n" * 50_000,
    "<answer>" * 20_000,
    "<tool_call>" * 20_000,
    "```\n" * 20_000,
    "```python\n" + "(" * 5_000 + "\n```",
    "\ud800",
    "\udfff\ud800" * 100,
    "\u202e\u2066\u200b" * 1000,
    "\U0010ffff\ufffe",
    "e\u0301" * 50_000,
    "\x1b[2J\x07\x00",
    "%s%n{}{0}{x.__class__}$(id)`id`",
    "'; DROP TABLE users; --",
    "9**9**9**9",
    "1/0",
    "__import__('sys').exit(0)",
    "raise SystemExit",
    "None",
    "\\boxed{" * 10_000,
)
CALLS = (
    "<tool_call></tool_call>",
    "<tool_call>{</tool_call>",
    "<tool_call>[]</tool_call>",
    "<tool_call>null</tool_call>",
    '<tool_call>{"name": 1, "arguments": {}}</tool_call>',
    '<tool_call>{"name": "no_such_tool", "arguments": {"x": 1}}</tool_call>',
    '<tool_call>{"name": "__class__", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "no_such_tool", "arguments": [1]}</tool_call>',
    '<tool_call>{"name": "no_such_tool"}</tool_call>' * 2_000,
)
_VALUES: tuple[object, ...] = (
    None,
    -(10**30),
    10**30 + 0.5,
    "\x00",
    "x" * 100_000,
    [[[[]]]],
    {"a": {"b": None}},
)


def look_alikes(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(subject.settings.tasks // 4)):
        found = subject.slot(task)
        if found is None:
            continue
        before, slot = found
        right = subject.declared(task)
        for answer in _disguises(slot.answer):
            if answer != slot.answer and (*before, slot.fill(answer)) not in right:
                why = "an answer that only looks right passes (alternatives may declare it equal)"
                tally.count(subject.pays(task, (*before, slot.fill(answer)), why))


def _disguises(answer: str) -> Iterator[str]:
    middle = len(answer) // 2
    for mark in _INVISIBLE:
        yield f"{answer}{mark}"
        yield f"{mark}{answer}"
        if len(answer) > 1:
            yield f"{answer[:middle]}{mark}{answer[middle:]}"
    yield from (answer.translate(t) for t in (_FULLWIDTH, _ARABIC, _BOLD, _HOMOGLYPHS))
    if answer.isascii() and len(answer) > 1 and (answer.isdigit() or answer.isalpha()):
        yield f"{answer[:middle]} {answer[middle:]}"


def other_case(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(subject.settings.tasks // 4)):
        found = subject.slot(task)
        if found is None:
            continue
        before, slot = found
        right = subject.declared(task)
        for answer in {slot.answer.upper(), slot.answer.lower()} - {slot.answer}:
            if (*before, slot.fill(answer)) not in right:
                why = "the answer passes in capitals or small letters, and no alternative says so"
                tally.count(subject.pays(task, (*before, slot.fill(answer)), why))


def numbers(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(min(subject.settings.tasks, 12))):
        found = subject.slot(task)
        for number in NUMBERS:
            text = number if found is None else found[1].fill(number)
            why = "no number, or one beyond all bounds, passes"
            tally.count(subject.pays(task, repeated(subject, text), why))


def code(subject: Subject, tally: Tally) -> None:
    """An answer is read, not run."""
    with tempfile.TemporaryDirectory() as place:
        canary = Path(place, "canary")
        for task in tally.within(subject.mixed(min(subject.settings.tasks, 20))):
            found = subject.slot(task)
            answer, fill = ("0", str) if found is None else (found[1].answer, found[1].fill)
            path = json.dumps(str(canary))
            touches = (f"open({path}, 'w').close()", f"__import__('pathlib').Path({path}).touch()")
            for text in touches:
                tally.count(subject.pays(task, repeated(subject, fill(text)), "a program passes"))
            if canary.exists():
                why = "the audit's program in the answer was run: it wrote a file"
                tally.count(subject.example(task, fill(touches[0]), None, why))
                canary.unlink()
            if found is not None and found[1].kind != "call":
                for form in (
                    "(lambda: {})()",
                    "[{}][0]",
                    "{} if 1 else 0",
                    "str({!r})",
                    "int({!r})",
                ):
                    text = fill(form.format(answer))
                    if (*found[0], text) not in subject.declared(task):
                        why = "the answer is run as a program"
                        tally.count(subject.pays(task, (*found[0], text), why))


def hostile(subject: Subject, tally: Tally) -> None:
    tasks = subject.mixed(min(subject.settings.tasks, 3))
    for number, task in enumerate(tally.within(tasks)):
        found = subject.slot(task)
        for text in (*PAYLOADS, *CALLS, *_bad_calls(subject)) if number < 1 else PAYLOADS[:4]:
            forms = [text] if found is None else [text, found[1].fill(text)]
            for form in forms:
                tally.count(subject.pays(task, repeated(subject, form), "hostile text passes"))


def _bad_calls(subject: Subject) -> Iterator[str]:
    """Calls of the tools there are, with arguments of every wrong sort."""
    tasks = subject.tasks("train", 1)
    episode = subject.call("episode", lambda: subject.env.episode(tasks[0])) if tasks else None
    for tool in episode.tools if episode else ():
        told = tool.get("function", tool) if isinstance(tool, dict) else {}
        name, schema = told.get("name"), told.get("parameters")
        fields = schema.get("properties") if isinstance(schema, dict) else None
        names = list(fields) if isinstance(fields, dict) else []
        wrong: list[dict[str, object]] = [{}, {"no_such_argument": 1}, {"self": 1}]
        wrong += [dict.fromkeys(names, value) for value in _VALUES]
        for arguments in wrong:
            body = json.dumps({"name": name, "arguments": arguments})
            yield f"<tool_call>{body}</tool_call>"
