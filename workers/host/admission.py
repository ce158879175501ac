"""Who this host is when it starts: the identity that it keeps, or a new one for an enrolment token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from coordination.addresses import is_loopback
from workers.engine import identity, joining
from workers.engine.identity import Identity, IdentityError, StateLock

TOKEN = "ECTS_ENROLMENT_TOKEN"  # noqa: S105 - the name of the variable


@dataclass(frozen=True, slots=True)
class Wish:
    """What a host is told when it starts. Empty: not told. ``label``: each ``NAME=VALUE``. ``config`` is what all keys
    are to begin with, which has to be what the console says; ``rejoin``: enrol again, as the node whose state directory
    this is."""

    server: str = ""
    token: str = ""
    token_file: Path | None = None
    node: str = ""
    name: str = ""
    description: str = ""
    label: Sequence[str] = ()
    config: str | None = None
    rejoin: bool = False
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """What this host says of itself when it joins."""

    name: str
    machine_id: str
    version: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """``remarks`` are sentences for whoever started it."""

    identity: Identity
    remarks: tuple[str, ...] = ()


def admit(state_dir: Path, wish: Wish, host: Host, environ: Mapping[str, str]) -> Admitted:
    """The identity with which this host works, enrolled with the token that ``wish`` or ``environ`` has if there is
    none yet. Raises IdentityError."""
    with StateLock(state_dir):
        # Who joins again may have come from another machine: then it is the token that says that it may.
        known = identity.load(state_dir, "" if wish.rejoin else host.machine_id)
        if known is not None:
            _check(known, wish, state_dir)
        if known is not None and not wish.rejoin:
            return Admitted(known, _remarks(known, wish))
        token = _token(wish, environ)
        server = wish.server or (known.server_url if known else "")
        if not token or not server:
            raise IdentityError(_missing(state_dir, known))
        joined = _enrol(state_dir, server, wish, host, token, known)
        said = (f"joined as {joined.name} ({joined.node})", *_remarks(joined, wish), *of_etcd(joined))
        return Admitted(joined, said)


def _enrol(state_dir: Path, server: str, wish: Wish, host: Host, token: str, known: Identity | None) -> Identity:
    about: dict[str, Any] = {
        "name": wish.name or host.name,
        "description": wish.description,
        "node": known.node if known else wish.node,
        "machine_id": host.machine_id,
        "host": host.name,
        "version": host.version,
        "labels": dict(label.partition("=")[::2] for label in wish.label),
    }
    said = {name: value for name, value in about.items() if value}
    with httpx.Client() as client:
        return joining.enrol(client, state_dir, server, token, said, insecure=wish.insecure)


def _check(known: Identity, wish: Wish, state_dir: Path) -> None:
    if wish.node and wish.node != known.node:
        raise IdentityError(
            f"{state_dir} is the node {known.node} ({known.name}), not {wish.node}: give another --state-dir"
        )


def _remarks(known: Identity, wish: Wish) -> tuple[str, ...]:
    remarks = []
    if wish.name and wish.name != known.name:
        remarks.append(f"this node is called {known.name}; --name is for joining: rename it in the console")
    if wish.config and wish.config != known.prefix:
        remarks.append(f"--config {wish.config}/config is not used: the console keeps everything below {known.prefix}")
    return tuple(remarks)


def of_etcd(joined: Identity) -> tuple[str, ...]:
    """What is amiss when console and worker are not of one host."""
    if not joined.etcd.is_local or is_loopback(urlsplit(joined.server_url).hostname or ""):
        return ()
    where = ", ".join(joined.etcd.endpoints)
    return (
        f"{joined.server_url} says that its etcd is at {where}, which no other host reaches: unless the console is on "
        "this very host, nothing will run here. Give the console an etcd for all hosts (docs/how-to/etcd.md), then "
        "join again with --rejoin",
    )


def _token(wish: Wish, environ: Mapping[str, str]) -> str:
    if wish.token_file is None:
        return wish.token or environ.get(TOKEN, "")
    try:
        return wish.token_file.read_text().strip()
    except OSError as error:
        raise IdentityError(f"the token in {wish.token_file} cannot be read: {error.strerror}") from None


def _missing(state_dir: Path, known: Identity | None) -> str:
    if known is not None:
        return f"to join again as {known.name}, give an enrolment token made for that node"
    return f"{state_dir} holds no identity yet: give --server and an enrolment token"
