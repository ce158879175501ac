"""The sockets on which the console listens. They outlive the processes that serve them: while one web process follows
another, or the console follows the wizard, whoever connects waits instead of being refused."""

import errno
import os
import socket
from collections.abc import Iterable, Sequence

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a console is there to be reached, and most servers have no browser

BACKLOG = 1024
"""Connections that wait to be accepted."""


class CannotListen(Exception):
    """Nobody may listen at this address; the sentence says why and what to do."""


class PortTaken(CannotListen):
    """Somebody else listens there, who may go soon."""


def addresses(bind: str) -> list[str]:
    """Where to listen for ``bind``: the worker of this machine comes by the loopback."""
    return [bind] if bind in (EVERYWHERE, LOOPBACK, "::") else [bind, LOOPBACK]


def listen(bind: str, port: int, inherited: Sequence[socket.socket] = ()) -> list[socket.socket]:
    """Listens on all addresses of ``bind``. Raises CannotListen.

    ``inherited`` listen already, on this port. Those on the loopback are kept whatever is asked for, and those that
    are asked for: the kernel has accepted who waits there. Others are closed.
    """
    wanted = addresses(bind)
    close(sock for sock in inherited if sock.getsockname()[0] not in (*wanted, LOOPBACK))
    kept = {sock.getsockname()[0]: sock for sock in inherited if sock.fileno() >= 0}
    for sock in kept.values():
        # A socket on all addresses can be opened beside one on the loopback if both allow it (socket(7)).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    opened: list[socket.socket] = []
    try:
        for address in wanted:
            if address not in kept:
                opened.append(_listener(address, port, shared=bool(kept)))
    except CannotListen:
        close(opened)
        raise
    return [*kept.values(), *opened]


def take_over(descriptors: Iterable[int]) -> list[socket.socket]:
    """Listening sockets that this process has inherited."""
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def close(sockets: Iterable[socket.socket]) -> None:
    """Gives the addresses back."""
    for sock in sockets:
        sock.close()


def options(sockets: Iterable[socket.socket]) -> list[str]:
    """For gunicorn, which has to inherit them."""
    return [word for sock in sockets for word in ("--bind", f"fd://{sock.fileno()}")]


def _listener(address: str, port: int, *, shared: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"port {port} is in use: set ECTS_PORT to another one") from None
        raise CannotListen(f"ECTS_BIND={address}, ECTS_PORT={port}: {os.strerror(error.errno or 0)}") from None
    return sock
