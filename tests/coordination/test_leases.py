"""A lease is kept, its loss is noticed in every way, and its owner writes its keys again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from coordination.errors import DeadlineExceeded, Unavailable
from coordination.etcd import AsyncEtcd
from coordination.gateway import CALL_TIMEOUT, EtcdSettings, Lease
from coordination.leases import LeaseKeeper
from coordination.memory import MemoryGateway, MemoryStore
from tests.clock import FakeClock, settle, until
from tests.coordination.stores import put
from tests.etcd_server import EtcdServer

pytestmark = pytest.mark.anyio

TTL = 9.0


class SlowGateway(MemoryGateway):
    """Renewals take ``delay`` seconds of the test's clock, and fail when that is longer than their deadline."""

    def __init__(self, store: MemoryStore, clock: FakeClock) -> None:
        super().__init__(store, clock=clock.monotonic)
        self.clock = clock
        self.delay = 0.0

    async def keep_alive(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> float:
        if self.delay >= timeout:
            await self.clock.sleep(timeout)
            raise DeadlineExceeded("no answer in time")
        ttl = await super().keep_alive(lease, timeout=timeout)
        await self.clock.sleep(self.delay)
        return ttl


class Owner:
    """Writes one key under each lease and counts what it is told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock.monotonic)
        self.gateway = SlowGateway(self.store, self.clock)
        self.leases: list[Lease] = []
        self.losses = 0
        self.failures = 0
        self.keeper = LeaseKeeper(
            self.gateway,
            TTL,
            self.granted,
            clock=self.clock.monotonic,
            on_lost=self.lost,
            sleep=self.clock.sleep,
        )

    async def granted(self, lease: Lease) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("not now")
        self.leases.append(lease)
        await put(self.gateway, "/me", b"", lease.id)

    def lost(self) -> None:
        self.losses += 1


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    owner = Owner()
    running = asyncio.create_task(owner.keeper.run())
    await settle()
    yield owner
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_lease_is_renewed_every_third_of_its_life(owner: Owner) -> None:
    start = owner.clock.monotonic()
    for third in range(30):
        assert owner.keeper.deadline == start + third * TTL / 3 + TTL
        assert owner.store.next_expiry() == owner.keeper.deadline
        await owner.clock.advance(TTL / 3)
    assert owner.store.get("/me") is not None
    assert (owner.keeper.lease, owner.losses) == (owner.leases[0], 0)


async def test_a_lease_that_the_store_has_dropped_is_replaced(owner: Owner) -> None:
    owner.store.revoke(owner.leases[0].id)
    await owner.clock.advance(TTL / 3)
    assert owner.losses == 1
    await owner.clock.advance(1)
    assert [lease.id for lease in owner.leases] == [1, 2]
    item = owner.store.get("/me")
    assert item is not None
    assert item.lease == owner.leases[1].id


async def test_the_local_clock_is_enough_to_lose_a_lease(owner: Owner) -> None:
    """The store cannot be reached: at the last renewal plus the TTL the lease is over, and no sooner."""
    await owner.clock.advance(TTL / 3)
    owner.store.unavailable = True
    await owner.clock.advance(TTL - 0.01)
    assert owner.losses == 0
    assert owner.keeper.lease is not None
    await owner.clock.advance(0.02)
    assert owner.losses == 1
    assert owner.keeper.lease is None
    await owner.clock.advance(5 * TTL)
    assert owner.losses == 1
    owner.store.unavailable = False
    await owner.clock.advance(1)
    assert len(owner.leases) == 2
    assert owner.keeper.lease == owner.leases[1]


async def test_a_renewal_without_an_answer_does_not_hide_the_loss(owner: Owner) -> None:
    owner.gateway.delay = 1000.0
    await owner.clock.advance(TTL - 0.01)
    assert owner.losses == 0
    await owner.clock.advance(0.02)
    assert owner.losses == 1


async def test_the_deadline_counts_from_the_sending_of_a_renewal(owner: Owner) -> None:
    owner.gateway.delay = 2.0
    sent = owner.clock.monotonic() + TTL / 3
    await owner.clock.advance(TTL / 3 + 2.0)
    assert owner.keeper.deadline == sent + TTL


async def test_nobody_has_to_run_for_a_lease_to_be_over() -> None:
    """A process that was stopped must not believe in its lease before its tasks run again."""
    now = 0.0
    store = MemoryStore(lambda: now)
    granted = asyncio.Event()

    async def on_granted(lease: Lease) -> None:
        granted.set()

    keeper = LeaseKeeper(MemoryGateway(store, clock=lambda: now), TTL, on_granted, clock=lambda: now)
    running = asyncio.create_task(keeper.run())
    await granted.wait()
    assert keeper.lease is not None
    now = TTL
    assert keeper.lease is None
    running.cancel()


async def test_the_owner_is_asked_again_until_its_keys_are_written() -> None:
    owner = Owner()
    owner.failures = 20
    running = asyncio.create_task(owner.keeper.run())
    await owner.clock.advance(30 * TTL / 10)
    assert len(owner.leases) == 1
    assert owner.losses == 0
    assert owner.store.get("/me") is not None
    running.cancel()


async def test_closing_revokes_at_once(owner: Owner) -> None:
    await owner.keeper.aclose()
    assert owner.store.get("/me") is None
    assert owner.store.next_expiry() is None
    assert owner.losses == 0
    assert owner.keeper.lease is None


async def test_closing_does_not_fail_without_the_store(owner: Owner) -> None:
    owner.store.unavailable = True
    await owner.keeper.aclose()
    assert owner.keeper.lease is None


async def test_an_error_of_the_owner_is_not_swallowed() -> None:
    owner = Owner()

    async def broken(lease: Lease) -> None:
        raise RuntimeError("a mistake in the program")

    keeper = LeaseKeeper(owner.gateway, TTL, broken, clock=owner.clock.monotonic, sleep=owner.clock.sleep)
    with pytest.raises(RuntimeError, match="mistake"):
        await keeper.run()
    await keeper.aclose()
    assert owner.store.next_expiry() is None


async def test_a_real_etcd_that_stops_for_longer_than_the_lease(own_etcd: EtcdServer) -> None:
    client = AsyncEtcd(EtcdSettings((own_etcd.endpoint,)))
    leases: list[Lease] = []
    lost = asyncio.Event()

    async def granted(lease: Lease) -> None:
        await put(client, "/me", b"", lease.id)
        leases.append(lease)

    loop = asyncio.get_running_loop()
    keeper = LeaseKeeper(client, 1, granted, clock=loop.time, on_lost=lost.set)
    running = asyncio.create_task(keeper.run())
    await until(lambda: bool(leases))
    own_etcd.pause()
    # A second is short: on a slow machine there may have been others before.
    lost.clear()
    before, deadline = len(leases), keeper.deadline
    await asyncio.wait_for(lost.wait(), 60)
    assert loop.time() >= deadline
    own_etcd.resume()
    await until(lambda: len(leases) > before)
    async with asyncio.timeout(60):
        while (item := await client.get("/me")) is None or item.lease != leases[-1].id:
            await asyncio.sleep(0.02)
    await keeper.aclose()
    await running
    assert await client.get("/me") is None
    await client.close()
