"""The options of ``runmaster``: who it is in the list of nodes, and where etcd is. The original system's, kept."""

import argparse
import dataclasses
import socket
import uuid
from dataclasses import dataclass

from django.conf import settings

from coordination import addresses, listener
from coordination.listener import Address


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a master says of itself. ``port`` is the console's. Name and description count when it comes for the first
    time; afterwards they are changed in the console."""

    node: str
    name: str
    description: str
    host: str
    port: int
    listen: Address | None = None


def add(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    parser.add_argument("--node", type=uuid.UUID, help="id of this node (made of host and data directory)")
    parser.add_argument("--name", default="", help="name of this node, when it comes for the first time")
    parser.add_argument("--desc", default="", help="description likewise")
    parser.add_argument("--host", default="", help="host that the console shows (this one's name)")
    parser.add_argument("--port", type=_port, default=settings.ECTS_PORT, help="port it shows (ECTS_PORT)")
    etcd, prefix = addresses.option(addresses.endpoints), addresses.option(addresses.prefix_of)
    parser.add_argument("--etcd", type=etcd, help="HOST:PORT,… in place of ECTS_ETCD_ENDPOINTS")
    parser.add_argument("--config", type=prefix, help="key such as /ects/config, in place of ECTS_ETCD_PREFIX")
    listening = "HOST:PORT on which it answers /healthz, /readyz and /metrics (ECTS_MASTER_METRICS; nowhere)"
    parser.add_argument("--metrics", type=listener.option, default=settings.ECTS_MASTER_METRICS, help=listening)


def announcement(
    *, node: uuid.UUID | None, name: str, desc: str, host: str, port: int, metrics: Address | None
) -> Announcement:
    """Of what was given."""
    own = host or socket.gethostname()
    by_place = uuid.uuid5(uuid.NAMESPACE_DNS, f"{socket.gethostname()}/{settings.DATA_DIR}/master")
    return Announcement(str(node or by_place), name or f"master on {own}", desc, own, port, metrics)


def use_etcd(endpoints: tuple[str, ...] | None, prefix: str | None) -> None:
    """In place of what the settings say, for this process. To be called before etcd is used."""
    if endpoints:
        settings.ECTS_ETCD = dataclasses.replace(settings.ECTS_ETCD, endpoints=endpoints)
    if prefix:
        settings.ECTS_ETCD_PREFIX = prefix


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError
    return port
