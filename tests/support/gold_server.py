"""An OpenAI-compatible server whose answers are prepared: a conversation's opening picks them.

The plan is a JSON file: the opening's last user message -> a list of turns, each a text or a list
of tool calls ``[name, arguments]``. What is not in it is answered with "no idea".
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    plan: dict[str, list[Any]]

    def log_message(self, *_: object) -> None:
        return

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        turns, spoken = self._turns(body["messages"])
        turn = turns[spoken] if spoken < len(turns) else "no idea"
        message: dict[str, Any] = {"role": "assistant", "content": turn}
        if isinstance(turn, list):
            calls = [
                {
                    "id": f"call_{spoken}_{i}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(arguments)},
                }
                for i, (name, arguments) in enumerate(turn)
            ]
            message = {"role": "assistant", "content": "", "tool_calls": calls}
        self._send(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        )

    def _turns(self, messages: list[dict[str, Any]]) -> tuple[list[Any], int]:
        """The prepared turns, and how many of them were spoken since the opening."""
        for position, message in enumerate(messages):
            if message["role"] == "user" and message["content"] in self.plan:
                spoken = sum(m["role"] == "assistant" for m in messages[position:])
                return self.plan[message["content"]], spoken
        return [], 0

    def _send(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main(plan: str) -> None:
    with open(plan, encoding="utf-8") as file:
        Handler.plan = json.load(file)
    server = _Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
