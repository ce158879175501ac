"""The port: what the product needs from etcd, and nothing more.

Two adapters implement it: ``coordination.etcd`` (asyncio and sync) and ``coordination.memory``. One contract test
suite runs over all of them. Every method raises subclasses of ``coordination.errors.CoordinationError`` only.
Durations are seconds; revisions are etcd's cluster-wide integers.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from coordination.addresses import is_loopback

CALL_TIMEOUT = 5.0
"""Deadline in seconds of one call when the caller names none."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as etcd stores it. ``lease`` is 0 when the key has none."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys below a prefix at one revision, sorted by key. Watch from ``revision + 1`` to miss nothing."""

    revision: int
    items: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """One condition of a transaction, on a key's value or one of its numbers (an absent key has 0 in all)."""

    key: str
    target: Literal["value", "mod_revision", "create_revision", "version", "lease"]
    operator: Literal["=", "!=", ">", "<"]
    operand: int | bytes

    @classmethod
    def absent(cls, key: str) -> "Compare":
        """The key does not exist."""
        return cls(key, "create_revision", "=", 0)

    @classmethod
    def exists(cls, key: str) -> "Compare":
        """The key exists."""
        return cls(key, "create_revision", ">", 0)

    @classmethod
    def unchanged(cls, key: str, mod_revision: int) -> "Compare":
        """The key is as it was read (``mod_revision`` 0: absent)."""
        return cls(key, "mod_revision", "=", mod_revision)

    @classmethod
    def holds(cls, key: str, value: bytes) -> "Compare":
        """The key has this value."""
        return cls(key, "value", "=", value)


@dataclass(frozen=True, slots=True)
class Get:
    """Read one key, or every key below a prefix."""

    key: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """Write one key, attached to ``lease`` unless it is 0."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one key, or every key below a prefix."""

    key: str
    prefix: bool = False


Operation = Get | Put | Delete


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a transaction. ``results`` has one entry for each operation of the branch that ran: the keys
    read by a Get, and an empty tuple for a Put or a Delete."""

    succeeded: bool
    revision: int
    results: tuple[tuple[KeyValue, ...], ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One change. For a deletion ``item`` has an empty value and the revision of the deletion as mod_revision."""

    kind: Literal["put", "delete"]
    item: KeyValue


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole revisions, in order. No events: a progress notification, nothing was missed up to ``revision``.
    ``confirmed``: the store has confirmed the watch, at its beginning or after a reconnection."""

    revision: int
    events: tuple[Event, ...]
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """A granted lease. ``ttl`` is what the server granted, in seconds."""

    id: int
    ttl: float


class Gateway(Protocol):
    """The asyncio port, for workers and the master."""

    async def get(self, key: str, *, timeout: float = CALL_TIMEOUT) -> KeyValue | None:
        """The key, or None when absent (linearizable)."""
        ...

    async def snapshot(self, prefix: str, *, timeout: float = CALL_TIMEOUT) -> Snapshot:
        """Every key below the prefix at one revision; large results are read in pages at that revision."""
        ...

    async def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
        *,
        timeout: float = CALL_TIMEOUT,
    ) -> Outcome:
        """One transaction. Unavailable and DeadlineExceeded leave open whether it was applied."""
        ...

    def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[Batch, None]:
        """Changes below the prefix from ``start_revision`` on, for ever, without a gap.

        An empty ``confirmed`` batch comes first, and again after each reconnection.
        Reconnects by itself while the server is away for a short time and resumes at the last delivered
        revision + 1. Raises Compacted when history is gone (also when the store came back without its data),
        Unavailable when the store could not be reached for ``CALL_TIMEOUT`` seconds. ``aclose()``, and cancelling
        the task that waits for the next batch, end the watch at the server too; ``close()`` of the gateway ends it
        as if there were no more changes.
        """
        ...

    async def grant(self, ttl: float, *, timeout: float = CALL_TIMEOUT) -> Lease:
        """A new lease of ``ttl`` seconds."""
        ...

    async def keep_alive(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> float:
        """Renew once; the seconds the lease now has. Raises LeaseLost when it is gone."""
        ...

    async def revoke(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> None:
        """End the lease and delete its keys. A lease that is gone already is no error."""
        ...

    async def close(self) -> None:
        """Release connections; running watches end."""
        ...


class SyncGateway(Protocol):
    """The blocking port, for Django requests. Same meaning, same errors, safe to use from several threads."""

    def get(self, key: str, *, timeout: float = CALL_TIMEOUT) -> KeyValue | None: ...

    def snapshot(self, prefix: str, *, timeout: float = CALL_TIMEOUT) -> Snapshot: ...

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
        *,
        timeout: float = CALL_TIMEOUT,
    ) -> Outcome: ...

    def grant(self, ttl: float, *, timeout: float = CALL_TIMEOUT) -> Lease: ...

    def revoke(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Permission:
    """The right to read one key, or every key below a prefix, and to write there too."""

    key: str
    prefix: bool = False
    write: bool = False


class Accounts(Protocol):
    """etcd's users and roles, for a client that may manage them: its own user has the role ``root``, or etcd has
    authentication off. Blocking. Every method may be repeated after any failure; raises PermissionDenied when the
    client's user may not manage users."""

    def is_required(self) -> bool:
        """Whether etcd has authentication on."""
        ...

    def require(self, password: str) -> None:
        """Switches authentication on, with this password for the user ``root``; nothing changes if it is on."""
        ...

    def users(self) -> frozenset[str]:
        """The names of all users."""
        ...

    def roles_of(self, user: str) -> frozenset[str]:
        """The names of the user's roles."""
        ...

    def put_role(self, role: str, permissions: Collection[Permission]) -> None:
        """Makes the role if it is missing, and has it hold exactly these permissions."""
        ...

    def put_user(self, user: str, password: str, roles: Sequence[str]) -> None:
        """Makes the user if it is missing, gives it the password and the roles, which exist. Tokens of the user end
        with a new password; watches that are open go on."""
        ...

    def remove_user(self, user: str) -> None:
        """No error when it is gone already."""
        ...

    def remove_role(self, role: str) -> None:
        """No error when it is gone already."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """How to reach etcd. Endpoints are ``host:port``; paths name PEM files; ``ca`` switches TLS on."""

    endpoints: tuple[str, ...] = ("127.0.0.1:2379",)
    user: str = ""
    password: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it: every endpoint is of the loopback."""
        return all(is_loopback(endpoint.rpartition(":")[0]) for endpoint in self.endpoints)
