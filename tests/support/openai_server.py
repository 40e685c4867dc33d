"""A small OpenAI-compatible server in a process of its own, which does what a plan says.

Its "model" solves sums with a known probability, drawn from the request and its seed, so that equal
requests have equal answers. A plan (JSON) changes that, and brings in faults by a request's
number: see :data:`DEFAULT`. ``POST /plan`` sets another one and forgets the log; ``GET /log`` tells
it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-of-the-tests-0123456789"
DEFAULT: dict[str, Any] = {
    "p": 0.5,  # how often a sum is solved
    "n": True,  # whether it is honoured
    "usage": True,  # whether tokens are counted: one a character, and one
    "refuse": [],  # parameters answered with 400
    "wants_max_completion_tokens": False,
    "turns": None,  # messages to answer with, by turn, instead of sums
    "finish": "stop",
    "faults": {},  # request number -> fault
    "always": None,  # a fault of every request
    "delay": 0.0,  # seconds before every answer
    "die_after": None,  # so many answers
}


def solve(question: str) -> int:
    """The value of "What is 3 + 4?"."""
    tree = ast.parse(question.removeprefix("What is ").removesuffix("?"), mode="eval").body
    assert isinstance(tree, ast.BinOp)
    assert isinstance(tree.left, ast.Constant)
    assert isinstance(tree.right, ast.Constant)
    return int(tree.left.value + tree.right.value)


def answer(body: dict[str, Any], choice: int, plan: dict[str, Any]) -> dict[str, Any]:
    """The message of one choice."""
    messages = body["messages"]
    if plan["turns"]:
        spoken = sum(m["role"] == "assistant" for m in messages)
        turn = plan["turns"][min(spoken, len(plan["turns"]) - 1)]
        return dict(turn) if isinstance(turn, dict) else {"role": "assistant", "content": turn}
    key = json.dumps([messages, body.get("seed"), choice])
    right = random.Random(key).random() < plan["p"]
    text = f"Answer: {solve(messages[-1]['content'])}" if right else "no idea"
    return {"role": "assistant", "content": text}


def completion(body: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    n = body.get("n", 1) if plan["n"] else 1
    messages = [answer(body, i, plan) for i in range(n)]
    limit = body.get("max_tokens", body.get("max_completion_tokens"))
    finish = plan["finish"]
    out: dict[str, Any] = {
        "object": "chat.completion",
        "choices": [
            {"index": i, "message": m, "finish_reason": finish} for i, m in enumerate(messages)
        ],
    }
    if plan["usage"]:
        lengths = [
            limit if finish == "length" else len(m.get("content") or "") + 1 for m in messages
        ]
        out["usage"] = {
            "prompt_tokens": sum(len(m["content"] or "") for m in body["messages"]),
            "completion_tokens": sum(lengths),
        }
    return out


class State:
    """The plan, and what came."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = {**DEFAULT, **plan}
        self.lock = threading.Lock()
        self.log: list[dict[str, Any]] = []
        self.active = self.most_active = self.answered = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State
    log_file: str | None

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        if self.path == "/log":
            s = self.state
            self._send(200, {"requests": s.log, "most_active": s.most_active})
        else:
            self._send(404, {"error": {"message": f"no {self.path}"}})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        if self.path == "/plan":
            Handler.state = State(body)
            self._send(200, {})
            return
        s = self.state
        with s.lock:
            number = len(s.log)
            entry = {
                "path": self.path,
                "authorization": self.headers.get("Authorization"),
                "body": body,
                "at": time.monotonic(),
                "answered": False,
            }
            s.log.append(entry)
            s.active += 1
            s.most_active = max(s.most_active, s.active)
        try:
            self._respond(entry, s.plan["always"] or s.plan["faults"].get(str(number)))
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            with s.lock:
                s.active -= 1

    def _complete(self, entry: dict[str, Any]) -> None:
        """Send a good answer and note it, as one; and die if it was the last."""
        s = self.state
        with s.lock:
            self._send(200, completion(entry["body"], s.plan))
            s.answered += 1
            entry["answered"] = True
            if self.log_file:
                with open(self.log_file, "a", encoding="utf-8") as out:
                    out.write(json.dumps(entry) + "\n")
            if s.plan["die_after"] is not None and s.answered >= s.plan["die_after"]:
                time.sleep(0.2)  # for the answer to arrive
                os._exit(1)

    def _respond(self, entry: dict[str, Any], fault: Any) -> None:
        s, body = self.state, entry["body"]
        time.sleep(s.plan["delay"])
        for word in s.plan["refuse"]:
            if word in body:
                error = {"message": f"Unsupported parameter: '{word}'", "param": word}
                self._send(400, {"error": error})
                return
        if s.plan["wants_max_completion_tokens"] and "max_tokens" in body:
            text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            self._send(400, {"error": {"message": text, "param": "max_tokens"}})
        elif fault is None:
            self._complete(entry)
        else:
            self._fault(fault, completion(body, s.plan))

    def _fault(self, fault: dict[str, Any], good: dict[str, Any]) -> None:
        kind = fault["kind"]
        if kind == "hang":
            time.sleep(fault["seconds"])
            self.close_connection = True
        elif kind == "drip":
            self._head(200, 1000)
            for _ in range(1000):
                self.wfile.write(b" ")
                time.sleep(0.05)
        elif kind == "status":
            said = fault.get("body", {"error": {"message": "as planned"}})
            self._send(fault["status"], said, fault.get("headers", {}))
        elif kind == "raw":
            data = fault["text"].encode()
            self._head(200, len(data), {"Content-Type": fault.get("type", "application/json")})
            self.wfile.write(data)
        elif kind == "truncated":
            self._head(200, 10_000)
            self.wfile.write(json.dumps(good).encode()[:50])
            self.close_connection = True
        else:
            raise AssertionError(kind)

    def _head(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()  # lone surrogates as escapes
        self._head(status, len(data), headers)
        self.wfile.write(data)


class OpenAIServer:
    """A running server, seen from a test.

    Args:
        port: 0 takes a free one.
        log_file: where answers that went out are noted, across restarts.
    """

    def __init__(self, port: int = 0, log_file: str = "", **plan: Any) -> None:
        command = [sys.executable, "-I", __file__, "--port", str(port), "--log", log_file]
        self.process = subprocess.Popen(
            [*command, "--plan", json.dumps(plan)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # connections that a test breaks are no news
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def plan(self, **plan: Any) -> None:
        """Another plan, and an empty log."""
        self._call("/plan", json.dumps(plan).encode())

    def log(self) -> dict[str, Any]:
        found: dict[str, Any] = self._call("/log", None)
        return found

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [r["body"] for r in self.log()["requests"]]

    def _call(self, path: str, data: bytes | None) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path, data, timeout=10) as response:
            return json.loads(response.read())

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()


@contextlib.contextmanager
def openai_server(port: int = 0, log_file: str = "", **plan: Any) -> Iterator[OpenAIServer]:
    server = OpenAIServer(port, log_file, **plan)
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--plan", default="{}")
    parser.add_argument("--log", default="")
    given = parser.parse_args()
    Handler.state = State(json.loads(given.plan))
    Handler.log_file = given.log or None
    server = _Server(("127.0.0.1", given.port), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
