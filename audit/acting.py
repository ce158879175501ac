"""Who acts: the user of the request that is being answered, else the command, else the system."""

import getpass
import socket
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from axes.helpers import get_client_ip_address
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse

from audit.models import Entry

SYSTEM, HOST = "(system)", "(host)"
"""Who acts where nobody does, as ``Entry.by`` has it: no user's name has parentheses."""

SERVERS = ("runmaster", "runserver")
"""Commands that serve until they are stopped: what they change is the system's doing."""


@dataclass(frozen=True)
class Actor:
    """See the fields of ``Entry`` of the same names."""

    act: UUID
    user: int | None
    by: str
    via: str
    origin: str


_answering: ContextVar[tuple[HttpRequest, UUID] | None] = ContextVar("answering", default=None)


class Acting:
    """Middleware: remembers the request while it is answered. Its user is asked for late: the API's token names it
    only in the view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = _answering.set((request, uuid4()))
        try:
            return self.get_response(request)
        finally:
            _answering.reset(token)


def actor() -> Actor:
    """Who acts here and now."""
    answering = _answering.get()
    if answering is not None:
        return of_request(*answering)
    if (name := _command()) is not None:
        return Actor(_act(), None, f"manage.py {name}"[:150], Entry.Via.COMMAND, _account())
    return Actor(_act(), None, SYSTEM, Entry.Via.SYSTEM, socket.gethostname()[:150])


def of_request(request: HttpRequest, act: UUID | None = None) -> Actor:
    """The signed-in user; without one a host that joins."""
    user: Any = getattr(request, "user", None)
    is_known = user is not None and user.is_authenticated and hasattr(user, "get_username")
    via = Entry.Via.API if request.path.startswith("/api/") else Entry.Via.CONSOLE
    origin = (get_client_ip_address(request) or "")[:150]
    answering = _answering.get()
    act = act or (answering[1] if answering is not None else uuid4())
    return Actor(act, user.pk if is_known else None, user.get_username() if is_known else HOST, via, origin)


def _act() -> UUID:
    """One for each transaction."""
    held: UUID | None = getattr(connection, "audited_act", None)
    if not connection.in_atomic_block:
        return uuid4()
    if held is None:
        held = uuid4()
        connection.audited_act = held  # type: ignore[attr-defined]
    # Each time anew: one that was asked for in a part that is rolled back will not be called.
    transaction.on_commit(partial(setattr, connection, "audited_act", None))
    return held


def _command() -> str | None:
    if Path(sys.argv[0]).name != "manage.py" or len(sys.argv) < 2 or sys.argv[1] in SERVERS:
        return None
    return sys.argv[1]


def _account() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A number without a name, as in a container.
        name = "?"
    return f"{name} on {socket.gethostname()}"[:150]
