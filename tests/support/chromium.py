"""A headless Chromium, spoken to in its DevTools protocol over a pair of pipes: no port, no driver,
no package.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # as root, in a container; the pages are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
INSTALL = "no Chromium here: `apt-get install chromium`, or set CHROMIUM to a browser's path"


def find_chromium() -> str | None:
    """The browser's path; CHROMIUM names another."""
    named = os.environ.get("CHROMIUM")
    found = (shutil.which(name) for name in ([named] if named else NAMES))
    return next((path for path in found if path), None)


class Browser:
    """One tab."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, come: int) -> None:
        self._process, self._to, self._from = process, to, come
        self._numbers = itertools.count(1)
        self._held = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        opened = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = opened["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command, and its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read(timeout=60)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> float:
        """Load a page and wait until it says that it is drawn; returns the seconds it took."""
        self.resize(width, height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.events.clear()
        began = time.monotonic()
        self.call("Page.navigate", url=url)
        self.wait(
            f"location.href === {json.dumps(url)} && "
            "document.documentElement?.dataset.ready === 'yes'"
        )
        return time.monotonic() - began

    def resize(self, width: int, height: int = 900) -> None:
        """The size of the window, as small as that of a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 60)))")

    def value(self, expression: str) -> Any:
        """What an expression is, as JSON; a promise's result."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Until a condition holds."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {condition}; {self.complaints()}")
            time.sleep(0.05)

    def complaints(self) -> list[str]:
        """What the console has of errors and warnings, broken content security policies included,
        and dialogs that were opened.
        """
        found = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in (
                "error",
                "warning",
                "assert",
            ):
                found.append(json.dumps(params["args"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in (
                "error",
                "warning",
            ):
                found.append(json.dumps(params["entry"]))
            elif event["method"] == "Page.javascriptDialogOpening":
                found.append(f"dialog: {params['message']}")
        return found

    def requested(self) -> list[str]:
        """Every address that was asked for."""
        return [
            e["params"]["request"]["url"]
            for e in self.events
            if e["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path, *, clip: dict[str, float] | None = None) -> None:
        """The whole page, or a part of it, as a PNG."""
        options: dict[str, Any] = {"captureBeyondViewport": True}
        if clip is None:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"]}
        data = self.call("Page.captureScreenshot", clip={**clip, "scale": 1}, **options)["data"]
        path.write_bytes(base64.b64decode(data))

    def _read(self, timeout: float) -> dict[str, Any]:
        while b"\0" not in self._held:
            if not select.select([self._from], [], [], timeout)[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self._from, 1 << 20)
            if not part:
                raise RuntimeError(f"the browser has ended: {self._process.poll()}")
            self._held += part
        message, _, self._held = self._held.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        if "method" in answer:
            self.events.append(answer)
        return answer


def _pipe() -> tuple[int, int]:
    """A pipe above descriptors 3 and 4, which the browser's own come to lie on."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return high[0], high[1]


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with a new, empty profile.

    Args:
        profile: an empty directory.
    """
    program = find_chromium()
    assert program, INSTALL
    to_read, to = _pipe()
    come, from_write = _pipe()
    # The browser reads commands on descriptor 3 and answers on 4.
    shell = f'exec "$0" "$@" 3<&{to_read} 4>&{from_write}'
    process = subprocess.Popen(
        ["/bin/bash", "-c", shell, program, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(to_read, from_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(from_write)
    browser = None
    try:
        browser = Browser(process, to, come)
        yield browser
    finally:
        with contextlib.suppress(Exception):
            if browser:
                browser._session = None
                browser.call("Browser.close")
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(to)
        os.close(come)
