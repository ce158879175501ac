"""The ways to follow a run: a stream of events, bounded in number, and polling, which always works.

A stream keeps a thread of the web process (gunicorn's gthread), so that only so many are let in; who is turned away
polls the same cursor. "No content" tells an EventSource not to come back (HTML standard, 9.2.3), and is no error that
would fill the log.
"""

import json
import threading
import time
from collections.abc import Generator, Iterator
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from logs import tail, tail_shared

STREAMS = 24
"""Streams at once in one web process."""

SECONDS = 25.0
"""How long one stream lasts; the follower then comes back with its cursor."""

LOOK_EVERY = 0.5
"""Seconds between two looks at the database for one stream."""

HEARTBEAT = 2.0
"""Seconds without news after which a comment is sent: that shows whether somebody is still there."""

_places = threading.BoundedSemaphore(STREAMS)


def poll(request: HttpRequest, run: UUID) -> HttpResponse:
    """``?cursor=``: what is new since then, as JSON."""
    told = tail_shared.news(run, _cursor(request))
    if told is None:
        return JsonResponse({"detail": "There is no such run."}, status=404)
    return JsonResponse(told, headers={"Cache-Control": "no-store"})


def stream(request: HttpRequest, run: UUID) -> HttpResponseBase:
    """The same as server-sent events, each with its cursor as id; 204 when there are too many already."""
    if not _places.acquire(blocking=False):
        return HttpResponse(status=204)
    response = StreamingHttpResponse(_Events(run, _cursor(request)), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


class _Events:
    """The body of a stream. Closed by the server whatever happens; then its place is free again."""

    def __init__(self, run: UUID, cursor: int) -> None:
        self._events = self._make(run, cursor)
        self._has_place = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._events)

    def close(self) -> None:
        """Called by Django when the response ends or its client has gone."""
        self._events.close()
        if self._has_place:
            self._has_place = False
            _places.release()

    def _make(self, run: UUID, cursor: int) -> Generator[bytes, None, None]:
        deadline = time.monotonic() + SECONDS
        quiet_since = time.monotonic()
        try:
            yield b"retry: 1000\n\n"
            for told in tail.changes(run, cursor, tail_shared.news):
                now = time.monotonic()
                if told is not None:
                    quiet_since = now
                    yield _event(told)
                elif now - quiet_since >= HEARTBEAT:
                    quiet_since = now
                    yield b": \n\n"
                if now > deadline:
                    return
                if told is None or not told["more"]:
                    # The connection is not held while nothing is asked: followers must not use up the database's.
                    connection.close()
                    time.sleep(LOOK_EVERY)
            yield b"event: end\ndata: {}\n\n"
        finally:
            connection.close()


def _event(told: dict[str, object]) -> bytes:
    data = json.dumps(told, cls=DjangoJSONEncoder)
    return f"id: {told['cursor']}\ndata: {data}\n\n".encode()


def _cursor(request: HttpRequest) -> int:
    """EventSource sends the last id it has seen; else the address says it; else from the beginning."""
    given = request.headers.get("Last-Event-ID") or request.GET.get("cursor", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else 0
