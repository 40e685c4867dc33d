"""Whether `reasoning-gym:NAME` pays what reasoning-gym itself pays: right, wrong and blank answers.

Their library runs in a process of its own (:mod:`benchmarks.reasoning_gym_oracle`), which draws the
same entries and scores each text as a model would have said it. Where ours differs, a rule of the
adapter must say why; what no rule explains is a fault, and the exit status 1.

    python -m benchmarks.reasoning_gym_parity >> docs/reasoning_gym.md

Each task with its default configuration. ``--only NAME`` (repeatable) restricts it. Takes some
minutes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minirl.envs import make_env
from minirl.envs.adapters.reasoning_gym import list_tasks
from minirl.envs.adapters.reasoning_gym.env import ReasoningGym
from minirl.envs.adapters.reasoning_gym.screen import refusal
from minirl.errors import EnvironmentFault
from minirl.rewards.answer import BLANK, LABEL
from minirl.types import Score, Task

ENTRIES = 6
BUDGET_S = 10.0  # for drawing them; at least FEWEST
FEWEST = 3
NO_TASK = "the adapter refuses the task: its scorer accepts any text"
NO_SLOT = "no answer in the slot: empty, or several lines where one is asked for"
BLANKS = "blanks around an answer are no part of it"
SCREENED = "kept from their scorer: "
RAISED = "their scorer raises"
LATE = "their scorer takes too long"


@dataclass
class Parity:
    """What the comparison of one task showed.

    Attributes:
        tasks, answers: compared.
        full: answers that both pay in full.
        crumbs: answers for which both give the same number between 0 and 1.
        excused: differences that a rule of the adapter explains, by rule.
        differs: what no rule explains.
    """

    tasks: int = 0
    answers: int = 0
    full: int = 0
    crumbs: int = 0
    excused: dict[str, int] = field(default_factory=dict)
    differs: list[str] = field(default_factory=list)


class Oracle:
    """The process in which reasoning-gym judges by itself."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("reasoning_gym_oracle.py")
        # The order of a set, which some entries depend on, is that of the adapter's process.
        environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        self._scratch = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script), self._scratch.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def judge(self, name: str, entries: list[tuple[int, list[str]]]) -> list[Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"name": name, "entries": entries}) + "\n")
        self._process.stdin.flush()
        verdicts: list[Any] = json.loads(self._process.stdout.readline())
        return verdicts

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._scratch.cleanup()


def compare(
    name: str,
    oracle: Oracle,
    *,
    entries: int = ENTRIES,
    fewest: int = FEWEST,
    budget_s: float = BUDGET_S,
) -> Parity:
    """The first tasks of ``reasoning-gym:NAME``, answered in every way and judged by both."""
    env = make_env(f"reasoning-gym:{name}")
    assert isinstance(env, ReasoningGym)
    found, excused = Parity(), Counter[str]()
    try:
        tasks = first_tasks(env, entries, fewest, budget_s)
    except EnvironmentFault as fault:
        if "accepts any text" not in str(fault):
            raise
        return Parity(excused={NO_TASK: 1})
    golds = [task.data["answer"] or "1" for task in tasks]
    said = [answers(a, b) for a, b in zip(golds, [*golds[1:], "0"], strict=True)]
    # Both what is said and what the slot holds of it, for blanks may matter to them.
    asked = [
        (task.data["number"], [*texts, *(text.strip(BLANK) for text in texts)])
        for task, texts in zip(tasks, said, strict=True)
    ]
    for task, texts, (question, raws) in zip(tasks, said, oracle.judge(name, asked), strict=True):
        found.tasks += 1
        if question != task.prompt[-1].content:
            found.differs.append(f"entry {task.data['number']} is another one")
        for text, theirs, heard in zip(texts, raws, raws[len(texts) :], strict=False):
            found.answers += 1
            score = env.score(task, in_slot(task, text))
            ours = score.parts["reasoning_gym"]
            told = f"entry {task.data['number']}, {text[:40]!r}: {score} instead of {theirs}"
            if (score.value, score.solved) != (float(ours == 1.0), ours == 1.0):
                found.differs.append(told)
            elif ours == theirs:
                found.full += ours == 1.0
                found.crumbs += 0.0 < ours < 1.0
            elif rule := excuse(task, text, score, heard):
                excused[rule] += 1
            else:
                found.differs.append(told)
    found.excused = dict(excused)
    return found


def first_tasks(env: ReasoningGym, most: int, fewest: int, budget_s: float) -> list[Task]:
    start, tasks = time.perf_counter(), []
    for index in range(most):
        if index >= fewest and time.perf_counter() - start > budget_s:
            break
        size = env.size("train") if index >= fewest else None
        if size is not None and index >= size:
            break
        tasks.append(env.task("train", index))
    return tasks


def answers(right: str, other: str) -> list[str]:
    """A right answer, the same with blanks, and texts that are mostly wrong."""
    digit = next((c for c in right if c in "0123456789"), None)
    near = right.replace(digit, str((int(digit) + 1) % 10), 1) if digit else f"{right}x"
    return [
        right,
        f" {right}",
        f"{right}\n",
        f"\t {right} \r\n",
        other,
        near,
        right[:-1] or "x",
        right[::-1],
        right.lower(),
        right.upper(),
        right.replace(" ", "  "),
        f"{right} {other}",
        f"{other}, {right}",
        f"It is {right}.",
        f"{right}\n{other}",
        "",
        " \n",
        "0",
        "no",
        "[1, 2]",
        "0123456789",
    ]


def in_slot(task: Task, answer: str) -> str:
    return f"{LABEL}\n{answer}" if task.data["lines"] else f"{LABEL} {answer}"


def excuse(task: Task, text: str, score: Score, heard: float | str) -> str | None:
    """The rule of the adapter that makes ours differ from theirs; None where there is none.

    Args:
        heard: what reasoning-gym gives ``text`` without blanks around it; or what it raises.
    """
    ours, said = score.parts["reasoning_gym"], text.strip(BLANK)
    if not said or (not task.data["lines"] and "\n" in said):
        return NO_SLOT if ours == 0.0 else None
    against = refusal(task.env.split(":")[1], said, task.data["answer"])
    if against:
        return SCREENED + against if ours == 0.0 else None
    if "no answer within" in score.reason:
        return LATE
    if isinstance(heard, str):
        return f"{RAISED} {heard}" if ours == 0.0 else None
    return BLANKS if ours == heard else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="this task alone")
    only = parser.parse_args().only
    oracle, found = Oracle(), {}
    for name in list_tasks():
        if not only or name in only:
            found[name] = compare(name, oracle)
            print(name, found[name], file=sys.stderr, flush=True)
    oracle.close()
    print(section(found))
    sys.exit(any(parity.differs for parity in found.values()))


def section(found: Mapping[str, Parity]) -> str:
    """The comparison as a section of the page."""
    compared = {name: parity for name, parity in found.items() if parity.answers}
    answers = sum(p.answers for p in compared.values())
    excused = Counter[str]()
    where: dict[str, list[str]] = {}
    for name, parity in found.items():
        for rule, count in parity.excused.items():
            excused[rule] += count
            where.setdefault(rule, []).append(name)
    by_rule = sum(excused.values()) - excused[NO_TASK]
    differs = [f"- {name}: {told}" for name, p in found.items() for told in p.differs]
    same = answers - by_rule - len(differs)
    full, crumbs = (sum(getattr(p, k) for p in compared.values()) for k in ("full", "crumbs"))
    few = min(p.answers for p in compared.values())
    version = importlib.metadata.version("reasoning-gym")
    unpaid = [name for name, p in compared.items() if not p.full]
    lines = [
        "",
        "## Score parity",
        "",
        f"`python -m benchmarks.reasoning_gym_parity` asks reasoning-gym {version} itself, in a "
        "process without minirl, to draw the same entries and to judge the same texts as a model "
        "would say them: their own answer, with and without blanks around it, another task's, "
        "changed, cut, doubled, stuffed and empty ones.",
        "",
        f"{len(compared)} of {len(found)} tasks, {answers:,} answers, at least {few} a task: "
        f"{same:,} scores are the same, among them {full:,} that both pay in full and {crumbs:,} "
        f"crumbs, which the adapter logs and does not pay. {by_rule:,} differ by a rule of the "
        f"adapter, {len(differs) or 'none'} without one.",
        "",
        *differs,
        *([""] if differs else []),
        "| difference, by rule | answers | tasks |",
        "|---|---|---|",
        *(
            f"| {rule} | {'' if rule == NO_TASK else count} | {names(where[rule])} |"
            for rule, count in excused.most_common()
        ),
    ]
    if unpaid:
        lines += ["", f"No right answer was tried where reasoning-gym ships none: {names(unpaid)}."]
    return "\n".join(lines)


def names(tasks: list[str]) -> str:
    return ", ".join(tasks) if len(tasks) <= 12 else str(len(tasks))


if __name__ == "__main__":
    main()
