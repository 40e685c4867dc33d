"""An environment with all its levels: each audited, and their splits against each other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from minirl.envs.audit.canonical import canonical
from minirl.envs.audit.elsewhere import elsewhere
from minirl.envs.audit.report import AuditReport, CheckResult, Example
from minirl.envs.audit.settings import AuditSettings
from minirl.envs.audit.watchdog import audit_level
from minirl.envs.base import Environment
from minirl.envs.registry import make_env
from minirl.errors import ConfigError
from minirl.types import Split, Task

Progress = Callable[[str, str, int, int], None]  # spec, check, its number, how many


def specs_of(spec: str, options: Mapping[str, Any]) -> list[str]:
    """``spec`` with each level, and without one; ``spec`` alone where it names a level."""
    try:
        env = make_env(spec, options)
    except ConfigError:
        raise
    except Exception:  # a finding of its audit
        return [spec]
    if env.level is not None or not type(env).levels:
        return [spec]
    levels = [f"{spec}:{level}" for level in type(env).levels]
    plain = env.config.model_dump()
    named = any(make_env(level, options).config.model_dump() == plain for level in levels)
    return levels if named else [*levels, spec]


def audit(
    spec: str,
    options: Mapping[str, Any] | None = None,
    settings: AuditSettings | None = None,
    progress: Progress = lambda spec, check, number, of: None,
) -> list[AuditReport]:
    """Audit an environment: the level that ``spec`` names, else every level.

    Raises:
        ConfigError: the spec or an option cannot be used.
    """
    options, settings = options or {}, settings or AuditSettings()
    specs = specs_of(spec, options)
    reports = []
    for one in specs:
        told = lambda check, number, of, one=one: progress(one, check, number, of)  # noqa: E731
        reports.append(audit_level(one, options, settings, told))
    opened = [r.env for r in reports if all(result.check != "opens" for result in r.results)]
    if settings.elsewhere and opened:
        progress(spec, "process", 1, 1)
        found = elsewhere(opened, options)
        reports = [replace(r, results=(*r.results, *found.get(r.env, ()))) for r in reports]
    if len(opened) > 1:
        progress(spec, "levels", 1, 1)
        across = across_levels([make_env(one, options) for one in opened], settings.tasks)
        reports[0] = replace(reports[0], results=(*reports[0].results, across))
    return reports


def across_levels(envs: Sequence[Environment[Any]], tasks: int) -> CheckResult:
    """Whether no level trains on what another one tests: by key, else by the prompt."""
    train = {identity: task for env in envs for task, identity in _some(env, "train", tasks)}
    tries = failures = 0
    example: Example | None = None
    for env in envs:
        for task, identity in _some(env, "test", tasks):
            tries += 1
            if identity in train:
                failures += 1
                why = f"it stands in train of another level, as {train[identity].id}"
                prompt = "\n".join(f"[{m.role}] {m.content}" for m in task.prompt)
                example = example or Example(task.id, prompt, "", None, None, why)
    title = "no level trains on what another one tests"
    return CheckResult("levels", title, tries, failures, failures > 0, "", example)


def _some(env: Environment[Any], split: Split, n: int) -> list[tuple[Task, Hashable]]:
    found: list[tuple[Task, Hashable]] = []
    try:
        size = env.size(split)
        for index in range(n if size is None else min(n, size)):
            task = env.task(split, index)
            known = task.data.get("key", task.data if env.max_turns > 1 else task.prompt)
            found.append((task, canonical(known)))
    except Exception:  # the audit of that level has told of it
        return found
    return found
