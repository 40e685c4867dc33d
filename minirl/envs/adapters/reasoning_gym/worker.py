"""The far side: a process in which all of reasoning-gym lives, and all that it does to a text.

Run as a script, with the standard library and reasoning-gym alone. The outer process imports the
library once and forks the one that serves; when that one is killed or dies, it forks the next, in
milliseconds. It never reads a request itself. One request a line, one reply a line, both JSON.
"""

from __future__ import annotations

import copy
import dataclasses
import decimal
import functools
import importlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

SIZE = 500  # entries of one of their data sets; its item i is drawn from the generator seed + i
MEMORY_BYTES = 6 * 2**30  # address space, of which libraries claim much and use little
BLANK = " \t\r\n"
# Where they put one of several right answers.
EXAMPLES = ("example_correct_answer", "example_answer", "possible_answer")


class Refused(Exception):
    """Their library does not take this name, level or option."""


@functools.lru_cache(maxsize=64)
def dataset(name: str, level: int | None, options: str, seed: int) -> Any:
    """One of their data sets; ``options`` is a JSON object."""
    factory = importlib.import_module("reasoning_gym.factory")
    given: dict[str, Any] = json.loads(options)
    made, config_class = factory.DATASETS[name]
    fixed = {"seed": seed, "size": SIZE}
    if level is None:
        config = config_class(**fixed)
    else:
        curriculum = factory.create_curriculum(name)
        curriculum.set_global_level(level)
        config = curriculum.generate_configuration(defaults=fixed)
    changes = {
        field: tuple(value) if isinstance(getattr(config, field), tuple) else value
        for field, value in given.items()
    }
    random.seed(seed)
    try:
        return made(config=dataclasses.replace(config, **changes))
    except Exception as error:  # mostly AssertionError, from their validate()
        raise Refused(f"{type(error).__name__}: {error}") from error


@functools.lru_cache(maxsize=2048)
def entry(
    name: str, level: int | None, options: str, number: int
) -> tuple[Mapping[str, Any], decimal.Context]:
    """Their entry ``number``, whatever happened before, and the decimal context that it left.

    Some of them draw from the global generators, one sets the global precision of decimals.
    """
    import numpy as np

    held = dataset(name, level, options, number // SIZE * SIZE)
    random.seed(number)
    np.random.seed(number % 2**32)
    decimal.setcontext(decimal.Context())
    found: Mapping[str, Any] = held[number % SIZE]
    return found, decimal.getcontext().copy()


def names(request: Mapping[str, Any]) -> Any:
    """Every task, with how many levels its curriculum has."""
    factory = importlib.import_module("reasoning_gym.factory")
    return {
        name: _levels(factory, name) for name in sorted(factory.DATASETS) if name != "composite"
    }


def describe(request: Mapping[str, Any]) -> Any:
    """The options of a task with their defaults, those that JSON can say."""
    held = dataset(request["name"], request["level"], "{}", 0)
    return {
        field.name: getattr(held.config, field.name)
        for field in dataclasses.fields(held.config)
        if field.name not in ("seed", "size") and _is_plain(getattr(held.config, field.name))
    }


def check(request: Mapping[str, Any]) -> Any:
    """Refused, unless these options make a data set."""
    dataset(*_which(request), 0)
    return True


def draw(request: Mapping[str, Any]) -> Any:
    """The question and the answer of one entry; the answer is None where theirs is no text."""
    found, _ = entry(*_which(request), request["number"])
    metadata = found.get("metadata", {})
    answer = next((a for a in (found["answer"], *map(metadata.get, EXAMPLES)) if a), "")
    if isinstance(answer, dict):
        answer = json.dumps(answer)
    return {
        "question": str(found["question"]),
        "answer": answer.strip(BLANK) if isinstance(answer, str) else None,
    }


def score(request: Mapping[str, Any]) -> Any:
    """What their scorer gives; on a copy of the entry, since some of them write into it."""
    which, number = _which(request), request["number"]
    held = dataset(*which, number // SIZE * SIZE)
    found, context = entry(*which, number)
    decimal.setcontext(context.copy())
    return float(held.score_answer(request["answer"], copy.deepcopy(found)))


HANDLERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    f.__name__: f for f in (names, describe, check, draw, score)
}


def _which(request: Mapping[str, Any]) -> tuple[str, int | None, str]:
    return request["name"], request["level"], request["options"]


def _levels(factory: Any, name: str) -> int:
    if not factory.has_curriculum(name):
        return 0
    attributes = factory.create_curriculum(name).attributes.values()
    return max((len(attribute.levels) for attribute in attributes), default=0)


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def serve(requests: int, replies: int) -> None:
    """Answer request after request until our process closes its end."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _write(replies, {"ready": os.getpid()})
    with os.fdopen(requests, encoding="utf-8") as lines:
        while line := lines.readline():
            request = json.loads(line)
            try:
                reply: dict[str, Any] = {"value": HANDLERS[request["do"]](request)}
            except Refused as error:
                reply = {"refused": str(error)[:2000]}
            except Exception as error:
                reply = {"raised": f"{type(error).__name__}: {error}"[:500]}
            _write(replies, reply | {"id": request.get("id")})


def _write(file: int, reply: Mapping[str, Any]) -> None:
    data = json.dumps(reply).encode() + b"\n"
    while data:
        data = data[os.write(file, data) :]


def main() -> None:
    parent = os.getppid()
    requests, replies = os.dup(0), os.dup(1)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what their code prints is no reply
        os.dup2(silence, stream)
    try:
        importlib.import_module("reasoning_gym")
    except Exception:
        _write(replies, {"fatal": traceback.format_exc()})
        return
    with tempfile.TemporaryDirectory(prefix="minirl-reasoning-gym-") as scratch:
        os.chdir(scratch)  # some programs that their codeio runs write files where they stand
        _keep_one_serving(parent, requests, replies)


def _keep_one_serving(parent: int, requests: int, replies: int) -> None:
    while True:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                serve(requests, replies)
                status = 0
            finally:  # what is left to do at an exit is the outer process's
                os._exit(status)
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if os.getppid() != parent:  # our process is gone, whatever the child is busy with
                os.kill(child, signal.SIGKILL)
                sys.exit()
            time.sleep(0.02)
        if ended[1] == 0:
            return


if __name__ == "__main__":
    main()
