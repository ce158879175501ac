"""Who this worker is: taken from the console once, kept in the state directory, bound to this machine."""

import base64
import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
from msgspec import DecodeError, Struct, json

from coordination import crypto
from coordination.gateway import EtcdSettings

FILE = "identity.json"
DRAFT = "enrolment.json"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TIMEOUT = 15.0
"""Seconds for the request that enrols."""


class IdentityError(Exception):
    """This state directory cannot be used, or the console did not let us join; the sentence says what to do."""


class Etcd(Struct, frozen=True, kw_only=True):
    """How this node reaches etcd; ``ca`` is a path on this host."""

    endpoints: tuple[str, ...]
    prefix: str
    user: str = ""
    password: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""


class Identity(Struct, frozen=True, kw_only=True):
    """A node's name, its secrets, and whom it trusts. ``verify_keys`` maps key ids to 32 bytes."""

    node: str
    name: str
    server_url: str
    token: str
    private_key: bytes
    verify_keys: dict[str, bytes]
    store: Etcd
    machine_id: str

    @property
    def etcd(self) -> EtcdSettings:
        """For the etcd client."""
        store = self.store
        return EtcdSettings(store.endpoints, store.user, store.password, store.ca, store.certificate, store.key)

    @property
    def prefix(self) -> str:
        """Of the keys in etcd."""
        return self.store.prefix


class _Draft(Struct, frozen=True):
    private_key: bytes
    public_key: bytes


class _Admission(Struct, frozen=True):
    node: str
    name: str
    token: str
    verify_keys: dict[str, bytes]
    etcd: Etcd


def machine_id(path: Path = Path("/etc/machine-id")) -> str:
    """systemd's machine id (machine-id(5)); empty where there is none, and then nothing is bound to it."""
    with suppress(OSError):
        return path.read_text().strip()
    return ""


def load(state_dir: Path, machine: str) -> Identity | None:
    """The identity kept here, or None. Raises IdentityError for a copy from another machine, or a damaged file."""
    try:
        data = (state_dir / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IdentityError(f"{state_dir / FILE} cannot be read: {error.strerror}") from None
    try:
        identity = json.decode(data, type=Identity)
    except DecodeError:
        raise IdentityError(f"{state_dir / FILE} is damaged: enrol again into an empty directory") from None
    if identity.machine_id and machine and identity.machine_id != machine:
        raise IdentityError(
            f"{state_dir} was made on another machine: two workers with one identity would disturb each other. "
            "Give this host an empty --state-dir and enrol it with a token of its own."
        )
    return identity


def save(state_dir: Path, identity: Identity) -> None:
    """Durable and readable by this user only."""
    _write(state_dir, FILE, json.encode(identity))


class StateLock:
    """Holds the state directory for one process. Raises IdentityError when another has it."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._descriptor = -1

    def __enter__(self) -> "StateLock":
        _make(self._state_dir)
        self._descriptor = os.open(self._state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise IdentityError(f"another worker is running on {self._state_dir}: stop it first") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def enrol(
    client: httpx.Client,
    state_dir: Path,
    server_url: str,
    token: str,
    about: Mapping[str, str],
    *,
    insecure: bool = False,
) -> Identity:
    """Exchanges an enrolment token for an identity and keeps it. ``about`` has name, machine_id, host, version.

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
    identity = Identity(
        node=admission.node,
        name=admission.name,
        server_url=server_url.rstrip("/"),
        token=admission.token,
        private_key=draft.private_key,
        verify_keys=admission.verify_keys,
        store=admission.etcd,
        machine_id=about.get("machine_id", ""),
    )
    save(state_dir, identity)
    (state_dir / DRAFT).unlink(missing_ok=True)
    return identity


def _check_transport(server_url: str, insecure: bool) -> None:
    parts = urlsplit(server_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise IdentityError(f"--server must be a URL such as https://ects.example:9701, not {server_url!r}")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not insecure:
        raise IdentityError("plain HTTP shows this node's secrets to the network: use https://, or add --insecure")


def _draft(state_dir: Path) -> _Draft:
    try:
        return json.decode((state_dir / DRAFT).read_bytes(), type=_Draft)
    except (FileNotFoundError, DecodeError):
        draft = _Draft(*crypto.new_node_key())
        _write(state_dir, DRAFT, json.encode(draft))
        return draft


def _ask(client: httpx.Client, server_url: str, body: dict[str, Any]) -> _Admission:
    try:
        reply = client.post(f"{server_url.rstrip('/')}/api/v1/enrol/", json=body, timeout=TIMEOUT)
    except httpx.TransportError as error:
        raise IdentityError(f"{server_url} cannot be reached: {error or type(error).__name__}") from None
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


def _make(state_dir: Path) -> None:
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise IdentityError(f"{state_dir} cannot be made: {error.strerror}") from None


def _write(state_dir: Path, name: str, data: bytes) -> None:
    _make(state_dir)
    draft = state_dir / f".{name}.new"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(state_dir / name)
    directory = os.open(state_dir, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
