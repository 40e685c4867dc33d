"""A few tasks and scores of some environments as texts, told by a process of its own.

Run as a program it reads a job from stdin: under which seed of the global generator, in which
directory and by which clocks to ask. :mod:`minirl.envs.audit.elsewhere` compares what comes out.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from typing import Any

from minirl.envs.audit.canonical import canonical
from minirl.envs.audit.clock import Clock
from minirl.envs.base import Environment, Turns, as_turns
from minirl.envs.recited import recite
from minirl.envs.registry import make_env
from minirl.errors import UnknownGold
from minirl.types import SPLITS, Task


def outline(env: Environment[Any], n: int, backwards: bool) -> Iterator[dict[str, str]]:
    """Items of (task, what, prompt, completion, content): the content must not depend on where."""
    for split in SPLITS:
        size = env.size(split)
        indices = range(n if size is None else min(n, size))
        for index in reversed(indices) if backwards else indices:
            task = env.task(split, index)
            prompt = "\n".join(f"[{m.role}] {m.content}" for m in task.prompt)
            told = {"task": task.id, "prompt": prompt}
            yield {**told, "what": "task", "completion": "", "content": _content(task)}
            for number, written in enumerate(_answers(env, task)):
                shown = "\n---\n".join(as_turns(written))
                score = canonical(recite(env, task, written))
                yield {**told, "what": f"score {number}", "completion": shown, "content": score}


def _answers(env: Environment[Any], task: Task) -> Iterator[Turns]:
    try:
        yield env.gold(task)
    except UnknownGold:
        yield ""
    yield from list(env.decoys(task))[:3]
    yield "nonsense"


def _content(task: Task) -> str:
    return canonical([task.id, task.prompt, task.data])


def main() -> None:
    job = json.load(sys.stdin)
    lines = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    clock = Clock()
    if job["clocks"]:
        clock.install()
    random.seed(job["seed"])
    for spec in job["specs"]:
        for offset in job["clocks"] or [0]:
            clock.offset = offset
            try:
                env = make_env(spec, job["options"])
                if job["folder"]:
                    before = os.getcwd()
                    os.chdir(job["folder"])
                items = list(outline(env, job["tasks"], job["backwards"]))
                record: dict[str, Any] = {"spec": spec, "clock": offset, "items": items}
            except Exception as error:  # told, and judged by who asked
                why = f"{type(error).__name__}: {error}"
                record = {"spec": spec, "clock": offset, "failed": why}
            finally:
                if job["folder"] and os.path.samefile(os.getcwd(), job["folder"]):
                    os.chdir(before)
            lines.write(json.dumps(record) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
