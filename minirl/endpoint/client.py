"""Asking a server: time-outs, retries, and what its refusals mean."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from minirl.endpoint.address import KEY_VARIABLES, Server
from minirl.endpoint.dialect import Dialect, adapted
from minirl.endpoint.wire import Completion, Malformed, Question, read_completion
from minirl.errors import EndpointError

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
MOST_BYTES = 64 * 2**20  # of one answer
QUOTED = 200  # characters of an answer in an error
LONG_KEY = 12  # a shorter one may be an ordinary word, such as EMPTY


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds.

    Attributes:
        total: for one answer, from the first byte sent to the last received.
        connect: for a connection.
        retries: how often one request is sent again.
        first, longest: the pause before the first retry, which doubles, and its bound. Each pause
            is drawn between half of that and all of it.
        told: longest pause that a server may ask for.
    """

    total: float = 300.0
    connect: float = 10.0
    retries: int = 5
    first: float = 0.5
    longest: float = 30.0
    told: float = 120.0

    def pause(self, retry: int) -> float:
        """Before retry number ``retry``, from 0."""
        return float(min(self.longest, self.first * 2.0**retry) * random.uniform(0.5, 1.0))


class Client:
    """A connection pool to one server, for use in one event loop.

    Args:
        dialect: what is known of the server's parameters; it is learned on.
        notify: told what a person should know, once each.

    Attributes:
        stopping: set to end retries: what is on its way may still arrive.
    """

    def __init__(
        self,
        server: Server,
        patience: Patience,
        dialect: Dialect,
        *,
        connections: int,
        notify: Callable[[str], None],
    ) -> None:
        self.server = server
        self.patience = patience
        self.dialect = dialect
        self.stopping = asyncio.Event()
        self.notify = notify
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if server.key:
            headers["Authorization"] = f"Bearer {server.key}"
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(patience.total, connect=patience.connect, pool=None),
            limits=httpx.Limits(max_connections=connections),
            follow_redirects=False,  # the key is for this server alone
            trust_env=not server.is_local,  # no proxy before this machine's own server
            # Without TLS there is no certificate to check, and reading the roots takes a while.
            verify=not (server.is_local and server.base.startswith("http:")),
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(self, question: Question) -> Completion:
        """Put a question until there is an answer.

        Raises:
            EndpointError: the server refuses, or the retries are used up; with what it said.
        """
        retry = 0
        while True:
            wait: float | None = None
            dialect = self.dialect
            try:
                status, headers, said = await self._post(dialect, question)
                if status == 200:
                    return read_completion(said, question)
                failure = f"the server answered {status}: {quoted(said)}"
            except Malformed as error:
                failure = f"the server's answer is no chat completion: {error}: {quoted(said)}"
            except (TimeoutError, httpx.TimeoutException):
                failure = f"no answer within {self.patience.total:g} s"
            except httpx.HTTPError as error:
                failure = f"{type(error).__name__}: {str(error) or 'the connection broke'}"
            else:
                if status in (400, 422) and self._adapt(dialect, question, said):
                    continue
                if status not in RETRIED:
                    raise self._refused(status, headers, said)
                wait = self._told(headers, failure)
            if retry >= self.patience.retries or self.stopping.is_set():
                times = "1 retry" if retry == 1 else f"{retry} retries"
                raise EndpointError(
                    f"{self.server.url} fails, after {times}",
                    got=failure,
                    fix="see that the server runs and is not overloaded",
                )
            await self._pause(wait if wait is not None else self.patience.pause(retry))
            retry += 1

    async def _post(self, dialect: Dialect, question: Question) -> tuple[int, httpx.Headers, str]:
        """Status, headers, and the body as text, in which the key does not stand."""
        async with asyncio.timeout(self.patience.total):
            body = dialect.body(question)
            async with self._http.stream("POST", self.server.url, json=body) as response:
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > MOST_BYTES:
                        raise httpx.DecodingError(f"an answer of more than {MOST_BYTES} bytes")
        text = b"".join(parts).decode(errors="replace")
        if self.server.key and len(self.server.key) >= LONG_KEY:
            text = text.replace(self.server.key, "[key]")
        return response.status_code, response.headers, text

    def _adapt(self, used: Dialect, question: Question, refusal: str) -> bool:
        """Learn from a refusal; whether to ask again."""
        if used != self.dialect:  # another request has learned meanwhile
            return True
        found = adapted(used, question, refusal)
        if found is None:
            return False
        self.dialect, said = found
        self.notify(f"note: {said}")
        return True

    def _refused(self, status: int, headers: httpx.Headers, said: str) -> EndpointError:
        server = self.server
        fix = None
        if 300 <= status < 400:
            target = quoted(headers.get("location", "nowhere"))
            return EndpointError(
                f"{server.url} redirects to {target}, and redirects are not followed",
                fix="give that as --endpoint, if you trust it with your key",
            )
        if status in (401, 403):
            have = f"the key in {server.key_from} is refused" if server.key else "it wants a key"
            fix = f"{have}: set {KEY_VARIABLES[0]}"
        elif status == 404:
            fix = f"see that --model {server.model} is served there, and that the URL is right"
        elif status in (400, 413, 422):
            fix = "change what it complains of with --set (sampling.max_tokens, ...), or the server"
        return EndpointError(
            f"{server.url} refuses the request",
            got=f"the server answered {status}: {quoted(said)}",
            fix=fix,
        )

    def _told(self, headers: httpx.Headers, failure: str) -> float | None:
        """The pause that a server asks for, in seconds.

        Raises:
            EndpointError: it is too long.
        """
        wait = retry_after(headers.get("retry-after"), datetime.now(UTC))
        if wait is not None and wait > self.patience.told:
            raise EndpointError(
                f"{self.server.url} asks to wait {wait:.0f} s",
                got=failure,
                fix="go on after that",
            )
        return wait

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110, 10.2.3); None where it is none."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def quoted(text: str) -> str:
    """The beginning of what a server said, fit to be shown."""
    flat = " ".join(text[: 4 * QUOTED].split())
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in flat[:QUOTED])
    return (shown or "(nothing)") + ("…" if len(flat) > QUOTED or len(text) > 4 * QUOTED else "")
