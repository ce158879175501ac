"""Who this worker is: kept in the state directory, bound to this machine. ``joining`` is how it gets there."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec import DecodeError, Struct, json, structs

from coordination.gateway import EtcdSettings

FILE = "identity.json"


class IdentityError(Exception):
    """This state directory cannot be used, or the console did not let us join; the sentence says what to do. ``status``
    is what the process exits with: 2, trying again would change nothing."""

    status = 2


class Unreached(IdentityError):
    """The console did not answer; it may later."""

    status = 1


class Etcd(Struct, frozen=True, kw_only=True):
    """How this node reaches etcd; ``ca``, ``certificate`` and ``key`` are paths on this host. ``ca_certificate`` is
    what the console has sent for ``ca`` to hold, in PEM."""

    endpoints: tuple[str, ...]
    prefix: str
    user: str = ""
    password: str = ""
    ca: str = ""
    ca_certificate: str = ""
    certificate: str = ""
    key: str = ""


class Identity(Struct, frozen=True, kw_only=True):
    """A node's name, its secrets, and whom it trusts. ``verify_keys`` maps key ids to 32 bytes.

    ``former_keys`` were trusted once: they open what this node has taken and keeps, and nothing that comes.
    ``trust_generation`` is that of the last statement on the keys that count. ``heard`` is that of the document by
    which the console said what the node is called, whether it is ``draining``, and perhaps a new token in place of the
    ``former_token``.
    """

    node: str
    name: str
    server_url: str
    token: str
    private_key: bytes
    verify_keys: dict[str, bytes]
    store: Etcd
    machine_id: str
    former_keys: dict[str, bytes] = {}
    trust_generation: int = 0
    heard: int = 0
    draining: bool = False
    former_token: str = ""

    @property
    def etcd(self) -> EtcdSettings:
        """For the etcd client."""
        store = self.store
        return EtcdSettings(store.endpoints, store.user, store.password, store.ca, store.certificate, store.key)

    @property
    def prefix(self) -> str:
        """Of the keys in etcd."""
        return self.store.prefix


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
    identity = _decode(state_dir, data)
    if identity.machine_id and machine and identity.machine_id != machine:
        raise IdentityError(
            f"{state_dir} was made on another machine: two workers with one identity would disturb each other. If the "
            "node has moved here, stop its worker there, make a token for that node in the console and start with "
            "--server, that token and --rejoin. Else give this host an empty --state-dir and a token of its own."
        )
    return identity


def save(state_dir: Path, identity: Identity) -> None:
    """Durable and readable by this user only."""
    write(state_dir, FILE, json.encode(identity))


def change(state_dir: Path, **fields: Any) -> None:
    """Replaces some fields of the identity that is kept here. Raises IdentityError, or OSError."""
    kept = _decode(state_dir, (state_dir / FILE).read_bytes())
    save(state_dir, structs.replace(kept, **fields))


def _decode(state_dir: Path, data: bytes) -> Identity:
    try:
        return json.decode(data, type=Identity)
    except DecodeError:
        raise IdentityError(f"{state_dir / FILE} is damaged: enrol again into an empty directory") from None


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


def _make(state_dir: Path) -> None:
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise IdentityError(f"{state_dir} cannot be made: {error.strerror}") from None


def write(state_dir: Path, name: str, data: bytes) -> None:
    """A file of the state directory, durable and readable by this user only."""
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
