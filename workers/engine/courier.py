"""How the shipper's batches reach the console: a port of one method, and the connection that most workers need.

``Direct`` is HTTP/1.1 over asyncio's streams (h11 speaks it). ``proxied.Proxied`` is for workers behind a proxy.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

import certifi
import h11

from workers.engine.clock import Clock

CONNECT_TIMEOUT = 5.0
"""Seconds for the connection, TLS included."""

TIMEOUT = 30.0
"""Seconds for which nothing may move while a batch is sent or an answer awaited."""

KEPT = 5.0
"""Seconds after which an unused connection is not used again: the server may be closing it just then."""

ANSWER_LIMIT = 1 << 20
"""Bytes of an answer; the console's are some hundred."""

_PIECE = 1 << 16
_PIECES = 16


class Unreached(Exception):
    """The console could not be reached, or broke off; the sentence says why."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    content: bytes


class Courier(Protocol):
    """Posts to the console."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One POST; redirects are not followed. Raises Unreached."""
        ...

    async def aclose(self) -> None:
        """Ends the connection."""
        ...


def trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Whom to believe: ``SSL_CERT_FILE``, ``SSL_CERT_DIR``, else certifi's list. Raises OSError for an unusable one."""
    file, directory = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    try:
        if file or not directory:
            context = ssl.create_default_context(cafile=file or certifi.where())
        else:
            context = ssl.create_default_context(capath=directory)
    except OSError as error:
        raise OSError(f"the certificates in {file or directory} cannot be read: {error.strerror}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def is_proxied(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a proxy for anything."""
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    return any(value and name.lower() in proxies for name, value in environ.items())


class _Connection:
    """One that is open, and what has been said on it. What the server says is heard while a request is still on its
    way: one that refuses a batch may answer, and hang up before it has read all of it."""

    def __init__(self, origin: tuple[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.origin = origin
        self.http = h11.Connection(h11.CLIENT)
        self.used = 0.0
        self._writer = writer
        self._heard: asyncio.Queue[bytes | OSError] = asyncio.Queue(_PIECES)
        self._hearing = asyncio.create_task(self._hear(reader))

    @property
    def is_over(self) -> bool:
        """Whether the server has ended it, or speaks without being asked."""
        return not self._heard.empty()

    async def send(self, *events: h11.Event) -> None:
        """Raises OSError when the server does not take them in time; returns early when it has hung up."""
        for event in events:
            self._writer.write(self.http.send(event) or b"")
        with suppress(ConnectionError):
            async with asyncio.timeout(TIMEOUT):
                await self._writer.drain()

    async def receive(self) -> None:
        """What the server says next; raises OSError."""
        async with asyncio.timeout(TIMEOUT):
            data = await self._heard.get()
        if isinstance(data, OSError):
            raise data
        if not data and self.http.their_state is h11.SEND_RESPONSE:
            raise ConnectionResetError("it closed the connection without an answer")
        self.http.receive_data(data)

    def drop(self) -> None:
        """Ends it."""
        self._hearing.cancel()
        self._writer.transport.abort()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(_PIECE):
                await self._heard.put(data)
            await self._heard.put(b"")
        except OSError as error:
            await self._heard.put(error)


class Direct:
    """A ``Courier`` without a proxy; one request at a time. ``environ`` says whom to trust (see ``trust``)."""

    def __init__(self, environ: Mapping[str, str], clock: Clock) -> None:
        self._environ = environ
        self._clock = clock
        self._tls: ssl.SSLContext | None = None
        self._connection: _Connection | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One POST, on the connection of the last one if that was just now."""
        try:
            connection = self._reusable(urlsplit(url)) or await self._connect(urlsplit(url))
            answer = await _exchange(connection, urlsplit(url), headers, body)
        except (OSError, ValueError, h11.ProtocolError) as error:
            raise Unreached(_words(error)) from error
        finally:
            # What did not come to its end must not be taken for the answer to the next request.
            self._keep_if_whole()
        return answer

    async def aclose(self) -> None:
        """Ends the connection."""
        self._drop()

    def _reusable(self, url: SplitResult) -> _Connection | None:
        connection = self._connection
        if connection is None:
            return None
        stale = self._clock.monotonic() - connection.used > KEPT or connection.is_over
        if stale or connection.origin != (url.scheme, url.netloc):
            self._drop()
        return self._connection

    async def _connect(self, url: SplitResult) -> _Connection:
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"{url.geturl()!r} is not a complete http:// or https:// address")
        if url.scheme == "https" and self._tls is None:
            self._tls = trust(self._environ)
        context = self._tls if url.scheme == "https" else None
        port = url.port or (443 if context else 80)
        async with asyncio.timeout(CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(url.hostname, port, ssl=context, happy_eyeballs_delay=0.25)
        self._connection = _Connection((url.scheme, url.netloc), reader, writer)
        return self._connection

    def _keep_if_whole(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if connection.http.our_state is h11.DONE and connection.http.their_state is h11.DONE:
            connection.http.start_next_cycle()
            connection.used = self._clock.monotonic()
        else:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.drop()
            self._connection = None


async def _exchange(connection: _Connection, url: SplitResult, headers: Mapping[str, str], body: bytes) -> Answer:
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    host = url.netloc.rpartition("@")[2].encode("idna" if not url.netloc.isascii() else "ascii").decode()
    head = h11.Request(
        method="POST",
        target=target,
        headers=[("Host", host), ("Content-Length", str(len(body))), *headers.items()],
    )
    await connection.send(head, h11.Data(data=body), h11.EndOfMessage())
    return await _answer(connection)


async def _answer(connection: _Connection) -> Answer:
    status, content = 0, bytearray()
    while True:
        event = connection.http.next_event()
        if event is h11.NEED_DATA:
            await connection.receive()
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            content += event.data
            if len(content) > ANSWER_LIMIT:
                raise ValueError(f"its answer ({status}) is longer than {ANSWER_LIMIT} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, bytes(content))


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
