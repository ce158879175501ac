"""A small HTTP server for a process that is none: what it says of itself at a few addresses, to whoever asks.

Bounded: so many connections at once, one request on each, and a deadline for all of it. It never blocks the loop.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

import h11

from coordination import addresses

log = logging.getLogger(__name__)

CONNECTIONS = 16
"""The most at once; one more is closed unheard."""

TIMEOUT = 5.0
"""Seconds from the connection to the end of the answer."""

HEAD_LIMIT = 8192
"""Bytes of a request."""

LOOPBACK = frozenset({"127.0.0.1", "::1"})

METRICS = "/metrics"

REFUSED = "Send 'Authorization: Bearer <token>' with the token of ECTS_METRICS_TOKEN, or ask from this host.\n"


class Page(NamedTuple):
    """An answer."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = HTTPStatus.OK


Pages = Mapping[str, Callable[[], Awaitable[Page]]]
"""By path."""


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """``HOST:PORT``, an IPv6 address in brackets. Raises ValueError with what to write instead."""
    if not addresses.is_endpoint(text.strip()):
        raise ValueError(f"{text!r} is no HOST:PORT, such as 127.0.0.1:9703")
    host, _, port = text.strip().rpartition(":")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


option = addresses.option(address)
"""The same as the type of an option on a command line."""


def may_read_metrics(remote: str, headers: Mapping[str, str], token: str) -> bool:
    """Whether this request may see metrics, which name nodes: it has the token, or comes from this host itself.

    A proxy on this host speaks for others, who are not here. The headers' names are in lower case, or the mapping
    does not mind.
    """
    given = headers.get("authorization", "")
    if token and hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return True
    return remote in LOOPBACK and "x-forwarded-for" not in headers and "forwarded" not in headers


class Listener:
    """Serves ``pages``. ``token`` opens ``/metrics`` to other hosts; the rest is for everybody who gets here."""

    def __init__(self, address: Address, pages: Pages, *, token: str = "") -> None:
        self._address = address
        self._pages = pages
        self._token = token
        self._talks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled. Raises OSError when the address cannot be had."""
        server = await asyncio.start_server(self._accept, *self._address, limit=HEAD_LIMIT)
        log.info("listening on %s for health and metrics", self._address)
        try:
            async with server:
                await server.serve_forever()
        finally:
            for talk in self._talks:
                talk.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._talks) >= CONNECTIONS:
            writer.transport.abort()
            return
        talk = asyncio.create_task(self._serve(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._talk(reader, writer)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            log.debug("a request for health or metrics came to nothing: %r", error)
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        try:
            request = await _request(http, reader)
        except h11.RemoteProtocolError as error:
            _send(http, writer, Page(f"{error}\n".encode(), status=error.error_status_hint), is_head=False)
        else:
            remote = str((writer.get_extra_info("peername") or [""])[0])
            page = await self._page(request, remote)
            _send(http, writer, page, is_head=request.method == b"HEAD")

    async def _page(self, request: h11.Request, remote: str) -> Page:
        path = request.target.decode("ascii", "replace").partition("?")[0]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
        make = self._pages.get(path)
        if make is None:
            return Page(f"Here are {', '.join(self._pages)}.\n".encode(), status=HTTPStatus.NOT_FOUND)
        if request.method not in (b"GET", b"HEAD"):
            return Page(b"GET only.\n", status=HTTPStatus.METHOD_NOT_ALLOWED)
        if path == METRICS and not may_read_metrics(remote, headers, self._token):
            return Page(REFUSED.encode(), status=HTTPStatus.FORBIDDEN)
        try:
            return await make()
        except Exception:
            log.exception("%s broke", path)
            return Page(b"See the log.\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)


async def _request(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Request:
    """The head of it; a body is not read. Raises h11.RemoteProtocolError, or OSError when the other end is gone."""
    while True:
        event = http.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise ConnectionResetError("it asked for nothing")
        http.receive_data(await reader.read(HEAD_LIMIT))


def _send(http: h11.Connection, writer: asyncio.StreamWriter, page: Page, *, is_head: bool) -> None:
    headers = [
        ("Content-Type", page.content_type),
        ("Content-Length", str(len(page.body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
    ]
    phrase = HTTPStatus(page.status).phrase.encode()
    events: list[h11.Event] = [h11.Response(status_code=page.status, headers=headers, reason=phrase)]
    if not is_head:
        events.append(h11.Data(data=page.body))
    with suppress(h11.LocalProtocolError):  # what was no request at all gets no answer
        for event in (*events, h11.EndOfMessage()):
            writer.write(http.send(event) or b"")
