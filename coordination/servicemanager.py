"""Tells the service manager how a process stands (sd_notify(3)), if there is one that wants to know."""

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

Tell = Callable[[str], None]
"""Takes lines such as ``READY=1``."""


def teller(environ: Mapping[str, str]) -> Tell:
    """By ``NOTIFY_SOCKET``, which systemd sets for services of ``Type=notify``. Never fails, never waits."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return lambda lines: None
    where = f"\0{address[1:]}" if address.startswith("@") else address

    def tell(lines: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.setblocking(False)
            to.sendto(lines.encode(), where)

    return tell
