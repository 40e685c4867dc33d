"""An environment of OpenEnv: a class in this process, or a server over OpenEnv's own client."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import itertools
import json
import typing
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import Refused

SAME = 3  # seeds that are played twice, to see whether the opening depends on them alone
HIDDEN = ("episode_id", "step_count")  # of a state: names of this attempt, and not of the problem


@dataclass(frozen=True)
class Seen:
    """What one reset or step showed."""

    observation: dict[str, Any]
    reward: Any
    done: bool


class Play(Protocol):
    """One attempt, in process or over the client.

    Attributes:
        refusals: what ``step`` raises when it is the action that is wrong.
    """

    refusals: type[Exception]

    async def reset(self, seed: int) -> Seen: ...

    async def step(self, action: dict[str, Any]) -> Seen: ...

    async def state(self) -> dict[str, Any]: ...

    async def close(self) -> None: ...


class InProcess:
    refusals: type[Exception] = Exception  # a bad action and its own fault cannot be told apart

    def __init__(self, cls: Any, action: Any, args: Mapping[str, Any]) -> None:
        self._env, self._action = cls(**args), action

    async def reset(self, seed: int) -> Seen:
        takes = inspect.signature(self._env.reset).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in takes.values())
        return _seen(
            await self._env.reset_async(**({"seed": seed} if anything or "seed" in takes else {}))
        )

    async def step(self, action: dict[str, Any]) -> Seen:
        return _seen(await self._env.step_async(self._action.model_validate(action)))

    async def state(self) -> dict[str, Any]:
        state = self._env.state
        return dict(state.model_dump(mode="json"))

    async def close(self) -> None:
        self._env.close()


class Served:
    refusals: type[Exception] = RuntimeError  # its client makes one of every error told

    def __init__(self, url: str, timeout_s: float) -> None:
        client: Any = importlib.import_module("openenv.core").GenericEnvClient
        self._client = client(base_url=url, message_timeout_s=timeout_s)

    async def reset(self, seed: int) -> Seen:
        await self._client.connect()
        return self._read(await self._client.reset(seed=seed))

    async def step(self, action: dict[str, Any]) -> Seen:
        return self._read(await self._client.step(action))

    async def state(self) -> dict[str, Any]:
        return dict(await self._client.state())

    async def close(self) -> None:
        await self._client.close()

    def _read(self, result: Any) -> Seen:
        return Seen(dict(result.observation), result.reward, bool(result.done))


@dataclass
class Session:
    play: Play
    steps: int = 0
    total: float = 0.0


class OpenEnvSide:
    def __init__(self) -> None:
        self._options: Mapping[str, Any] = {}
        self._schema: dict[str, Any] = {}
        self._cls: Any = None
        self._action: Any = None
        self._sessions: dict[int, Session] = {}
        self._numbers = itertools.count()

    async def hello(self, options: Mapping[str, Any]) -> dict[str, Any]:
        self._options = options
        try:
            importlib.import_module("openenv.core")
        except ModuleNotFoundError:
            raise Refused("missing", "openenv-core") from None
        target = options["target"]
        if "://" in target:
            self._schema = _served_schema(target)
        else:
            self._cls = _load(target)
            self._action = _load(options["action"]) if options["action"] else _action_of(self._cls)
            self._schema = self._action.model_json_schema()
        self._field()
        keys = [await self._identity(seed) for seed in range(options["tasks"])]
        again = [await self._identity(seed) for seed in range(min(SAME, len(keys)))]
        notices = []
        if again != keys[: len(again)]:
            notices.append("its openings are not a function of the seed: tasks are not repeatable")
        if len(set(keys)) < len(keys):
            notices.append(
                f"{len(keys)} seeds show {len(set(keys))} different openings: tasks are told apart "
                "by their seeds; whether train and test differ in content cannot be seen"
            )
        if notices:
            keys = [f"seed {seed}" for seed in range(len(keys))]
        return {"keys": {"train": keys}, "max_turns": options["max_turns"], "notices": notices}

    async def open(self, part: str, row: int) -> dict[str, Any]:
        session = Session(self._begin())
        try:
            seen = await session.play.reset(row)
        except BaseException:
            await session.play.close()
            raise
        number = next(self._numbers)
        self._sessions[number] = session
        messages = [{"role": "user", "content": self._shown(seen)}]
        if self._options["instructions"]:
            messages.insert(0, {"role": "system", "content": self._options["instructions"]})
        return {"session": number, "messages": messages, "tools": [], "answer": None}

    async def step(self, session: int, content: str, calls: list[list[str]]) -> dict[str, Any]:
        attempt = self._sessions[session]
        action = self._read(content)
        if action is None:
            return await self._end(session, 0.0, "no action in it", malformed=1.0)
        try:
            seen = await attempt.play.step(action)
        except attempt.play.refusals as error:
            return await self._end(
                session, 0.0, f"{type(error).__name__}: {error}"[:500], malformed=1.0
            )
        attempt.steps += 1
        reward = float(seen.reward) if isinstance(seen.reward, int | float) else 0.0
        attempt.total += reward
        if seen.done or attempt.steps >= self._options["max_turns"]:
            final = attempt.total if self._options["reward"] == "sum" else reward
            return await self._end(session, final, "" if seen.done else "its turns are used up")
        return {"messages": [{"role": "user", "content": self._shown(seen)}]}

    async def close(self, session: int) -> dict[str, Any]:
        attempt = self._sessions.pop(session, None)
        if attempt:
            await attempt.play.close()
        return {}

    async def _end(
        self, session: int, reward: float, reason: str, malformed: float = 0.0
    ) -> dict[str, Any]:
        attempt = self._sessions[session]
        parts = {"total": attempt.total, "steps": float(attempt.steps), "malformed": malformed}
        await self.close(session)
        return {"done": {"reward": reward, "parts": parts, "reason": reason}}

    def _begin(self) -> Play:
        if self._cls is None:
            return Served(self._options["target"], self._options["timeout_s"])
        return InProcess(self._cls, self._action, self._options["args"])

    async def _identity(self, seed: int) -> str:
        """A digest of the problem that a seed opens: what it shows, and its state."""
        play = self._begin()
        try:
            seen = await play.reset(seed)
            state = {k: v for k, v in (await play.state()).items() if k not in HIDDEN}
        finally:
            await play.close()
        text = json.dumps([seen.observation, state], sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]

    def _shown(self, seen: Seen) -> str:
        """An observation as text: the chosen field, its only text, or all of it as JSON."""
        field = self._options["observation_field"]
        if field:
            if field not in seen.observation:
                raise Refused(
                    "config", f"its observations have no {field!r}: {sorted(seen.observation)}"
                )
            value = seen.observation[field]
            return value if isinstance(value, str) else json.dumps(value, default=str)
        values = [v for v in seen.observation.values() if v not in (None, "", [], {})]
        if len(values) == 1 and isinstance(values[0], str):
            return values[0]
        return json.dumps(seen.observation, sort_keys=True, ensure_ascii=False, default=str)

    def _field(self) -> str | None:
        """The action's one field of text; None where an action is a JSON object."""
        fields = {k: v for k, v in self._schema.get("properties", {}).items() if k != "metadata"}
        chosen = self._options["action_field"]
        if chosen:
            if chosen not in fields:
                raise Refused("config", f"its actions have no field {chosen!r}: {sorted(fields)}")
            return str(chosen)
        required = [k for k in self._schema.get("required", ()) if k in fields] or list(fields)
        if len(required) == 1 and fields[required[0]].get("type") == "string":
            return str(required[0])
        return None

    def _read(self, text: str) -> dict[str, Any] | None:
        """The action in what the model wrote; None where there is none."""
        last = text.strip().rpartition("\n")[2].strip()
        field = self._field()
        if field is not None:
            said = text.strip() if self._options["action_text"] == "all" else last
            return {field: said} if said else None
        try:
            value = json.loads(last)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


def _seen(observation: Any) -> Seen:
    shown = observation.model_dump(mode="json", exclude={"reward", "done", "metadata"})
    return Seen(shown, observation.reward, bool(observation.done))


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as missing:
        raise Refused("missing", missing.name or module) from None
    except AttributeError:
        raise Refused("config", f"{module} has no {name!r}") from None


def _action_of(cls: Any) -> Any:
    """The action type of a class that is an ``Environment[Action, Observation, State]``."""
    action = importlib.import_module("openenv.core.env_server").Action
    for base in cls.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            for argument in typing.get_args(generic):
                if isinstance(argument, type) and issubclass(argument, action):
                    return argument
    raise Refused(
        "config", "its type of action is not declared: set the option action = 'module:Class'"
    )


def _served_schema(url: str) -> dict[str, Any]:
    """The schema of its actions, which a server tells at /schema."""
    address = url.replace("ws://", "http://").replace("wss://", "https://").rstrip("/")
    try:
        with urllib.request.urlopen(f"{address}/schema", timeout=30) as answer:
            schema: dict[str, Any] = json.loads(answer.read(2**24))["action"]
    except (OSError, ValueError, KeyError) as error:
        raise Refused("config", f"no OpenEnv server at {url}: {error}") from None
    return schema


def side() -> OpenEnvSide:
    return OpenEnvSide()
