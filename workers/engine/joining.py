"""How a host joins: it exchanges an enrolment token for an identity, once."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from msgspec import DecodeError, Struct, json
from msgspec.structs import replace

from coordination import crypto
from coordination.addresses import is_loopback
from workers.engine.identity import Etcd, Identity, IdentityError, Unreached, save, write

DRAFT = "enrolment.json"
CA = "etcd-ca.pem"
TIMEOUT = 15.0
"""Seconds for the request that enrols."""


class _Draft(Struct, frozen=True):
    private_key: bytes
    public_key: bytes


class _Admission(Struct, frozen=True):
    node: str
    name: str
    token: str
    verify_keys: dict[str, bytes]
    etcd: Etcd


def enrol(
    client: httpx.Client,
    state_dir: Path,
    server_url: str,
    token: str,
    about: Mapping[str, Any],
    *,
    insecure: bool = False,
) -> Identity:
    """Exchanges an enrolment token for an identity and keeps it. ``about`` has name, machine_id, host, version, and may
    have description, labels, and the id of the node that this host is to be: it becomes that one or none.

    The key pair is kept before the request is made, so that a repetition after a lost answer is the same request.
    Raises IdentityError.
    """
    _check_transport(server_url, insecure)
    draft = _draft(state_dir)
    body = {**about, "token": token, "public_key": base64.b64encode(draft.public_key).decode()}
    admission = _ask(client, server_url, body)
    fingerprint = token.rpartition(".")[2]
    if fingerprint not in {crypto.key_id(key) for key in admission.verify_keys.values()}:
        raise IdentityError(
            f"{server_url} does not have the signing key that the token speaks of: this is another server, "
            "or somebody is between it and this host"
        )
    if about.get("node", admission.node) != admission.node:
        raise IdentityError(f"{server_url} is older than this worker and cannot let it join as a node of its choice")
    identity = Identity(
        node=admission.node,
        name=admission.name,
        server_url=server_url.rstrip("/"),
        token=admission.token,
        private_key=draft.private_key,
        verify_keys=admission.verify_keys,
        store=_with_ca(state_dir, admission.etcd),
        machine_id=about.get("machine_id", ""),
    )
    save(state_dir, identity)
    (state_dir / DRAFT).unlink(missing_ok=True)
    return identity


def _with_ca(state_dir: Path, etcd: Etcd) -> Etcd:
    """etcd's certificate authority in a file of this host's own, if the console has sent it."""
    if not etcd.ca_certificate:
        return etcd
    write(state_dir, CA, etcd.ca_certificate.encode())
    return replace(etcd, ca=str(state_dir.resolve() / CA), ca_certificate="")


def _check_transport(server_url: str, insecure: bool) -> None:
    parts = urlsplit(server_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise IdentityError(f"--server must be a URL such as https://ects.example:9701, not {server_url!r}")
    if parts.scheme == "http" and not is_loopback(parts.hostname) and not insecure:
        raise IdentityError("plain HTTP shows this node's secrets to the network: use https://, or add --insecure")


def _draft(state_dir: Path) -> _Draft:
    try:
        return json.decode((state_dir / DRAFT).read_bytes(), type=_Draft)
    except (FileNotFoundError, DecodeError):
        draft = _Draft(*crypto.new_node_key())
        write(state_dir, DRAFT, json.encode(draft))
        return draft


def _ask(client: httpx.Client, server_url: str, body: dict[str, Any]) -> _Admission:
    try:
        reply = client.post(f"{server_url.rstrip('/')}/api/v1/enrol/", json=body, timeout=TIMEOUT)
    except httpx.TransportError as error:
        raise Unreached(f"{server_url} cannot be reached: {error or type(error).__name__}") from None
    if reply.status_code >= 500 or reply.status_code == 429:
        raise Unreached(f"{server_url} cannot answer now ({reply.status_code}): try again")
    if reply.status_code != 200:
        raise IdentityError(f"{server_url} refuses ({reply.status_code}): {_detail(reply)}")
    try:
        return json.decode(reply.content, type=_Admission)
    except DecodeError:
        raise IdentityError(f"{server_url} answers something else: is this an ECTS console?") from None


def _detail(reply: httpx.Response) -> str:
    with suppress(ValueError):
        answer = reply.json()
        return str(answer.get("detail", answer)) if isinstance(answer, dict) else str(answer)
    return reply.text[:200]
