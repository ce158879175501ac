"""etcd's semantics in memory, for demonstrations, tests and simulations.

``MemoryStore`` is the whole of it, without an event loop: plain methods on a clock that is handed in.
``MemoryGateway`` and ``SyncMemoryGateway`` are the port's two views of a store. They pass the same contract tests as
``coordination.etcd``.
"""

import asyncio
import math
import operator
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from coordination.errors import Compacted, DeadlineExceeded, InvalidRequest, LeaseLost, LimitExceeded, Unavailable
from coordination.gateway import (
    CALL_TIMEOUT,
    Batch,
    Compare,
    Delete,
    Event,
    Get,
    KeyValue,
    Lease,
    Operation,
    Outcome,
    Put,
    Snapshot,
)

MAX_REQUEST = 1536 * 1024
"""Bytes of the largest request (etcd's ``--max-request-bytes``)."""

MAX_OPERATIONS = 128
"""Compares, or operations of one branch, in a transaction (etcd's ``--max-txn-ops``)."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_ABSENT = KeyValue("", b"", 0, 0, 0)


class MemoryStore:
    """Keys, revisions, leases and history. ``clock`` gives monotonic seconds; leases end by it.

    Safe to use from several threads. ``lose_replies`` applies every request and then fails it with DeadlineExceeded,
    so that the caller cannot know.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lose_replies = False
        self._clock = clock
        self._lock = threading.RLock()
        self._listeners: list[Callable[[], object]] = []
        self._unavailable = False
        self._lease_ids = 0
        self._revision = 1
        self._compacted = 0
        self._items: dict[str, KeyValue] = {}
        self._history: list[Event] = []
        self._leases: dict[int, tuple[float, float]] = {}

    @property
    def revision(self) -> int:
        """The newest revision; an empty store has 1, as etcd."""
        return self._revision

    @property
    def unavailable(self) -> bool:
        """While True every call fails with Unavailable, without being applied, and watches end with it."""
        return self._unavailable

    @unavailable.setter
    def unavailable(self, value: bool) -> None:
        self._unavailable = value
        self._notify()

    def get(self, key: str) -> KeyValue | None:
        """The key, or None."""
        with self._request(Get(key)):
            return self._items.get(key)

    def snapshot(self, prefix: str) -> Snapshot:
        """Every key below the prefix."""
        with self._request():
            return Snapshot(self._revision, self._below(prefix))

    def transact(
        self, compares: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> Outcome:
        """One transaction, all of it or nothing. Raises LimitExceeded, InvalidRequest or LeaseLost."""
        if max(len(compares), len(then), len(otherwise)) > MAX_OPERATIONS:
            raise LimitExceeded(f"more than {MAX_OPERATIONS} operations in one transaction: split it")
        with self._request(*then, *otherwise):
            _check_duplicates(then)
            _check_duplicates(otherwise)
            succeeded = all(map(self._holds, compares))
            chosen = then if succeeded else otherwise
            for operation in chosen:
                if isinstance(operation, Put) and operation.lease:
                    self._known(operation.lease)
            results = self._apply(chosen)
            return Outcome(succeeded, self._revision, results)

    def grant(self, ttl: float) -> Lease:
        """A new lease; as in etcd its TTL is a whole number of seconds."""
        with self._request():
            self._lease_ids += 1
            granted = float(math.ceil(ttl))
            self._leases[self._lease_ids] = (granted, self._clock() + granted)
            return Lease(self._lease_ids, granted)

    def keep_alive(self, lease: int) -> float:
        """Renew; the seconds it now has. Raises LeaseLost."""
        with self._request():
            ttl, _ = self._known(lease)
            self._leases[lease] = (ttl, self._clock() + ttl)
            return ttl

    def revoke(self, lease: int) -> None:
        """End the lease and delete its keys. Raises LeaseLost when it is gone already."""
        with self._request():
            self._known(lease)
            self._drop(lease)

    def changes(self, prefix: str, start_revision: int) -> Batch | None:
        """What happened below the prefix from the revision on, or None when nothing did. Raises Compacted, also when
        the store has not reached the revision before ``start_revision``: then it was wiped."""
        with self._request():
            if start_revision < self._compacted or start_revision > self._revision + 1:
                raise Compacted(self._compacted or self._revision + 1)
            events = tuple(
                event
                for event in self._history
                if event.item.mod_revision >= start_revision and event.item.key.startswith(prefix)
            )
            return Batch(events[-1].item.mod_revision, events) if events else None

    def listen(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have the callback called after every change; it must not block. Returns what ends that."""
        with self._lock:
            self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def compact(self, revision: int) -> None:
        """Forget what happened before the revision."""
        with self._request():
            self._compacted = revision
            self._history = [event for event in self._history if event.item.mod_revision >= revision]
        self._notify()

    def wipe(self) -> None:
        """Lose everything, as an etcd that is started with an empty data directory."""
        with self._lock:
            self._revision, self._compacted = 1, 0
            self._items.clear()
            self._history.clear()
            self._leases.clear()
        self._notify()

    def expire(self) -> None:
        """End the leases whose time is over. Every call does so first; a simulation may have to in between."""
        with self._lock:
            for lease, (_, deadline) in list(self._leases.items()):
                if deadline <= self._clock():
                    self._drop(lease)

    def next_expiry(self) -> float | None:
        """When the next lease ends unless it is renewed (the clock's seconds)."""
        with self._lock:
            return min((deadline for _, deadline in self._leases.values()), default=None)

    @contextmanager
    def _request(self, *operations: Operation) -> Iterator[None]:
        with self._lock:
            if self._unavailable:
                raise Unavailable("the in-memory store is switched off")
            _check(operations)
            self.expire()
            yield
            if self.lose_replies:
                raise DeadlineExceeded("the in-memory store loses its replies")

    def _below(self, prefix: str) -> tuple[KeyValue, ...]:
        return tuple(self._items[key] for key in sorted(self._items) if key.startswith(prefix))

    def _known(self, lease: int) -> tuple[float, float]:
        if lease not in self._leases:
            raise LeaseLost(f"lease {lease:x} has expired or was revoked: take a new one and write its keys again")
        return self._leases[lease]

    def _holds(self, compare: Compare) -> bool:
        if compare.target == "value" and compare.key not in self._items:
            return False
        actual = getattr(self._items.get(compare.key, _ABSENT), compare.target)
        return _OPERATORS[compare.operator](actual, compare.operand)

    def _apply(self, operations: Iterable[Operation]) -> tuple[tuple[KeyValue, ...], ...]:
        revision = self._revision + 1
        events: list[Event] = []
        results = []
        for operation in operations:
            result: tuple[KeyValue, ...] = ()
            match operation:
                case Get(key, prefix):
                    result = self._read(key, prefix)
                case Put(key, value, lease):
                    events.append(self._put(key, value, lease, revision))
                case Delete(key, prefix):
                    events.extend(self._delete(old.key, revision) for old in self._read(key, prefix))
            results.append(result)
        self._commit(events)
        return tuple(results)

    def _read(self, key: str, prefix: bool) -> tuple[KeyValue, ...]:
        if prefix:
            return self._below(key)
        return (self._items[key],) if key in self._items else ()

    def _put(self, key: str, value: bytes, lease: int, revision: int) -> Event:
        old = self._items.get(key)
        created, version = (old.create_revision, old.version) if old else (revision, 0)
        self._items[key] = KeyValue(key, value, created, revision, version + 1, lease)
        return Event("put", self._items[key])

    def _delete(self, key: str, revision: int) -> Event:
        del self._items[key]
        return Event("delete", KeyValue(key, b"", 0, revision, 0))

    def _drop(self, lease: int) -> None:
        del self._leases[lease]
        keys = [item.key for item in self._below("") if item.lease == lease]
        self._commit([self._delete(key, self._revision + 1) for key in keys])

    def _commit(self, events: list[Event]) -> None:
        if events:
            self._revision += 1
            self._history.extend(events)
            self._notify()

    def _notify(self) -> None:
        with self._lock:
            for callback in list(self._listeners):
                callback()


class MemoryGateway:
    """The asyncio port on a MemoryStore. ``clock`` is the store's."""

    def __init__(self, store: MemoryStore, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._closed = asyncio.Event()

    async def get(self, key: str, *, timeout: float = CALL_TIMEOUT) -> KeyValue | None:
        return self._open().get(key)

    async def snapshot(self, prefix: str, *, timeout: float = CALL_TIMEOUT) -> Snapshot:
        return self._open().snapshot(prefix)

    async def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
        *,
        timeout: float = CALL_TIMEOUT,
    ) -> Outcome:
        return self._open().transact(compares, then, otherwise)

    async def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[Batch, None]:
        if start_revision < 1:
            raise InvalidRequest("a watch starts from a revision: take a snapshot and add 1 to its revision")
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        stop = self._store.listen(lambda: loop.call_soon_threadsafe(changed.set))
        try:
            self._store.changes(prefix, start_revision)
            yield Batch(start_revision - 1, (), confirmed=True)
            while not self._closed.is_set():
                changed.clear()
                batch = self._store.changes(prefix, start_revision)
                if batch is None:
                    await self._wait(changed)
                else:
                    start_revision = batch.revision + 1
                    yield batch
        finally:
            stop()

    async def grant(self, ttl: float, *, timeout: float = CALL_TIMEOUT) -> Lease:
        return self._open().grant(ttl)

    async def keep_alive(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> float:
        return self._open().keep_alive(lease)

    async def revoke(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> None:
        with suppress(LeaseLost):
            self._open().revoke(lease)

    async def close(self) -> None:
        self._closed.set()

    def _open(self) -> MemoryStore:
        if self._closed.is_set():
            raise Unavailable("this client was closed: make a new one")
        return self._store

    async def _wait(self, changed: asyncio.Event) -> None:
        """Until something changed, the client is closed, or a lease is due."""
        expiry = self._store.next_expiry()
        waits = [asyncio.ensure_future(event.wait()) for event in (changed, self._closed)]
        try:
            timeout = None if expiry is None else max(expiry - self._clock(), 0.001)
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class SyncMemoryGateway:
    """The blocking port on a MemoryStore."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def get(self, key: str, *, timeout: float = CALL_TIMEOUT) -> KeyValue | None:
        return self._store.get(key)

    def snapshot(self, prefix: str, *, timeout: float = CALL_TIMEOUT) -> Snapshot:
        return self._store.snapshot(prefix)

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
        *,
        timeout: float = CALL_TIMEOUT,
    ) -> Outcome:
        return self._store.transact(compares, then, otherwise)

    def grant(self, ttl: float, *, timeout: float = CALL_TIMEOUT) -> Lease:
        return self._store.grant(ttl)

    def revoke(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> None:
        with suppress(LeaseLost):
            self._store.revoke(lease)

    def close(self) -> None:
        """Nothing to release."""


def _check(operations: Sequence[Operation]) -> None:
    """Raises LimitExceeded or InvalidRequest for what etcd would refuse."""
    size = 0
    for operation in operations:
        if not operation.key and not getattr(operation, "prefix", False):
            raise InvalidRequest("the key is empty")
        size += len(operation.key) + len(operation.value if isinstance(operation, Put) else b"")
    if size > MAX_REQUEST:
        raise LimitExceeded(f"the request has {size} bytes, over the limit of {MAX_REQUEST}: send less at once")


def _check_duplicates(operations: Sequence[Operation]) -> None:
    """etcd lets a branch change a key only once."""
    puts = [operation.key for operation in operations if isinstance(operation, Put)]
    deletes = [operation for operation in operations if isinstance(operation, Delete)]
    if len(set(puts)) < len(puts) or any(_covers(delete, key) for delete in deletes for key in puts):
        raise InvalidRequest("a transaction changes a key twice")


def _covers(delete: Delete, key: str) -> bool:
    return key.startswith(delete.key) if delete.prefix else key == delete.key
