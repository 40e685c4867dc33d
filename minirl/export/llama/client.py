"""Asking llama.cpp: token ids in, token ids and log-probabilities out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from queue import SimpleQueue
from typing import Any, TypeVar

import httpx

from minirl.errors import ModelError
from minirl.export.llama.process import Child
from minirl.export.llama.read import Completion, Next, Scale, read_completion, read_next, tempered

QUOTED = 300  # characters of a refusal in an error
LEAST_SHARE = 16  # prefixes for which a further slot is worth its start from nothing
SHOWN = 256  # likeliest tokens asked for where the normalizer has to be estimated
# Every knob of llama.cpp's sampling that changes the distribution stands here: its defaults do.
NEUTRAL: Mapping[str, Any] = {
    "samplers": ["temperature", "top_k", "top_p"],
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "xtc_probability": 0.0,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "dry_multiplier": 0.0,
    "dynatemp_range": 0.0,
    "mirostat": 0,
    "ignore_eos": False,
    "cache_prompt": True,
}
Item = TypeVar("Item")
Found = TypeVar("Found")


class LlamaServer:
    """A model that llama.cpp serves; made by :func:`minirl.export.llama.serve`.

    Its methods may be called from several threads.

    Raises:
        ModelError: (from every method) llama.cpp refuses, or has died; with its last words.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._http = httpx.Client(
            base_url=child.address,
            headers={"Authorization": f"Bearer {child.order.key}"},
            timeout=httpx.Timeout(None, connect=10.0),  # a long prompt may take minutes
            # A kept connection may be closed by the server just when it is used again.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,  # no proxy
            verify=False,  # no TLS, and reading the roots takes a while
        )

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def backend(self) -> str:
        """Which llama.cpp it is."""
        return self._child.order.backend

    @property
    def parallel(self) -> int:
        """How many requests are worked on at a time."""
        return self._child.order.parallel

    @cached_property
    def context(self) -> int:
        """Tokens of the longest conversation."""
        settings = self.properties().get("default_generation_settings", {})
        return int(min(self._child.order.context, settings.get("n_ctx", math.inf)))

    @cached_property
    def vocabulary(self) -> int:
        """How many tokens the model knows."""
        return int(self._ask("/v1/models")["data"][0]["meta"]["n_vocab"])

    def properties(self) -> dict[str, Any]:
        """What llama.cpp says about itself and the model: template, context, build."""
        return self._ask("/props")

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text in which control tokens count as such; no beginning of text is added."""
        asked = {"content": text, "add_special": False, "parse_special": True}
        return list(self._ask("/tokenize", asked)["tokens"])

    def apply_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        thinking: bool = False,
    ) -> str:
        """The conversation as the file's own chat template spells it, up to the model's turn."""
        asked = {"messages": list(messages), **_templated(thinking)}
        return str(
            self._ask("/apply-template", asked | ({"tools": tools} if tools else {}))["prompt"]
        )

    def next_tokens(self, prefixes: Sequence[Sequence[int]], top: int) -> list[Next]:
        """The ``top`` likeliest next tokens after each prefix, of the whole softmax.

        A prefix that goes on from the one before it in the list costs its new tokens only.
        llama.cpp sums the normalizer in fp32: with a vocabulary of 49,152 all log-probabilities of
        a place may be off by the same 1e-4.

        Raises:
            ValueError: an empty prefix, or ``top`` below 1.
        """
        if top < 1 or not all(prefixes):
            raise ValueError("next_tokens needs top >= 1 and prefixes of at least one token")

        def follow(chain: Sequence[Sequence[int]], slot: int) -> list[Next]:
            return [self._after(prefix, top, slot) for prefix in chain]

        share = max(LEAST_SHARE, -(-len(prefixes) // self.parallel))
        return [n for found in self.each(follow, chains(prefixes, share)) for n in found]

    def complete(
        self,
        prompt_ids: Sequence[int],
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        top_p: float = 1.0,
        top_k: int = 0,
    ) -> Completion:
        """Continue a conversation until the model closes its turn.

        The same seed gives the same completion, as far as rounding goes: what is computed at the
        same time, or was before, changes the last bits of a logit.

        Args:
            temperature: 0 is greedy.
            seed: its lowest 32 bits count.
            top_p, top_k: 1 and 0 are off.

        Returns:
            ids, the closing one included, and of each the log-probability at ``temperature`` (at 1
            where that is 0), before top-k and top-p cut the tail. With a cut *and* a temperature
            that is neither 0 nor 1 it is an estimate: the likeliest 256 tokens are known, the
            others count as equally likely.
        """
        as_shown = temperature in (0, 1)
        estimated = not as_shown and (top_p < 1 or top_k > 0)
        scale = Scale(temperature, self.vocabulary) if estimated else Scale()
        asked = {
            "n_predict": max_tokens,
            "n_probs": SHOWN if estimated else 1,
            "post_sampling_probs": not (as_shown or estimated),  # then, at the temperature itself
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "seed": seed % 2**32,
        }
        ids, known, stop = read_completion(self._complete(prompt_ids, asked), scale)
        logprobs = [
            self._logprob([*prompt_ids, *ids[:at]], ids[at], temperature or 1.0)
            if lp is None
            else lp
            for at, lp in enumerate(known)
        ]
        return Completion(ids, tuple(logprobs), stop)

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> Iterator[str]:
        """The answer to a conversation, a piece at a time, through the file's own template."""
        asked = {
            **NEUTRAL,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed % 2**32,
            "stream": True,
            "reasoning_format": "none",  # thoughts are part of the text
            **_templated(thinking=False),
        }
        try:
            with self._http.stream("POST", "/v1/chat/completions", json=asked) as response:
                if response.status_code != 200:
                    response.read()
                    raise self._refused("/v1/chat/completions", response)
                for line in response.iter_lines():
                    if line.startswith("data: {"):
                        event = json.loads(line.removeprefix("data: "))
                        if "error" in event:
                            raise ModelError("llama.cpp stopped", got=str(event["error"])[:QUOTED])
                        for choice in event.get("choices", ()):
                            if text := choice["delta"].get("content"):
                                yield text
        except httpx.HTTPError as error:
            raise self._child.died() from error

    def each(self, work: Callable[[Item, int], Found], items: Sequence[Item]) -> list[Found]:
        """``work(item, slot)`` for every item, as many at a time as there are slots; in order.

        A slot holds the cache of one conversation; no two pieces of work have the same at a time.
        """
        slots: SimpleQueue[int] = SimpleQueue()
        for slot in range(self.parallel):
            slots.put(slot)

        def in_a_slot(item: Item) -> Found:
            slot = slots.get()
            try:
                return work(item, slot)
            finally:
                slots.put(slot)

        pool = ThreadPoolExecutor(self.parallel)
        try:
            return list(pool.map(in_a_slot, items))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C waits for no answer

    def _after(self, prefix: Sequence[int], top: int, slot: int = -1) -> Next:
        # What is sampled is of no matter here, but where it ends within a character, llama.cpp
        # leaves the probabilities out. These are the model's own, before the bias.
        asked = {
            "n_predict": 1,
            "n_probs": min(top, self.vocabulary),
            "logit_bias": [[self._whole_token, 1e6]],
            "id_slot": slot,
        }
        return read_next(self._complete(prefix, asked), min(top, self.vocabulary))

    @cached_property
    def _whole_token(self) -> int:
        """The id of a token that is at least a whole character."""
        return self.tokenize("a")[0]

    def _logprob(self, prefix: Sequence[int], token: int, temperature: float) -> float:
        for top in (SHOWN, self.vocabulary):
            shown = self._after(prefix, top)
            if token in shown.ids:
                own = shown.logprobs[shown.ids.index(token)]
                return tempered(own, shown.logprobs, temperature, self.vocabulary)
        raise ModelError("llama.cpp wrote a token that it does not know", got=str(token))

    def _complete(self, prompt: Sequence[int], asked: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask(
            "/completion", {**NEUTRAL, "prompt": list(prompt), "return_tokens": True, **asked}
        )

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            if body is None:
                response = self._http.get(path)
            else:
                response = self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise self._child.died() from error
        if response.status_code != 200:
            raise self._refused(path, response)
        answer: dict[str, Any] = response.json()
        return answer

    def _refused(self, path: str, response: httpx.Response) -> ModelError:
        try:
            said = response.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            said = response.text
        return ModelError(
            f"llama.cpp refuses {path} for {self._child.order.model}",
            got=f"{response.status_code}: {str(said)[:QUOTED]}",
        )


def _templated(thinking: bool) -> dict[str, Any]:
    return {"chat_template_kwargs": {"enable_thinking": thinking}}


def chains(prefixes: Sequence[Sequence[int]], longest: int) -> list[list[Sequence[int]]]:
    """Runs of at most ``longest`` prefixes that each go on from the one before."""
    found: list[list[Sequence[int]]] = []
    for prefix in prefixes:
        last = found[-1][-1] if found else prefix
        goes_on = list(prefix[: len(last)]) == list(last)
        if found and goes_on and len(found[-1]) < longest:
            found[-1].append(prefix)
        else:
            found.append([prefix])
    return found
