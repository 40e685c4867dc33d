"""verifiers up to 0.3: its own rollout loop and rubric run; only the model is ours."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from .conversation import Conversation, Outcome, Said, Sessions
from .errors import Refused
from .verifiers_door import key_of

# What needs a service, a container or a second model.
APART = {
    "SandboxEnv",
    "PythonEnv",
    "CliAgentEnv",
    "HarborEnv",
    "BrowserEnv",
    "MCPEnv",
    "OpenEnvEnv",
}


class V0Side:
    def __init__(self) -> None:
        self.sessions = Sessions()
        self._vf: Any = importlib.import_module("verifiers")
        self._types: Any = importlib.import_module("verifiers.types")
        self._env: Any = None
        self._rows: dict[str, list[dict[str, Any]]] = {}

    async def hello(self, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        env = self._env = self._vf.load_environment(name, **options["args"])
        self._refuse()
        for part, build in (("train", env.build_dataset), ("eval", env.build_eval_dataset)):
            rows = build()
            if rows is not None:
                taken = rows.select(range(min(len(rows), options["limit"])))
                self._rows[part] = taken.to_list()
        weights = list(env.rubric._get_reward_weights())
        keys = {
            part: [key_of(r.get("prompt"), r.get("answer"), r.get("info")) for r in rows]
            for part, rows in self._rows.items()
        }
        return {
            "keys": keys,
            "full": sum(w for w in weights if w > 0) or None,
            "max_turns": getattr(env, "max_turns", -1),
        }

    def _refuse(self) -> None:
        env = self._env
        apart = APART & {c.__name__ for c in type(env).__mro__}
        if apart:
            raise Refused("unfit", f"{apart.pop()} needs a sandbox or a service")
        rubrics = [env.rubric, *getattr(env.rubric, "rubrics", ())]
        if any("judge" in getattr(r, "class_objects", {}) for r in rubrics):
            raise Refused("unfit", "its rubric asks a second model to judge")
        if env.rubric.has_group_rewards:
            raise Refused("unfit", "its rubric scores groups of answers, and not an answer")

    async def open(self, part: str, row: int) -> dict[str, Any]:
        given = self._rows[part][row]

        async def play(conversation: Conversation) -> Outcome:
            state = await self._env.rollout(dict(given), self._client(conversation), "minirl", {})
            await self._env.rubric.score_rollout(state)
            await self._env.rubric.cleanup(state)
            error = state.get("error")
            return {
                "reward": state["reward"],
                "parts": dict(state["metrics"] or {}),
                "reason": f"{type(error).__name__}: {error}" if error else "",
            }

        opened = await self.sessions.begin(play)
        answer = given.get("answer")
        return {**opened, "answer": answer if isinstance(answer, str) and answer else None}

    def _client(self, conversation: Conversation) -> Any:
        """A client of theirs whose model is the other side of the pipe."""

        async def get_response(
            _: Any, prompt: Any, model: str, sampling_args: Any, tools: Any = None, **__: Any
        ) -> Any:
            shown = [{"role": m.role, "content": m.content} for m in prompt]
            shown = [{**m, "role": "user" if m["role"] == "text" else m["role"]} for m in shown]
            schemas = [
                {
                    "type": "function",
                    "function": {
                        "name": t.name,
                        "description": t.description,
                        "parameters": t.parameters,
                    },
                }
                for t in tools or ()
            ]
            return self._response(await conversation.respond(shown, schemas))

        async def nothing(*_: Any, **__: Any) -> None:
            return None

        base = importlib.import_module("verifiers.clients").Client
        abstract = dict.fromkeys(base.__abstractmethods__, nothing)
        kind = type("MinirlClient", (base,), {**abstract, "get_response": get_response})
        return kind(None)

    def _response(self, said: Said) -> Any:
        calls = [
            self._types.ToolCall(id=f"call_{i}", name=name, arguments=arguments)
            for i, (name, arguments) in enumerate(said.calls)
        ]
        message = self._types.ResponseMessage(
            content=said.content,
            tool_calls=calls or None,
            finish_reason="tool_calls" if calls else "stop",
            is_truncated=False,
        )
        return self._types.Response(id="minirl", created=0, model="minirl", message=message)


def side() -> V0Side:
    return V0Side()
