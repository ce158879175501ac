"""A worker's sign of life is its own also after etcd was away, and nobody else's."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coordination import documents
from coordination.gateway import Put
from coordination.memory import MemoryGateway, MemoryStore
from tests.clock import FakeClock
from workers.engine.presence import TTL, Presence

pytestmark = pytest.mark.anyio

KEY = "/ects/nodes/n1"


class Host:
    """A worker's presence. The store's own time stands still: like an etcd that comes back, it gives leases their time
    again."""

    def __init__(self, lease_file: Path) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(lambda: 0.0)
        self.gateway = MemoryGateway(self.store, clock=lambda: 0.0)
        self.lease_file = lease_file

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Presence]:
        presence = Presence(self.gateway, KEY, self._describe, self.clock, self.lease_file)
        await presence.end_earlier_life()
        task = asyncio.create_task(presence.run())
        await self.clock.advance(0)
        yield presence
        task.cancel()

    def _describe(self) -> documents.Presence:
        return documents.Presence(node="n1", name="n1", host="h", pid=os.getpid())

    def lease(self) -> int:
        """Under which the key is."""
        found = self.store.get(KEY)
        assert found is not None
        return found.lease


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "lease")


async def test_an_etcd_that_was_away_for_longer_than_the_lease(host: Host) -> None:
    async with host.running() as presence:
        first = host.lease()
        host.store.unavailable = True
        await host.clock.advance(TTL + 5)
        assert presence.deadline < host.clock.boottime()
        host.store.unavailable = False
        await host.clock.advance(2)
        assert presence.incidents() == ()
        assert host.lease() != first


async def test_an_earlier_life_that_could_not_be_ended(host: Host) -> None:
    async with host.running():
        first = host.lease()
    host.store.unavailable = True
    async with host.running() as presence:
        host.store.unavailable = False
        await host.clock.advance(2)
        assert presence.incidents() == ()
        assert host.lease() != first


async def test_another_process_under_the_same_identity(host: Host) -> None:
    theirs = host.store.grant(TTL)
    host.store.transact([], [Put(KEY, b"{}", theirs.id)])
    async with host.running() as presence:
        assert "another process" in presence.incidents()[0]
        assert host.lease() == theirs.id
        host.store.revoke(theirs.id)
        await host.clock.advance(2)
        assert presence.incidents() == ()
        assert host.lease() != theirs.id
