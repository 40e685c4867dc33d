"""verifiers 0.4: its own environment plays and scores the episode; only the model is ours.

A small server in this process takes the place of the model's endpoint, and a harness that only
talks takes the place of harnesses that run programs.
"""

from __future__ import annotations

import importlib
import itertools
import ssl
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import ModuleType, new_class
from typing import Any

from .conversation import Conversation, Outcome, Said, Sessions
from .errors import Refused
from .verifiers_door import key_of

HARNESS = "minirl_talk"  # the name under which verifiers finds our harness


class V1Side:
    def __init__(self) -> None:
        self.sessions = Sessions()
        self._vf: Any = importlib.import_module("verifiers.v1")
        self._env: Any = None
        self._tasks: dict[str, list[Any]] = {}
        self._serving = AsyncExitStack()
        self._talking: dict[str, Conversation] = {}
        self._numbers = itertools.count()
        self._url = ""

    async def hello(self, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        vf = self._vf
        _install_harness(vf)
        loaders = importlib.import_module("verifiers.v1.utils.loaders")
        taskset = {"id": name, **options["args"]}
        parts = {"train": taskset}
        if options["eval_args"] is not None:
            parts["eval"] = {**taskset, **options["eval_args"]}
        for part, config in parts.items():
            tasks = loaders.load_taskset(loaders.taskset_config_type(name).model_validate(config))
            self._tasks[part] = list(itertools.islice(iter(tasks), options["limit"]))
        if not any(self._tasks.values()):
            raise Refused("unfit", "its taskset is empty")
        first = next(task for tasks in self._tasks.values() for task in tasks)
        self._refuse(first)
        self._url = await self._serve_model()
        self._env = vf.load_environment(self._config(name, taskset))
        self._refuse_tools(first)
        await self._serving.enter_async_context(self._env.serving())
        weights = [float(getattr(fn, "_vf_weight", 1.0)) for fn in first.hooks("reward")]
        keys = {
            part: [key_of(t.data.model_dump(mode="json", exclude={"idx"})) for t in tasks]
            for part, tasks in self._tasks.items()
        }
        return {"keys": keys, "full": sum(w for w in weights if w > 0) or None, "max_turns": -1}

    def _config(self, name: str, taskset: Mapping[str, Any]) -> Any:
        """The environment's config with one seat, played here, by a harness that only talks."""
        vf = self._vf
        config = vf.resolve_env_config({"taskset": dict(taskset)})
        seats = importlib.import_module("verifiers.v1.configs.agent").agent_config_fields(config)
        if len(seats) != 1:
            raise Refused("unfit", f"it has {len(seats)} agents ({', '.join(seats)})")
        (seat,) = seats
        chosen: dict[str, Any] = {"runtime": {"type": "subprocess"}}
        bundled = vf.default_harness_id(name)
        kind = importlib.import_module("verifiers.v1.utils.loaders").harness_class(bundled)
        if kind.NEEDS_CONTAINER or kind.EXECUTES_CODE:
            chosen["harness"] = {"id": HARNESS}
        return vf.resolve_env_config({"taskset": dict(taskset), seat: chosen})

    def _refuse(self, task: Any) -> None:
        if task.NEEDS_CONTAINER or task.data.image:
            raise Refused("unfit", "its tasks need a container")
        if task.config.judges:
            raise Refused("unfit", "a second model judges its tasks")

    def _refuse_tools(self, task: Any) -> None:
        servers = [
            *task.toolsets(task.config),
            *self._env.taskset.toolsets(self._env.taskset.config),
        ]
        if servers:
            names = ", ".join(type(server).__name__ for server in servers)
            raise Refused("unfit", f"its tools are servers ({names}), which minirl does not run")

    async def open(self, part: str, row: int) -> dict[str, Any]:
        task = self._tasks[part][row]

        async def play(conversation: Conversation) -> Outcome:
            model = f"minirl-{next(self._numbers)}"
            self._talking[model] = conversation
            try:
                client = self._vf.EvalClientConfig(
                    base_url=f"{self._url}/v1", api_key_var="MINIRL_PIPE_KEY"
                )
                context = self._vf.ModelContext(
                    client=client, model=model, sampling=self._vf.SamplingConfig()
                )
                episode = await self._env.run_episode(task, context)
            finally:
                del self._talking[model]
            return _outcome(episode)

        opened = await self.sessions.begin(play)
        answer = getattr(task.data, "answer", None)
        return {**opened, "answer": answer if isinstance(answer, str) and answer else None}

    async def _serve_model(self) -> str:
        web: Any = importlib.import_module("aiohttp.web")

        async def complete(request: Any) -> Any:
            body = await request.json()
            conversation = self._talking[body["model"]]
            said = await conversation.respond(body["messages"], body.get("tools") or [])
            return web.json_response(_completion(body["model"], said))

        app = web.Application(client_max_size=2**28)
        app.router.add_post("/v1/chat/completions", complete)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._serving.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"


def _outcome(episode: Any) -> Outcome:
    errors = [*episode.errors, *(e for t in episode.traces for e in t.errors)]
    told = f"{errors[-1].type}: {errors[-1].message}"[:500] if errors else ""
    if not episode.traces:
        raise RuntimeError(told or "the episode has no trace")
    trace = episode.traces[-1]
    rewards = {name: reward.score for name, reward in trace.rewards.items() if reward}
    return {"reward": trace.reward, "parts": {**trace.metrics, **rewards}, "reason": told}


def _completion(model: str, said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.content}
    if said.calls:
        message["tool_calls"] = [
            {
                "id": f"call_{i}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for i, (name, arguments) in enumerate(said.calls)
        ]
    return {
        "id": "minirl",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if said.calls else "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _install_harness(vf: Any) -> None:
    """A harness of theirs that asks the model once a segment, in this process."""
    openai: Any = importlib.import_module("openai")
    tls = ssl.create_default_context()  # made once: it takes longer than a rollout
    to_wire = importlib.import_module("verifiers.v1.dialects.chat").message_to_wire

    async def launch(
        self: Any,
        ctx: Any,
        trace: Any,
        runtime: Any,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: Any,
    ) -> Any:
        system, prompt = self.resolve_prompt(data)
        messages = [{"role": "system", "content": system}] if system else []
        if isinstance(prompt, str):
            messages.append({"role": "user", "content": prompt})
        else:
            messages.extend(to_wire(message) for message in prompt or ())
        http = openai.DefaultAsyncHttpxClient(verify=tls, timeout=None)
        async with openai.AsyncOpenAI(
            base_url=endpoint, api_key=secret, http_client=http
        ) as client:
            try:
                await client.chat.completions.create(model=ctx.model, messages=messages)
            except openai.APIError as error:
                return vf.ProgramResult(1, "", f"{type(error).__name__}: {error}")
        return vf.ProgramResult(0, "", "")

    says = {
        "APPENDS_SYSTEM_PROMPT": True,
        "SUPPORTS_RESUME": True,
        "EXECUTES_CODE": False,
        "NEEDS_CONTAINER": False,
        "launch": launch,
    }
    kind = new_class(
        "TalkHarness", (vf.Harness[vf.HarnessConfig],), exec_body=lambda body: body.update(says)
    )
    module = ModuleType(HARNESS)
    vars(module).update(TalkHarness=kind, __all__=["TalkHarness"])
    sys.modules[HARNESS] = module


def side() -> V1Side:
    return V1Side()
