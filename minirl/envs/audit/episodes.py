"""Episodes: single-use, independent of each other, over in time; their tools well described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from minirl.envs.audit.subject import Subject
from minirl.envs.audit.tally import Tally
from minirl.envs.base import Episode, Turns, as_turns
from minirl.envs.tool_calls import parse_tool_calls
from minirl.types import Message, Score, Task

MOST_TURNS = 200
_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


def turns(subject: Subject, tally: Tally) -> None:
    """A sane limit, within which the gold is done and nonsense is answered."""
    most = subject.env.max_turns
    if not isinstance(most, int) or not 1 <= most <= MOST_TURNS:
        why = f"max_turns is {most!r}; expected 1 to {MOST_TURNS}"
        tally.count(subject.example(None, "", None, why))
        return
    for task in tally.within(subject.mixed(min(subject.settings.tasks, 50))):
        gold = subject.gold(task)
        if gold is not None:
            needed = len(as_turns(gold))
            why = "" if needed <= most else f"the gold takes {needed} turns, max_turns is {most}"
            tally.count(subject.example(task, gold, None, why) if why else None)
        nonsense = ["nonsense"] * most
        tally.count(subject.pays(task, nonsense, "nonsense in every turn passes"))


def early(subject: Subject, tally: Tally) -> None:
    """Who gives up before the last word of the gold has not solved the task."""
    if subject.single:
        tally.detail = "an episode is one turn"
        return
    for task in tally.within(subject.mixed(subject.settings.tasks // 4)):
        gold = subject.gold(task)
        right = subject.declared(task)
        written = () if gold is None else as_turns(gold)
        for heard in range(len(written)):
            if written[:heard] not in right:
                why = f"it passes after {heard} of the {len(written)} turns of the gold"
                tally.count(subject.pays(task, written[:heard], why))
            why = f"it passes with nonsense in place of turn {heard + 1}, the last one said"
            tally.count(subject.pays(task, (*written[:heard], "nonsense"), why))


def independent(subject: Subject, tally: Tally) -> None:
    """Two episodes at once, by turns: each ends as it does alone.

    One plays the gold; the other one nonsense, or the gold of another task.
    """
    tasks = subject.mixed(min(subject.settings.tasks, 60))
    for task, other in tally.within(zip(tasks, [*tasks[1:], *tasks[:1]], strict=True)):
        gold, theirs = subject.gold(task), subject.gold(other)
        if gold is None or theirs is None or not _solves(subject, task, gold):
            continue
        good, bad = _interleaved(subject, (task, gold), (task, "nonsense"))
        why = ""
        if good is None or not good.solved:
            why = "the gold is refused while another episode of the task is played"
        elif bad is not None and bad.solved:
            why = "nonsense passes while the gold is played in another episode of the task"
        tally.count(subject.example(task, gold, good, why) if why else None)
        if task is not other and _solves(subject, other, theirs):
            for score in _interleaved(subject, (task, gold), (other, theirs)):
                passed = score is not None and score.solved
                why = "the gold is refused while an episode of another task is played"
                tally.count(None if passed else subject.example(task, gold, score, why))


def _solves(subject: Subject, task: Task, written: Turns) -> bool:
    score = subject.score(task, written)
    return score is not None and score.solved


def _interleaved(
    subject: Subject, *played: tuple[Task, Turns]
) -> tuple[Score | None, Score | None]:
    """The scores of two episodes that are played by turns."""
    episodes = [subject.call("episode", lambda: subject.env.episode(t), t) for t, _ in played]  # noqa: B023
    scores: list[Score | None] = [None, None]
    for turn in range(max(len(as_turns(written)) for _, written in played)):
        for i, (task, written) in enumerate(played):
            turns = as_turns(written)
            if scores[i] is None and episodes[i] is not None and turn < len(turns):
                scores[i] = _step(subject, task, episodes[i], turns[turn])
    return scores[0], scores[1]


def tools(subject: Subject, tally: Tally) -> None:
    """Each tool is a JSON schema that chat templates can show."""
    for task in subject.mixed(min(subject.settings.tasks, 10)):
        episode = subject.call("episode", lambda: subject.env.episode(task), task)  # noqa: B023
        names = set()
        for tool in () if episode is None else episode.tools:
            why = next(_faults(tool), "")
            told = tool.get("function", tool) if isinstance(tool, dict) else {}
            if not why and told["name"] in names:
                why = f"two tools are called {told['name']!r}"
            names.add(str(told.get("name")))
            tally.count(subject.example(task, "", None, f"{why}: {tool!r:.500}") if why else None)
    if not tally.tries:
        tally.detail = "it has no tools"


def _faults(tool: Any) -> Iterator[str]:
    """What is wrong with one tool's description."""
    try:
        json.dumps(tool, allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"it is no JSON ({error})"
        return
    told = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(told, dict) or tool.get("type") != "function":
        yield 'it is not of the form {"type": "function", "function": {…}}'
        return
    if not isinstance(told.get("name"), str) or not told["name"].isidentifier():
        yield "its name is no identifier"
    if not (isinstance(told.get("description"), str) and told["description"].strip()):
        yield "it has no description"
    if "parameters" not in told:
        yield "it has no parameters (an object without properties, where it takes none)"
    else:
        if not isinstance(told["parameters"], dict) or told["parameters"].get("type") != "object":
            yield "its parameters are not of type object"
        yield from _schema_faults(told["parameters"], "parameters")


def _schema_faults(schema: Any, where: str) -> Iterator[str]:
    """What is wrong with a JSON schema, as far as tools use one."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield f"{where} is no schema"
        return
    kinds = schema.get("type", [])
    listed = kinds if isinstance(kinds, list) else [kinds]
    if not all(isinstance(kind, str) and kind in _TYPES for kind in listed):
        yield f"{where} has the type {kinds!r}, which JSON schema does not know"
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict):
        yield f"the properties of {where} are no object"
        return
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield f"required of {where} is no list of names"
    elif not set(required) <= set(properties):
        yield f"{where} requires what it does not describe: {set(required) - set(properties)}"
    if "enum" in schema and not (isinstance(schema["enum"], list) and schema["enum"]):
        yield f"the enum of {where} is no list of values"
    for name, inner in properties.items():
        yield from _schema_faults(inner, f"{where}.{name}")
    if "items" in schema:
        yield from _schema_faults(schema["items"], f"{where}[]")


def _step(subject: Subject, task: Task, episode: Episode, text: str) -> Score | None:
    calls = parse_tool_calls(text) if episode.tools else ()
    step = subject.call("step", lambda: episode.step(Message("assistant", text, calls)), task, text)
    score: Score | None = None if step is None else step.score
    return score
