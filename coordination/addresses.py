"""Where etcd is and what our keys begin with, as people write it on command lines and in files."""

import argparse
from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeVar

T = TypeVar("T")


def option(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """For a parser: what ``read`` makes of a text, None of an empty one, and its own sentence for a wrong one."""

    def convert(text: str) -> T | None:
        try:
            return read(text) if text else None
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def is_loopback(host: str) -> bool:
    """Whether what is said to this host, a name or an address without a port, stays on this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_endpoint(text: str) -> bool:
    """Whether it is ``HOST:PORT``."""
    host, _, port = text.rpartition(":")
    return bool(host) and "/" not in host and port.isdigit() and 1 <= int(port) <= 65535


def endpoints(text: str) -> tuple[str, ...]:
    """Of ``HOST:PORT,HOST:PORT``. Raises ValueError with a sentence."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for each in found:
        if not is_endpoint(each):
            raise ValueError(f"{each!r} is not HOST:PORT")
    if not found:
        raise ValueError("at least one HOST:PORT is needed")
    return found


def prefix_of(config: str) -> str:
    """Of the key of the shared settings, such as ``/ects/config``: what all keys begin with. Raises ValueError."""
    prefix = config.removesuffix("/config")
    if prefix == config or not prefix.startswith("/") or prefix == "/":
        raise ValueError(f"{config!r} is not a key such as /ects/config")
    return prefix
