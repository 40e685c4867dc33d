"""Tasks and scores depend on what they are asked, and on nothing else."""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from minirl.envs.audit.canonical import canonical
from minirl.envs.audit.subject import Subject
from minirl.envs.audit.tally import Tally
from minirl.envs.base import Environment, Turns
from minirl.types import SPLITS, Split, Task

_SAMPLE = 60
_THREADS = 8


def pure_task(subject: Subject, tally: Tally) -> None:
    n = min(subject.settings.tasks, _SAMPLE)
    for split in SPLITS:
        order = list(range(len(subject.tasks(split, n))))
        before = [_ask(subject, subject.env, split, i) for i in tally.within(order)]
        random.Random(subject.settings.seed).shuffle(order)
        asked: tuple[tuple[str, Environment[Any], list[int]], ...] = (
            ("asked again", subject.env, order),
            ("asked of another instance, last one first", subject.sibling, order[::-1]),
        )
        for how, env, indices in asked:
            for i in tally.within(indices):
                again = _ask(subject, env, split, i)
                first = before[i] if i < len(before) else None
                if again is not None and first is not None:
                    why = "" if _content(again) == _content(first) else f"{how}, it is another task"
                    tally.count(subject.example(first, "", None, why) if why else None)


def mutable(subject: Subject, tally: Tally) -> None:
    """Whoever changes a task's data changes no task that is asked for later."""
    for split in SPLITS:
        for index in tally.within(range(min(subject.settings.tasks, 20))):
            asked = _ask(subject, subject.env, split, index)
            if asked is None:
                break
            before = _content(asked)
            _spoil(asked.data)
            for env in (subject.env, subject.sibling):
                again = _ask(subject, env, split, index)
                if again is not None:
                    changed = _content(again) != before
                    why = "changing the data of a task changed the task that is asked for later"
                    tally.count(subject.example(again, "", None, why) if changed else None)


def untouched(subject: Subject, tally: Tally) -> None:
    """Gold, decoys and score leave the task as it was."""
    for task in tally.within(subject.mixed(min(subject.settings.tasks, _SAMPLE))):
        before = _content(task)
        for what, call in _uses(subject, task):
            subject.call(what, call, task)
            changed = _content(task) != before
            why = f"{what}() changed the task's data"
            tally.count(subject.example(task, "", None, why) if changed else None)
            if changed:
                break


def global_random(subject: Subject, tally: Tally) -> None:
    """Nothing draws from, or seeds, the generators that all share."""
    fresh = subject.call("__init__", subject.make)
    for task in tally.within(subject.mixed(min(subject.settings.tasks, _SAMPLE))):
        calls: list[tuple[str, Callable[[], Any]]] = [
            ("task", lambda: subject.env.task(task.split, task.index)),  # noqa: B023
            *_uses(subject, task),
        ]
        if fresh is not None:
            calls.append(("task", lambda: fresh.task(task.split, task.index)))  # noqa: B023
        for what, call in calls:
            before = _random_state()
            subject.call(what, call, task)
            why = "" if _random_state() == before else f"{what}() uses the global random state"
            tally.count(subject.example(task, "", None, why) if why else None)


def pure_score(subject: Subject, tally: Tally) -> None:
    """The same answer gets the same score: again, in another order, with others in between."""
    asked: list[tuple[Task, Turns]] = []
    for task in subject.mixed(min(subject.settings.tasks, _SAMPLE)):
        asked += [(task, text) for text in _answers(subject, task)]
    fresh = subject.another
    first = [subject.score(*pair, env=fresh) for pair in tally.within(asked)]
    order = [i for i in range(len(first)) for _ in (0, 1)]
    random.Random(subject.settings.seed).shuffle(order)
    for env in (fresh, subject.env):
        for i in tally.within(order):
            again = subject.score(*asked[i], env=env)
            same = again is None or first[i] is None or canonical(again) == canonical(first[i])
            why = "asked again, it gets another score"
            tally.count(None if same else subject.example(*asked[i], again, why))


def pickles(subject: Subject, tally: Tally) -> None:
    for task in tally.within(subject.mixed(min(subject.settings.tasks, 10))):
        try:
            same = canonical(pickle.loads(pickle.dumps(task))) == canonical(task)
            why = "" if same else "it comes back from pickle as another task"
        except Exception as error:  # what a pickle raises is up to what is in it
            why = f"it cannot be pickled: {type(error).__name__}: {error}"
        tally.count(subject.example(task, "", None, why) if why else None)


def pickles_env(subject: Subject, tally: Tally) -> None:
    fresh = subject.call("__init__", subject.make)
    try:
        pickle.loads(pickle.dumps(fresh))
        why = ""
    except Exception as error:  # as above
        why = f"a fresh environment cannot be pickled: {type(error).__name__}: {error}"
    tally.count(subject.example(None, "", None, why) if why else None)


def threads(subject: Subject, tally: Tally) -> None:
    """Eight threads at once get what one gets; what one alone gets only once is not compared."""
    tasks = subject.mixed(min(subject.settings.tasks, _SAMPLE // 2))
    pairs = [(task, text) for task in tasks for text in _answers(subject, task)]
    fresh = subject.another

    def ask(i: int) -> tuple[str, str]:
        task, text = pairs[i]
        again = subject.call("task", lambda: fresh.task(task.split, task.index), task)
        score = subject.score(task, text, env=fresh)
        return "" if again is None else _content(again), canonical(score)

    alone = [ask(i) for i in tally.within(range(len(pairs)))]
    steady = [i for i in range(len(alone)) if ask(i) == alone[i]]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(ask, steady + steady[::-1]))
    finally:
        sys.setswitchinterval(interval)
    for i, (content, score) in zip(steady + steady[::-1], found, strict=True):
        task, text = pairs[i]
        why = ""
        if content != alone[i][0]:
            why = "while other threads ask, it is another task"
        elif score != alone[i][1]:
            why = f"while other threads ask, it gets another score: {score[:200]}"
        tally.count(subject.example(task, text, None, why) if why else None)
    if not tally.tries:
        tally.detail = "nothing stays the same even in one thread"


def _answers(subject: Subject, task: Task) -> Iterator[Turns]:
    gold = subject.gold(task)
    if gold is not None:
        yield gold
    yield from list(subject.call("decoys", lambda: subject.env.decoys(task), task, default=()))[:3]
    yield "nonsense"


def _uses(subject: Subject, task: Task) -> Iterator[tuple[str, Callable[[], Any]]]:
    env, gold = subject.env, subject.gold(task)
    if gold is not None:
        yield "gold", lambda: env.gold(task)
        yield "score", lambda: subject.score(task, gold)
    yield "decoys", lambda: env.decoys(task)
    yield "alternatives", lambda: env.alternatives(task)
    yield "score", lambda: subject.score(task, "nonsense")


def _ask(subject: Subject, env: Environment[Any], split: Split, index: int) -> Task | None:
    size = subject.call("size", lambda: env.size(split))
    if isinstance(size, int) and index >= size:
        return None
    found: Task | None = subject.call("task", lambda: env.task(split, index))
    return found


def _content(task: Task) -> str:
    return canonical([task.id, task.prompt, task.data])


def _random_state() -> tuple[Any, ...]:
    numpy = sys.modules.get("numpy")
    legacy = () if numpy is None else numpy.random.get_state()
    return (
        random.getstate(),
        *(part.tobytes() if hasattr(part, "tobytes") else part for part in legacy),
    )


def _spoil(value: Any) -> None:
    """Change whatever can be changed."""
    if isinstance(value, dict):
        for inner in list(value.values()):
            _spoil(inner)
        value["spoilt by the audit"] = 1
    elif isinstance(value, list):
        for inner in value:
            _spoil(inner)
        value.reverse()
        value.append("spoilt by the audit")
    elif isinstance(value, set | bytearray):
        value.clear()
