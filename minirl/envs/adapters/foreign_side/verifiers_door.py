"""An environment of verifiers: v0 (``load_environment``, up to 0.3) or v1 (a taskset, 0.4)."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .errors import Refused


class VerifiersSide:
    """Chooses the API by what is installed and by what the package offers."""

    def __init__(self) -> None:
        self._inner: Any = None

    async def hello(self, options: Mapping[str, Any]) -> dict[str, Any]:
        name = options["package"]
        try:
            installed = version("verifiers")
        except PackageNotFoundError:
            raise Refused("missing", "verifiers") from None
        module_name = name.rsplit("/", 1)[-1].partition("@")[0].replace("-", "_").lower()
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as missing:
            raise Refused("missing", missing.name or module_name) from None
        classic = hasattr(module, "load_environment") and installed.split(".") < ["0", "4"]
        if not classic and installed.split(".") < ["0", "4"]:
            raise Refused("unfit", f"{name} has no load_environment; tasksets need verifiers 0.4")
        inner = importlib.import_module(
            ".verifiers_v0" if classic else ".verifiers_v1", __package__
        )
        self._inner = inner.side()
        facts = await self._inner.hello(name, options)
        return {"api": "v0" if classic else "v1", "version": installed, **facts}

    async def open(self, part: str, row: int) -> dict[str, Any]:
        opened: dict[str, Any] = await self._inner.open(part, row)
        return opened

    async def step(self, session: int, content: str, calls: list[list[str]]) -> dict[str, Any]:
        answer: dict[str, Any] = await self._inner.sessions.step(session, content, calls)
        return answer

    async def close(self, session: int) -> dict[str, Any]:
        closed: dict[str, Any] = await self._inner.sessions.close(session)
        return closed


def side() -> VerifiersSide:
    return VerifiersSide()


def key_of(*content: Any) -> str:
    """A short digest of a row's content."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
