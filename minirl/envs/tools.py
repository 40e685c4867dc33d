"""What tool environments share: tools from typed functions, hostile calls, the episode.

A policy calls a tool in text, ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``, after any
reasoning. A turn with calls gets their results; a turn without one is the final answer.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import Field

from minirl.envs.base import EnvConfig, Step
from minirl.envs.tool_calls import CLOSE, OPEN, read_tool_calls
from minirl.errors import EnvironmentFault
from minirl.types import Message, Score, Task, ToolCall

CALL_FORM = f'{OPEN}{{"name": …, "arguments": {{…}}}}{CLOSE}'
MAX_CALLS = 8  # of one turn; later ones are refused
MAX_RESULT = 1500  # characters of one result
MAX_STRING = 4000  # characters of one argument
MAX_ITEMS = 100  # of a list argument

StateT = TypeVar("StateT")
Judge: TypeAlias = Callable[[StateT, str], Score]

_JSON_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}
_IS = {
    "integer": lambda v: type(v) is int and abs(v) < 2**63,
    "number": lambda v: type(v) is float or (type(v) is int and abs(v) < 2**63),
    "string": lambda v: type(v) is str and len(v) <= MAX_STRING,
    "boolean": lambda v: type(v) is bool,
}


class ToolError(Exception):
    """A tool's refusal; its text is what the policy reads, so it must not hold the answer."""


class ToolConfig(EnvConfig):
    tool_format: Literal["prompt", "template"] = "prompt"
    """How tools are shown: described in the system prompt, with results as user messages, which
    works with every chat template; or handed to the template, with results as tool messages.
    """
    max_turns: int = Field(6, ge=1, le=64)
    """How often the model may speak, the final answer included."""


@dataclass(frozen=True, slots=True)
class Param:
    """One argument of a tool; ``schema`` is the JSON schema of its value."""

    name: str
    schema: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True)
class Tool(Generic[StateT]):
    """A function that the policy may call: ``run(state, **arguments)``.

    ``arguments`` fit ``params`` when ``run`` sees them. It returns a text, or a value that JSON can
    say, and raises :class:`ToolError` to refuse.
    """

    name: str
    doc: str
    params: tuple[Param, ...]
    run: Callable[..., Any]

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The form that chat templates take."""
        parameters = {
            "type": "object",
            "properties": {p.name: dict(p.schema) for p in self.params},
            "required": [p.name for p in self.params if p.required],
        }
        about = {"name": self.name, "description": self.doc, "parameters": parameters}
        return {"type": "function", "function": about}

    @property
    def signature(self) -> str:
        shown = (f"{p.name}{'' if p.required else '?'}: {_type(p.schema)}" for p in self.params)
        return f"{self.name}({', '.join(shown)})"

    def fault(self, arguments: Mapping[str, Any]) -> str | None:
        """What is wrong with the arguments of a call; None where nothing is."""
        for param in self.params:
            if param.name not in arguments:
                if param.required:
                    return f"{self.name} needs {param.name}: {_type(param.schema)}"
            elif not _fits(param.schema, arguments[param.name]):
                return f"{param.name} must be {_type(param.schema)}"
        if len(arguments) > sum(p.name in arguments for p in self.params):
            return f"{self.signature} takes nothing else"
        return None


def tool(function: Callable[..., Any]) -> Tool[Any]:
    """A tool from a function with type hints: ``def add(state, a: float, b: float) -> str``.

    The first parameter is the episode's state, never shown. The docstring's first line describes
    the tool. Types: int, float, str, bool, a Literal of strings, a list of these;
    ``Annotated[int, "how many"]`` describes one. A parameter with a default may be left out.

    Raises:
        EnvironmentFault: a parameter has no type, or one that is not supported.
    """
    hints = get_type_hints(function, include_extras=True)
    params = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        schema = _schema(hints.get(parameter.name))
        if schema is None:
            raise EnvironmentFault(
                f"tool {function.__name__}: {parameter.name} has no usable type",
                expected="int, float, str, bool, a Literal of strings, or a list of these",
                got=repr(hints.get(parameter.name)),
            )
        params.append(Param(parameter.name, schema, parameter.default is parameter.empty))
    doc = (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    return Tool(function.__name__, doc, tuple(params), function)


@dataclass(frozen=True, slots=True)
class Result:
    """What the policy reads after one call."""

    text: str
    is_error: bool = False


@dataclass(frozen=True)
class Toolset(Generic[StateT]):
    """The tools of an environment."""

    tools: tuple[Tool[StateT], ...]

    @cached_property
    def by_name(self) -> dict[str, Tool[StateT]]:
        return {t.name: t for t in self.tools}

    @cached_property
    def schemas(self) -> tuple[dict[str, Any], ...]:
        return tuple(t.schema for t in self.tools)

    @cached_property
    def described(self) -> str:
        """The tools for a system prompt, a line each."""
        return "\n".join(f"{t.signature}: {t.doc}" for t in self.tools)

    def answer(self, state: StateT, call: ToolCall | None) -> Result:
        """Run one call (None: a malformed one). Whatever stands in it, nothing is raised for it."""
        if call is None:
            return Result(f"not a valid call; write {CALL_FORM}", is_error=True)
        chosen = self.by_name.get(call.name)
        if chosen is None:
            return Result(f"no such tool; there are: {', '.join(self.by_name)}", is_error=True)
        fault = chosen.fault(call.arguments)
        if fault is not None:
            return Result(fault, is_error=True)
        try:
            value = chosen.run(state, **call.arguments)
        except ToolError as error:
            return Result(_cut(str(error)), is_error=True)
        return Result(_cut(value if isinstance(value, str) else json.dumps(value)))

    def answer_turn(self, state: StateT, text: str) -> list[Result]:
        """The results of the calls in one turn, in order; empty where the turn has no call."""
        calls = read_tool_calls(text) if OPEN in text else ()
        results = [self.answer(state, call) for call in calls[:MAX_CALLS]]
        if len(calls) > MAX_CALLS:
            results.append(Result(f"only {MAX_CALLS} calls a turn are run", is_error=True))
        return results


class ToolEpisode(Generic[StateT]):
    """One attempt: calls are answered, and the first turn without one is judged.

    Args:
        task: its prompt opens the episode (see :func:`tool_preface`).
        toolset: what may be called.
        state: what the tools work on; this episode's own.
        judge: the score of a final answer, from the state and the answer's whole text.
        native: whether the chat template shows the tools.

    The score's parts get ``calls``, ``errors`` (calls that were refused) and ``turns``.
    """

    def __init__(
        self,
        task: Task,
        toolset: Toolset[StateT],
        state: StateT,
        judge: Judge[StateT],
        *,
        native: bool = False,
    ) -> None:
        self.messages = task.prompt
        self.tools = toolset.schemas if native else ()
        self._toolset, self._state, self._judge, self._native = toolset, state, judge, native
        self._calls = self._errors = self._turns = 0

    def step(self, message: Message) -> Step:
        self._turns += 1
        results = self._toolset.answer_turn(self._state, message.content)
        if not results:
            return Step(score=self._with_parts(self._judge(self._state, message.content)))
        self._calls += len(results)
        self._errors += sum(r.is_error for r in results)
        return Step(result_messages(results, native=self._native))

    def give_up(self, reason: str) -> Score:
        parts = {"strict": 0.0, "format": 0.0, "lenient": 0.0}
        return self._with_parts(Score(0.0, False, parts, reason))

    def _with_parts(self, score: Score) -> Score:
        used = {"calls": self._calls, "errors": self._errors, "turns": self._turns}
        return replace(score, parts={**score.parts, **{k: float(v) for k, v in used.items()}})


def result_messages(results: Sequence[Result], *, native: bool) -> tuple[Message, ...]:
    """The reply to a turn with calls: a tool message a call, or one user message for all."""
    if native:
        return tuple(Message("tool", f"Error: {r.text}" if r.is_error else r.text) for r in results)
    lines = (f"{'Error' if r.is_error else 'Result'}: {r.text}" for r in results)
    return (Message("user", "\n".join(lines)),)


def tool_preface(
    rule: str,
    toolset: Toolset[StateT],
    *,
    native: bool,
    examples: Sequence[tuple[str, StateT, Sequence[str]]] = (),
) -> tuple[Message, ...]:
    """What stands before the question: the rule, the tools, worked examples.

    Args:
        rule: what to do and where the answer goes.
        toolset: described in the system prompt, unless ``native``.
        native: whether the chat template shows the tools.
        examples: of each its question, the state to work on, and the turns that solve it. The
            results in between are the tools' own, so no example can be wrong about them.
    """
    system = rule
    if not native and toolset.tools:
        how = "" if examples else f"To call a tool write {CALL_FORM}\n"
        system = f"{rule}\n{how}Tools:\n{toolset.described}"
    shown: list[Message] = []
    for question, state, turns in examples:
        shown.append(Message("user", question))
        for text in turns:
            shown.append(_assistant(text, native))
            results = toolset.answer_turn(state, text)
            shown.extend(result_messages(results, native=native) if results else ())
    return (Message("system", system), *shown)


def _assistant(text: str, native: bool) -> Message:
    """A turn of the example; a template that shows tools writes the calls in its own way."""
    calls = tuple(call for call in read_tool_calls(text) if call is not None) if native else ()
    return Message("assistant", text.partition(OPEN)[0].rstrip() if calls else text, calls)


def _schema(hint: Any) -> dict[str, Any] | None:
    if get_origin(hint) is Annotated:
        inner, about = get_args(hint)[:2]
        schema = _schema(inner)
        return None if schema is None else {**schema, "description": about}
    if get_origin(hint) is Literal:
        return {"type": "string", "enum": list(get_args(hint))}
    if get_origin(hint) is list:
        items = _schema(get_args(hint)[0])
        return None if items is None else {"type": "array", "items": items}
    return {"type": _JSON_TYPES[hint]} if hint in _JSON_TYPES else None


def _fits(schema: Mapping[str, Any], value: Any) -> bool:
    if schema["type"] == "array":
        return (
            isinstance(value, list)
            and len(value) <= MAX_ITEMS
            and all(_fits(schema["items"], item) for item in value)
        )
    return _IS[schema["type"]](value) and ("enum" not in schema or value in schema["enum"])


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(json.dumps(choice) for choice in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema["type"])


def _cut(text: str) -> str:
    return text if len(text) <= MAX_RESULT else text[:MAX_RESULT] + " … (cut)"
