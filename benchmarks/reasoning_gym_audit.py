"""Every task of reasoning-gym put to the proof; writes docs/reasoning_gym.md.

    python -m benchmarks.reasoning_gym_audit > docs/reasoning_gym.md

Each task is tried with its default configuration and at the middle level of its curriculum. Their
own generator and scorer are called as they are, in the adapter's helper process but past its
screen, with wrong, stuffed and hostile texts; nothing of it is random. ``--only NAME`` (repeatable)
restricts it, ``--json PATH`` keeps what was measured. Takes about ten minutes on one core.
:mod:`benchmarks.reasoning_gym_parity` appends what it finds.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from minirl.envs import make_env
from minirl.envs.adapters.reasoning_gym import list_tasks
from minirl.envs.adapters.reasoning_gym.env import ReasoningGym
from minirl.envs.adapters.reasoning_gym.helper import DRAW_S, Failed, Helper
from minirl.envs.adapters.reasoning_gym.screen import EVAL, SYMPY
from minirl.errors import MinirlError

TASKS = 20  # entries whose answers are tried, as far as DRAW_BUDGET_S reaches
DRAW_BUDGET_S = 5.0
LOOKED_FOR_REPEATS = 1000
REPEAT_BUDGET_S = 3.0
HANG_S = 2.0
WRONG = 5  # entries on which the wrong answers are tried

NUMBERS = ("nan", "NaN", "inf", "-inf", "[NaN]", "NaN, NaN", "nan+nanj", "1e400")
HOSTILE = (
    "9" * 5_000,
    "1e999999999",
    "1/1e999999",
    "9**9**9**9",
    "(" * 2_000,
    "[" * 2_000,
    "[" * 300 + "]" * 300,
    "-" * 3_000 + "1",
    "~" * 2_000 + "P",
    "\x00",
    "\ud800",
    "\u0661\u0662\u0663",
    "a" * 20_000,
    "0 " * 10_000,
    "U99999999999",
    "R999999",
    "{}",
    "[]",
    "null",
    "1",
    "[[1]]",
    '{"a": {"b": 1}}',
    '["a"]',
    "x**99999",
    "(1+x)**3000",
)


@dataclass
class Row:
    """What one task showed at one level."""

    name: str
    level: str
    draw_ms: float = 0.0
    score_ms: float = 0.0
    golds: int = 0  # entries that ship an answer
    passed: int = 0  # of these, how many their scorer pays in full
    tried: int = 0
    distinct: int = 0  # questions among `looked`
    looked: int = 0
    same: bool = True  # in another process, asked in another order
    leaks: int = 0  # answers of 3 or more characters that stand in the question
    crumb: float = 0.0  # the most that a wrong answer got, below 1
    crumb_for: str = ""
    stuffed: float = 0.0  # what the right answer and more text got
    paid: list[str] = field(default_factory=list)  # wrong answers that got 1
    constant: float = 0.0  # share that the best constant answer solves
    raises: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    runs_code: bool = False
    no_draw: list[str] = field(default_factory=list)  # entries that cannot be generated
    fault: str = ""


def main() -> None:
    arguments = parse()
    rows = []
    for name, levels in list_tasks().items():
        if arguments.only and name not in arguments.only:
            continue
        for level in ["", *([str((levels - 1) // 2)] if levels else [])]:
            row = audit(name, level)
            rows.append(row)
            print(json.dumps(asdict(row)), file=sys.stderr, flush=True)
    if arguments.json:
        rows = kept(arguments.json, rows)
    print(page(rows))


def kept(path: Path, rows: Sequence[Row]) -> list[Row]:
    """``rows`` in the place of the same ones that ``path`` holds, and all of them in there."""
    lines = path.read_text().splitlines() if path.exists() else []
    before = [Row(**json.loads(line)) for line in lines]
    together = {(r.name, r.level): r for r in (*before, *rows)}
    ordered = [together[place] for place in sorted(together)]
    path.write_text("".join(json.dumps(asdict(r)) + "\n" for r in ordered))
    return ordered


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="this task alone")
    parser.add_argument("--json", type=Path, help="keep the rows here, beside those that it holds")
    return parser.parse_args()


def audit(name: str, level: str) -> Row:
    row = Row(name, level)
    try:
        env = make_env(f"reasoning-gym:{name}" + (f":{level}" if level else ""))
        assert isinstance(env, ReasoningGym)
        Audit(env, row).run()
    except (MinirlError, Failed) as error:
        row.fault = str(error).partition("\n")[0][:200]
    return row


@functools.cache
def another() -> Helper:
    """A second process, which draws a few of the entries only, and in another order."""
    return Helper()


class Audit:
    """The battery, on one environment."""

    def __init__(self, env: ReasoningGym, row: Row) -> None:
        self.env, self.row = env, row
        self.helper, self.which = env._helper, env._which

    def run(self) -> None:
        self.draw_some()
        self.golds()
        self.repeats()
        self.wrong()
        self.constant()
        self.hostile()
        self.code()

    def ask(self, number: int, text: str, seconds: float = HANG_S) -> float:
        self.env._prepare(number)  # after a hang the process is a new one
        return float(self.helper.ask("score", seconds, number=number, answer=text, **self.which))

    def quiet(self, number: int, text: str) -> float:
        try:
            return self.ask(number, text)
        except Failed:
            return 0.0

    def draw_some(self) -> None:
        self.env._entry(0)  # the data set is made before the clock starts
        start = time.perf_counter()
        self.drawn = []
        for number in range(1, TASKS + 1):
            self.drawn.append(self.env._entry(number))
            if time.perf_counter() - start > DRAW_BUDGET_S:
                break
        self.row.tried = len(self.drawn)
        self.row.draw_ms = 1e3 * (time.perf_counter() - start) / len(self.drawn)
        for drawn in self.drawn[:6][::-1]:
            again = another().ask("draw", DRAW_S, number=drawn.number, **self.which)
            same = (again["question"], again["answer"] or None) == (drawn.question, drawn.answer)
            self.row.same = self.row.same and same

    def golds(self) -> None:
        start = time.perf_counter()
        known = [d for d in self.drawn if d.answer is not None]
        self.row.golds = len(known)
        self.row.passed = sum(self.quiet(d.number, d.answer or "") == 1.0 for d in known)
        if known:
            self.row.score_ms = 1e3 * (time.perf_counter() - start) / len(known)
        self.row.leaks = sum(len(a := d.answer or "") >= 3 and a in d.question for d in known)

    def repeats(self) -> None:
        start, seen = time.perf_counter(), set()
        for number in range(LOOKED_FOR_REPEATS):
            try:
                seen.add(self.env._entry(number).key)
            except Failed as error:
                self.row.no_draw.append(f"entry {number}: {error}")
                continue
            self.row.looked += 1
            if time.perf_counter() - start > REPEAT_BUDGET_S:
                break
        self.row.distinct = len(seen)

    def wrong(self) -> None:
        answers = [d.answer for d in self.drawn if d.answer]
        for drawn in self.drawn[:WRONG]:
            other = next((a for a in answers if a != drawn.answer), "7")
            texts = {
                "digits": "0123456789",
                "yes no": "yes no Yes No True False",
                "no": "I do not know.",
                "another's answer": other,
                "the question": drawn.question,
                **{text: text for text in NUMBERS},
            }
            if drawn.answer:
                count = max(drawn.answer.count(",") + 1, 1)
                texts["[NaN, …]"] = "[" + ", ".join(["NaN"] * count) + "]"
                texts["both answers"] = f"{drawn.answer} {other}"
                texts["both, comma"] = f"{other}, {drawn.answer}"
                most = max(
                    self.quiet(drawn.number, f"{drawn.answer} or maybe something else"),
                    self.quiet(drawn.number, f"It could be {drawn.answer} or {other}"),
                )
                self.row.stuffed = max(self.row.stuffed, most)
                if most == 1.0:
                    self.pays("text around the answer")
            for label, text in texts.items():
                if drawn.answer and text.strip().lower() == drawn.answer.strip().lower():
                    continue
                raw = self.quiet(drawn.number, text)
                if raw == 1.0 and label not in ("another's answer", "no", "digits", "yes no"):
                    self.pays(label)
                elif max(self.row.crumb, 1e-3) < raw < 1.0:
                    self.row.crumb, self.row.crumb_for = raw, label
                elif raw != raw or not 0.0 <= raw <= 1.0:
                    self.pays(f"{label} ({raw})")

    def pays(self, label: str) -> None:
        if label not in self.row.paid:
            self.row.paid.append(label)

    def constant(self) -> None:
        if self.row.score_ms > 100:
            return
        answers = {d.answer for d in self.drawn if d.answer} | {"6*4+1-1", "0", "No", "1"}
        best = max(
            sum(self.quiet(d.number, answer) == 1.0 for d in self.drawn) for answer in answers
        )
        self.row.constant = best / len(self.drawn)

    def hostile(self) -> None:
        number = self.drawn[0].number
        for text in HOSTILE:
            shown = repr(text) if len(text) < 24 else f"{text[:6]!r}×{len(text)}"
            try:
                raw = self.ask(number, text)
            except Failed as error:
                told = str(error)
                if told.startswith(("no answer", "the process died")):
                    self.row.hangs.append(shown)
                    if len(self.row.hangs) >= 2:
                        return
                else:
                    self.row.raises.append(f"{shown}: {told.partition(':')[0]}")
            else:
                if raw == 1.0 and text not in {d.answer for d in self.drawn}:
                    self.pays(f"hostile {shown}")

    def code(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            mark = Path(folder) / "it_ran"
            self.quiet(self.drawn[0].number, f"__import__('pathlib').Path({str(mark)!r}).touch()")
            self.row.runs_code = mark.exists()


INTRO = """\
# reasoning-gym, audited

reasoning-gym {version}, Python {python}. This page is what
`python -m benchmarks.reasoning_gym_audit --json rows.json` prints; with `--only NAME`, it renews
a task in it. Its last section is `python -m benchmarks.reasoning_gym_parity`'s.

What follows is about *their* scorers, called as they are. Behind `reasoning-gym:NAME`

- an answer must stand in the strict slot, and only a full score is paid (`partial = true` lets the
  crumbs through); NaN and infinities score 0, and so does what makes a scorer raise or hang;
- questions met before are passed over, and entries whose own answer fails or whose scorer accepts
  nonsense are left out (where that leaves nothing, the first task raises);
- all of it happens in a process of its own, and what would be run as Python is refused before it
  gets there: {eval} tasks call `eval` on the answer, {sympy} sympy's `parse_expr`, which ends in
  `eval`; random state and decimal precision, which they set globally, are set anew for each entry;
- other wrong answers that their scorer pays in full are paid by the adapter, too: look at that
  column before you train. The worst are told when such a task is opened.

Each task with its default configuration and at the middle level of its curriculum: {tasks} entries
or as many as {draw_s:g} s give, wrong answers on {wrong} of them, {hostile} hostile texts with
{hang_s:g} s each (no more after two that hang), repeats among {repeats} entries or as many as
{repeat_s:g} s give. Times are from a machine that was busy with other work.

- *crumb*: the most, below 1, that a wrong answer got (another task's answer, digits, the question,
  NaN, two answers in a row); *stuffed*: what the right answer got with more text around it.
- *in the prompt*: answers of three or more characters that the question holds word for word; often
  a choice that the question names.
- *best constant*: the share of these entries that one and the same answer solves.
"""


def page(rows: Sequence[Row]) -> str:
    names = {r.name for r in rows}

    def tasks(wanted: Sequence[Row]) -> str:
        found = sorted({r.name for r in wanted})
        return f"{len(found)} of {len(names)}" + (f": {', '.join(found)}" if found else "")

    first = [r for r in rows if not r.level]
    inherited = inherit_their_default_scorer()
    summary = {
        "inherits the default scorer, which pays for substrings": [
            r for r in first if r.name in inherited
        ],
        "pays for the right answer with more text around it": [r for r in first if r.stuffed],
        "pays a crumb for a wrong answer": [r for r in first if r.crumb],
        "one of the two": [r for r in first if r.crumb or r.stuffed],
        "pays in full for an answer that is not one": [r for r in rows if r.paid],
        "one constant answer solves half of the tasks": [r for r in rows if r.constant >= 0.5],
        "its own answer fails, of at least one entry": [r for r in rows if r.passed < r.golds],
        "ships no answer": [r for r in first if not r.golds and not r.fault],
        "runs the answer as Python": [r for r in rows if r.runs_code],
        "hangs or dies on a hostile text": [r for r in rows if r.hangs],
        "raises on a hostile text": [r for r in rows if r.raises],
        "repeats a question within the entries looked at": [
            r for r in first if r.distinct < r.looked
        ],
        "draws another entry in another process": [r for r in rows if not r.same],
        "cannot generate some of its entries": [r for r in rows if r.no_draw],
        "cannot be opened, or not drawn from": [r for r in rows if r.fault],
    }
    intro = INTRO.format(
        version=importlib.metadata.version("reasoning-gym"),
        python=platform.python_version(),
        eval=len(EVAL),
        sympy=len(SYMPY),
        tasks=TASKS,
        draw_s=DRAW_BUDGET_S,
        wrong=WRONG,
        hostile=len(HOSTILE),
        hang_s=HANG_S,
        repeats=LOOKED_FOR_REPEATS,
        repeat_s=REPEAT_BUDGET_S,
    )
    lines = [
        intro,
        "| finding | tasks |",
        "|---|---|",
        *(f"| {label} | {tasks(found)} |" for label, found in summary.items()),
        "",
        "| task | level | own answer passes | distinct | crumb, for | stuffed | pays in full for | "
        "best constant | in the prompt | raises | hangs | runs code | ms a task | ms a score |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(line(r) for r in rows),
    ]
    return "\n".join(lines)


def inherit_their_default_scorer() -> set[str]:
    from reasoning_gym.dataset import ProceduralDataset
    from reasoning_gym.factory import DATASETS

    default = ProceduralDataset.score_answer
    return {name for name, (made, _) in DATASETS.items() if made.score_answer is default}


def line(r: Row) -> str:
    if r.fault:
        return f"| {r.name} | {r.level or 'default'} | {cell(r.fault)} |" + " |" * 11
    cells = [
        r.name,
        r.level or "default",
        f"{r.passed}/{r.golds}" if r.golds else "no answer",
        ", ".join([f"{r.distinct}/{r.looked}", *map(cell, r.no_draw)]),
        f"{r.crumb:.2f}, {cell(r.crumb_for)}" if r.crumb else "",
        f"{r.stuffed:.2f}" if r.stuffed else "",
        cell(", ".join(r.paid[:6]) + (f" and {len(r.paid) - 6} more" if r.paid[6:] else "")),
        f"{r.constant:.0%}" if r.constant else "",
        f"{r.leaks}/{r.golds}" if r.leaks else "",
        str(len(r.raises) or ""),
        cell(", ".join(r.hangs)),
        "yes" if r.runs_code else "",
        f"{r.draw_ms:.2g}",
        f"{r.score_ms:.2g}",
    ]
    return "| " + " | ".join(cells) + " |"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


if __name__ == "__main__":
    main()
