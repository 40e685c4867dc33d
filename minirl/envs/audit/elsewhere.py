"""The same tasks and scores in other processes: other hash seed, zone, directory, and clock."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from minirl.envs.audit.clock import DAY, HOUR
from minirl.envs.audit.report import CheckResult, Example
from minirl.envs.audit.watchdog import end, start

CLOCKS = (0, 11 * HOUR, 3 * DAY, 45 * DAY, 400 * DAY, 4000 * DAY, -4000 * DAY)
PROCESS = "tasks and scores are the same in another process"
CLOCK = "tasks and scores do not depend on the date"

Items = dict[tuple[str, str], dict[str, str]]


def elsewhere(
    specs: Sequence[str], options: Mapping[str, Any], *, tasks: int = 20, timeout_s: float = 120.0
) -> dict[str, tuple[CheckResult, CheckResult]]:
    """The checks ``process`` and ``clock`` of each spec; three processes tell all of them."""
    with tempfile.TemporaryDirectory() as folder:
        job = {"specs": list(specs), "options": dict(options), "tasks": tasks, "folder": ""}
        here = _ask({**job, "seed": 0, "backwards": False, "clocks": []}, "0", "UTC", timeout_s)
        there = {**job, "seed": 99, "backwards": True, "clocks": [], "folder": folder}
        far = _ask(there, "12345", "Asia/Kathmandu", timeout_s)
        clocks = {**job, "seed": 0, "backwards": False, "clocks": CLOCKS, "tasks": min(tasks, 8)}
        later = _ask(clocks, "0", "UTC", timeout_s)
    return {
        spec: (
            _compared("process", PROCESS, here.get((spec, 0)), [far.get((spec, 0))]),
            _compared(
                "clock", CLOCK, later.get((spec, 0)), [later.get((spec, c)) for c in CLOCKS[1:]]
            ),
        )
        for spec in specs
    }


def _ask(
    job: Mapping[str, Any], hash_seed: str, zone: str, timeout_s: float
) -> dict[tuple[str, int], Items | str]:
    """What a process tells of each spec and clock: its items, or why there are none."""
    child = start(
        "minirl.envs.audit.outline",
        job,
        stderr=subprocess.DEVNULL,
        env={"PYTHONHASHSEED": hash_seed, "TZ": zone},
    )
    try:
        out, _ = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        out = b""
    finally:
        end(child)
    found: dict[tuple[str, int], Items | str] = {}
    for line in out.splitlines():
        told = json.loads(line)
        items = told.get("items")
        found[told["spec"], told["clock"]] = (
            told["failed"] if items is None else {(i["task"], i["what"]): i for i in items}
        )
    return found


def _compared(
    check: str, title: str, here: Items | str | None, others: Sequence[Items | str | None]
) -> CheckResult:
    """Whether all tell the same. What failed here is left to the other checks."""
    if not isinstance(here, dict):
        return CheckResult(check, title, 0, 0, False, f"not tried: {here or 'it took too long'}")
    tries = failures = 0
    example: Example | None = None
    for there in others:
        if there is None:
            continue
        for key, item in here.items():
            told = there if isinstance(there, str) else there.get(key, {}).get("content", "nothing")
            tries += 1
            if isinstance(there, str) or told != item["content"]:
                failures += 1
                why = f"{key[1]} is different there: {_difference(item['content'], told)}"
                fields = item["task"], item["prompt"], item["completion"]
                example = example or Example(*fields, None, None, why)
    return CheckResult(check, title, tries, failures, failures > 0, "", example)


def _difference(here: str, there: str) -> str:
    first = next((i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), 0)
    low = max(first - 40, 0)
    return f"…{here[low : first + 80]}… here, …{there[low : first + 80]}… there"
