"""llama-cpp-python behind the routes of llama-server that minirl asks: in the child only.

llama.cpp's own server is not part of that package. One request is worked on at a time; the cache is
that of the request before.
"""

from __future__ import annotations

import ctypes
import hmac
import json
import math
import sys
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from threading import Lock, Thread
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
BATCH = 512


class Refused(ValueError):
    """A request that cannot be answered."""


class Engine:
    """One model, one conversation at a time.

    Args:
        order: :class:`minirl.export.llama.process.Order` as JSON.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        import llama_cpp
        from llama_cpp import Llama

        options: dict[str, Any] = {}
        if order["exact"]:
            f32 = llama_cpp.GGML_TYPE_F32
            options = {"type_k": f32, "type_v": f32, "flash_attn": False, "swa_full": True}
        if order["threads"]:
            options |= {"n_threads": order["threads"], "n_threads_batch": order["threads"]}
        self._lib = llama_cpp
        self._llama = Llama(
            model_path=order["model"],
            lora_path=order["lora"],
            n_ctx=order["context"],
            n_batch=BATCH,
            verbose=True,
            **options,
        )
        if order["lora"] and not self._llama._lora_adapter:
            # Such a pointer is not None: the package would go on without the adapter.
            raise Refused(f"failed to load lora adapter {order['lora']}")
        self.vocabulary: int = self._llama.n_vocab()
        self.context: int = self._llama.n_ctx()
        self._vocab = llama_cpp.llama_model_get_vocab(self._llama.model)
        self._lock = Lock()

    @property
    def template(self) -> str:
        return str(self._llama.metadata.get("tokenizer.chat_template", ""))

    def tokenize(self, text: str) -> list[int]:
        return list(self._llama.tokenize(text.encode(), add_bos=False, special=True))

    def apply_template(self, asked: dict[str, Any]) -> str:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        if not self.template:
            raise Refused("the file has no chat template")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _raise
        environment.filters["tojson"] = lambda x, indent=None: json.dumps(
            x, ensure_ascii=False, indent=indent
        )
        piece = {
            name: self._piece(id_, special=True).decode(errors="replace") if id_ >= 0 else ""
            for name, id_ in (
                ("bos_token", self._llama.token_bos()),
                ("eos_token", self._llama.token_eos()),
            )
        }
        return environment.from_string(self.template).render(
            messages=asked["messages"],
            tools=asked.get("tools"),
            add_generation_prompt=True,
            **asked.get("chat_template_kwargs", {}),
            **piece,
        )

    def complete(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A record a token, as llama-server streams them."""
        prompt = [int(i) for i in asked["prompt"]]
        if len(prompt) >= self.context:
            raise Refused("the request exceeds the available context size")
        bias = dict(asked.get("logit_bias", ()))
        dice = np.random.default_rng(asked.get("seed", 0))
        written: list[int] = []
        with self._lock:
            for _ in range(min(asked["n_predict"], self.context - len(prompt))):
                logits = self._logits(prompt + written)
                token, shown = _choose(logits, asked, bias, dice)
                written.append(token)
                closed = bool(self._lib.llama_vocab_is_eog(self._vocab, token))
                yield {"token": token, "shown": shown, "closed": closed}
                if closed:
                    return

    def text(self, ids: Sequence[int]) -> str:
        return b"".join(self._piece(i, special=False) for i in ids).decode(errors="replace")

    def _piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(1024)
        size = self._lib.llama_token_to_piece(self._vocab, token, buffer, 1024, 0, special)
        return buffer.raw[: max(size, 0)]

    def _logits(self, ids: list[int]) -> Array:
        """(V,) after ``ids``; what the last request had in common with it is not computed again."""
        llama = self._llama
        known = list(llama.input_ids[: llama.n_tokens])
        same = 0
        while same < min(len(known), len(ids) - 1) and known[same] == ids[same]:
            same += 1
        llama.n_tokens = same  # eval() drops what the cache holds beyond it
        llama.eval(ids[same:])
        pointer = self._lib.llama_get_logits_ith(llama.ctx, -1)
        return np.ctypeslib.as_array(pointer, (self.vocabulary,)).astype(np.float64)


def _choose(
    logits: Array, asked: dict[str, Any], bias: dict[int, float], dice: np.random.Generator
) -> tuple[int, dict[str, Any]]:
    """A token, and its entry of ``completion_probabilities``."""
    plain = _log_softmax(logits)
    biased = logits.copy()
    for token, more in bias.items():
        biased[token] += more
    temperature = asked["temperature"]
    if temperature > 0:
        tempered = _log_softmax(biased / temperature)
        p = _cut(np.exp(tempered), asked["top_k"], asked["top_p"])
        token = int(dice.choice(len(p), p=p / p.sum()))
    else:
        tempered, token = plain, int(biased.argmax())
    if asked.get("post_sampling_probs"):
        return token, {"id": token, "prob": float(math.exp(tempered[token]))}
    best = np.argsort(-plain, kind="stable")[: asked["n_probs"]]
    top = [{"id": int(i), "logprob": float(plain[i])} for i in best]
    return token, {"id": token, "logprob": float(plain[token]), "top_logprobs": top}


def _cut(p: Array, top_k: int, top_p: float) -> Array:
    order = np.argsort(-p, kind="stable")
    keep = np.ones(len(p), dtype=bool)
    if top_k > 0:
        keep[order[top_k:]] = False
    if top_p < 1:
        left = np.where(keep, p, 0.0)[order]
        keep[order[left.cumsum() - left >= top_p * left.sum()]] = False
    return np.where(keep, p, 0.0)


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max()
    return np.asarray(shifted - math.log(np.exp(shifted).sum()))


def _raise(message: str) -> None:
    raise Refused(message)


class _Handler(BaseHTTPRequestHandler):
    """The routes; ``engine`` and ``key`` are set on the subclass that :func:`start` makes."""

    engine: Engine
    key: str
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self._answer(json.loads(self.rfile.read(size) or b"{}"))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: stderr is for what goes wrong."""

    def _answer(self, asked: dict[str, Any]) -> None:
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.key}".encode()):
            return self._send(401, _error("Invalid API Key"))
        try:
            if asked.get("stream"):
                return self._stream(asked)
            return self._send(200, self._route(asked))
        except BrokenPipeError:
            return None
        except Exception as error:  # the asker is told, as llama-server does it
            print(f"E {type(error).__name__}: {error}", file=sys.stderr)
            return self._send(400, _error(f"{type(error).__name__}: {error}"))

    def _route(self, asked: dict[str, Any]) -> dict[str, Any]:
        engine = self.engine
        if self.path == "/props":
            return {
                "default_generation_settings": {"n_ctx": engine.context},
                "chat_template": engine.template,
            }
        if self.path == "/v1/models":
            return {"data": [{"meta": {"n_vocab": engine.vocabulary}}]}
        if self.path == "/tokenize":
            return {"tokens": engine.tokenize(asked["content"])}
        if self.path == "/apply-template":
            return {"prompt": engine.apply_template(asked)}
        if self.path == "/completion":
            steps = list(engine.complete(asked))
            return {
                "tokens": [s["token"] for s in steps],
                "completion_probabilities": [s["shown"] for s in steps],
                "stop_type": "eos" if steps and steps[-1]["closed"] else "limit",
            }
        raise Refused(f"no such route: {self.path}")

    def _stream(self, asked: dict[str, Any]) -> None:
        """A chat completion as server-sent events."""
        engine = self.engine
        prompt = engine.tokenize(engine.apply_template(asked))
        steps = engine.complete(
            {**asked, "prompt": prompt, "n_predict": asked["max_tokens"], "n_probs": 0}
        )
        first = next(steps)  # a refusal comes before the headers
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        ids: list[int] = []
        said = ""
        for step in chain([first], steps):
            ids.append(step["token"])
            text = engine.text(ids)
            if not text.endswith("\ufffd"):  # else a character is not whole yet
                event = {"choices": [{"delta": {"content": text[len(said) :]}}]}
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                said = text
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


def start(order: dict[str, Any], host: str) -> tuple[str, ThreadingHTTPServer]:
    """Load the model and serve it on a free port; the address, and what must be kept alive."""
    handler = type("Handler", (_Handler,), {"engine": Engine(order), "key": order["key"]})
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{host}:{server.server_address[1]}", server
