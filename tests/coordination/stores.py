"""The adapters under the contract suite, behind one asyncio face, and what a test may do to the store beneath."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from coordination.etcd import AsyncEtcd, SyncEtcd
from coordination.gateway import (
    CALL_TIMEOUT,
    Compare,
    EtcdSettings,
    Gateway,
    KeyValue,
    Lease,
    Operation,
    Outcome,
    Put,
    Snapshot,
    SyncGateway,
)
from coordination.memory import MemoryGateway, MemoryStore, SyncMemoryGateway
from tests.clock import FakeClock
from tests.etcd_server import EtcdServer


class Threaded:
    """A blocking gateway, called from threads, as if it were an asyncio one (without watch and keep-alive)."""

    def __init__(self, gateway: SyncGateway) -> None:
        self.gateway = gateway

    async def get(self, key: str, **options: Any) -> KeyValue | None:
        return await asyncio.to_thread(self.gateway.get, key, **options)

    async def snapshot(self, prefix: str, **options: Any) -> Snapshot:
        return await asyncio.to_thread(self.gateway.snapshot, prefix, **options)

    async def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
        *,
        timeout: float = CALL_TIMEOUT,
    ) -> Outcome:
        return await asyncio.to_thread(self.gateway.transact, compares, then, otherwise, timeout=timeout)

    async def grant(self, ttl: float, **options: Any) -> Lease:
        return await asyncio.to_thread(self.gateway.grant, ttl, **options)

    async def revoke(self, lease: int, **options: Any) -> None:
        await asyncio.to_thread(self.gateway.revoke, lease, **options)

    async def close(self) -> None:
        await asyncio.to_thread(self.gateway.close)


class Harness(Protocol):
    """One adapter on one store, with a prefix that no other test uses."""

    gateway: Gateway
    prefix: str

    async def compact(self, revision: int) -> None:
        """Forget the history before the revision."""

    async def pass_time(self, seconds: float) -> None:
        """Let leases end."""


class MemoryHarness:
    def __init__(self, prefix: str, blocking: bool = False) -> None:
        self.prefix = prefix
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock.monotonic)
        asynchronous = MemoryGateway(self.store, clock=self.clock.monotonic)
        self.gateway: Any = Threaded(SyncMemoryGateway(self.store)) if blocking else asynchronous

    async def compact(self, revision: int) -> None:
        self.store.compact(revision)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        self.store.expire()


class EtcdHarness:
    def __init__(self, prefix: str, server: EtcdServer, blocking: bool = False) -> None:
        self.prefix = prefix
        self.server = server
        settings = EtcdSettings((server.endpoint,))
        self.gateway: Any = Threaded(SyncEtcd(settings)) if blocking else AsyncEtcd(settings)

    async def compact(self, revision: int) -> None:
        await asyncio.to_thread(self.server.api, "kv/compaction", {"revision": revision, "physical": True})

    async def pass_time(self, seconds: float) -> None:
        """The server's time passes by itself."""


async def put(gateway: Any, key: str, value: bytes = b"", lease: int = 0) -> int:
    """Write one key; the revision of the write."""
    outcome: Outcome = await gateway.transact([], [Put(key, value, lease)])
    return outcome.revision
