"""Where a server is, which of its models is meant, and the key that it alone is shown."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from minirl.errors import ConfigError

KEY_VARIABLES = ("MINIRL_API_KEY", "OPENAI_API_KEY")
CALL = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server and one of its models.

    Attributes:
        base: its URL up to and including ``/v1``; nothing secret stands in it.
        key: the API key; it goes into the header of requests to ``base`` and nowhere else.
        key_from: the environment variable that it was read from.
    """

    base: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_from: str | None = None

    @classmethod
    def at(cls, url: str, model: str, environ: Mapping[str, str]) -> Server:
        """A server by the URL that a user types, with the key from ``environ``.

        Raises:
            ConfigError: the URL, the model's name or the key cannot be used.
        """
        if not model.strip() or not model.isprintable():
            raise ConfigError("--model is no name", got=repr(model))
        name = next((v for v in KEY_VARIABLES if environ.get(v, "").strip()), None)
        key = environ[name].strip() if name else None
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigError(
                f"the key in {name} cannot be put into a header",
                expected="printable ASCII characters without spaces",
                fix=f"set {name} anew",
            )
        return cls(base_url(url), model.strip(), key, name)

    @property
    def url(self) -> str:
        """Where chat completions are asked for."""
        return self.base + CALL

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, so that no proxy may come between."""
        host = urlsplit(self.base).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def exposes_key(self) -> bool:
        """Whether the key would cross a network in the clear."""
        return self.key is not None and self.base.startswith("http:") and not self.is_local


def base_url(url: str) -> str:
    """The base of a server's API from what a user types: with or without ``/v1``, or the whole
    address of its chat completions.

    Raises:
        ConfigError: it is no URL of http or https, or it carries a password, a query or a fragment.
    """
    example = "for example http://localhost:8000/v1"
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or parts.scheme not in ("http", "https") or not host or "\\" in url:
        raise ConfigError(
            "--endpoint is no URL of http or https", expected=example, got=f"{url[:200]}"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "--endpoint carries a name or a password, and it would be written into the run",
            fix=f"leave it out; a key is read from {' or '.join(KEY_VARIABLES)}",
        )
    if parts.query or parts.fragment or any(c.isspace() for c in url.strip()):
        raise ConfigError("--endpoint has a query or a space in it", expected=example)
    path = parts.path.rstrip("/").removesuffix(CALL).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"
