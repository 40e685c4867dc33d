"""`--watch`: the page on this machine's own address, renewed when the run directory changes."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from minirl.errors import ConfigError
from minirl.report.page.gather import gather, inputs
from minirl.report.page.html import render, script_json
from minirl.rundir import RunDir, write_text

ADDRESS = "127.0.0.1"
LOOK_EVERY = 0.5  # seconds between looks at the files
REST = 3  # after a renewal, so many times what it took: a big run must not keep a core busy


@dataclass(frozen=True, slots=True)
class Served:
    """One state of the page: all of it is of the same version."""

    version: str
    html: bytes
    data: bytes


class Page:
    """The page of a run: written to a file and, where it is watched, kept for readers."""

    def __init__(self, run: RunDir, target: Path, *, watched: bool = False) -> None:
        self._run = run
        self._target = target
        self._watched = watched
        self._seen: object = None
        self._count = 0
        self.served = Served("0", b"", b"")
        self.size = 0

    def renew(self) -> dict[str, Any]:
        """Gather, write the file, and say what is in it."""
        self._seen = self._state()  # before the files are read: what changes meanwhile comes again
        found = gather(self._run)
        text = render(found.data)
        write_text(self._target, text)
        self.size = len(text.encode())
        if self._watched:
            self._count += 1
            # A page that an earlier process served must not take this one's for its own.
            version = f"{time.time_ns():x}-{self._count}"
            watched = render(found.data, watch=version)
            self.served = Served(version, watched.encode(), script_json(found.data).encode())
        return found.summary()

    def stale(self) -> bool:
        """Whether a file has changed since the last renewal. A run that is just being replaced is
        waited for.
        """
        return self._run.exists and self._state() != self._seen

    def _state(self) -> list[tuple[str, int, int]]:
        state = []
        for path in inputs(self._run):
            try:
                found = path.stat()
            except OSError:
                continue
            state.append((str(path), found.st_mtime_ns, found.st_size))
        return state


def serve(page: Page, port: int, *, started: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        started: called with the address once it answers.

    Raises:
        ConfigError: the port is taken.
    """
    try:
        server = _Server((ADDRESS, port), page)
    except OSError as error:
        raise ConfigError(
            f"port {port} cannot be served on: {error.strerror}", fix="another --port, or none"
        ) from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        started(f"http://{ADDRESS}:{server.server_address[1]}/")
        while True:
            time.sleep(LOOK_EVERY)
            if page.stale():
                began = time.monotonic()
                page.renew()
                time.sleep(REST * (time.monotonic() - began))
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], page: Page) -> None:
        super().__init__(address, _Handler)
        self.page = page

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that has gone away is no news; anything else is a fault of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Three paths, for GET alone, and only under the names of this machine."""

    server_version = "minirl"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        port = self.server.server_address[1]
        # Another site's name may be made to point here (DNS rebinding); it would read the run.
        if self.headers.get("Host") not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
            self._answer(403, "text/plain", b"this page is served under 127.0.0.1 only\n")
            return
        state = self.server.page.served
        if self.path == "/":
            self._answer(200, "text/html", state.html)
        elif self.path == "/version":
            self._answer(200, "application/json", json.dumps({"version": state.version}).encode())
        elif self.path == "/data":
            self._answer(200, "application/json", state.data)
        else:
            self._answer(404, "text/plain", b"there is only /\n")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Without the request quoted, as the standard's page has it."""
        self._answer(code, "text/plain", b"no\n")

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal is for the run."""

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
