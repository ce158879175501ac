"""A real etcd is killed, restarted and emptied under its clients."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from coordination.errors import Compacted, QuotaExceeded, Unavailable
from coordination.etcd import AsyncEtcd
from coordination.gateway import Compare, EtcdSettings, Event, Gateway, Get, Put
from tests.coordination.stores import put
from tests.etcd_server import EtcdServer, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(own_etcd: EtcdServer) -> AsyncIterator[AsyncEtcd]:
    client = AsyncEtcd(EtcdSettings((own_etcd.endpoint,)))
    yield client
    await client.close()


async def write(gateway: Gateway, numbers: range) -> None:
    """Count up one key, each step exactly once: repeat the same compare-and-set until it is answered."""
    for number in numbers:
        value = str(number).encode()
        while True:
            try:
                outcome = await gateway.transact(
                    [Compare.holds("/n", str(number - 1).encode())], [Put("/n", value)], [Get("/n")], timeout=1
                )
            except Unavailable:
                continue
            assert outcome.succeeded or outcome.results[0][0].value == value
            break
        await asyncio.sleep(0)


async def read(gateway: Gateway, start: int, last: bytes) -> list[Event]:
    """The events of a watch up to the value ``last``."""
    seen: list[Event] = []
    async with aclosing(gateway.watch("/", start)) as watch:
        async for batch in watch:
            seen.extend(batch.events)
            if seen and seen[-1].item.value == last:
                return seen
    raise AssertionError("the watch ended")


async def test_a_watch_survives_kills_without_loss_or_repetition(client: AsyncEtcd, own_etcd: EtcdServer) -> None:
    start = await put(client, "/n", b"0")
    writing = asyncio.create_task(write(client, range(1, 601)))
    watching = [asyncio.create_task(read(client, start, b"600")) for _ in range(3)]
    for checkpoint in (150, 300, 450):
        async with asyncio.timeout(60):
            while int((await _value(client)) or b"0") < checkpoint:
                await asyncio.sleep(0.01)
        own_etcd.kill()
        await asyncio.to_thread(own_etcd.start)
    async with asyncio.timeout(60):
        await writing
        for seen in await asyncio.gather(*watching):
            assert [int(event.item.value) for event in seen] == list(range(601))


async def test_a_catch_up_that_is_cut_goes_on_where_it_was(client: AsyncEtcd, own_etcd: EtcdServer) -> None:
    """etcd sends a backlog a thousand revisions at a time, under headers that name the newest."""
    start = await put(client, "/a", b"")
    for first in range(0, 2500, 50):
        await asyncio.gather(*(put(client, f"/{n:05}", bytes(2000)) for n in range(first, first + 50)))
    seen: list[Event] = []
    async with aclosing(client.watch("/", start)) as watch, asyncio.timeout(60):
        while not seen:
            seen.extend((await anext(watch)).events)
        assert len(seen) < 2501
        own_etcd.kill()
        await asyncio.to_thread(own_etcd.start)
        while len(seen) < 2501:
            seen.extend((await anext(watch)).events)
    assert [event.item.mod_revision for event in seen] == list(range(start, start + 2501))


async def test_reads_and_leases_wait_for_a_restart_within_their_deadline(
    client: AsyncEtcd, own_etcd: EtcdServer
) -> None:
    lease = await client.grant(60)
    await put(client, "/a", b"1", lease.id)
    own_etcd.kill()
    calls = asyncio.gather(client.get("/a", timeout=20), client.keep_alive(lease.id, timeout=20))
    await asyncio.to_thread(own_etcd.start)
    item, ttl = await calls
    assert item is not None
    assert (item.value, ttl) == (b"1", 60)


async def test_an_emptied_store_is_noticed(client: AsyncEtcd, own_etcd: EtcdServer) -> None:
    """Otherwise the watch would wait for the revision that the lost store had reached."""
    for _ in range(20):
        last = await put(client, "/a")
    watch = client.watch("/", last + 1)
    await anext(watch)
    own_etcd.kill()
    own_etcd.wipe()
    await asyncio.to_thread(own_etcd.start)
    async with asyncio.timeout(60):
        with pytest.raises(Compacted):
            await anext(watch)
    assert (await client.snapshot("/")).items == ()


async def test_a_full_database_is_an_error_of_its_own(tmp_path: Path) -> None:
    with running(tmp_path / "small", options=["--quota-backend-bytes", "2000000"]) as small:
        client = AsyncEtcd(EtcdSettings((small.endpoint,)))
        await put(client, "/first")
        with pytest.raises(QuotaExceeded, match="compact and defragment"):
            await _fill(client)
        assert await client.get("/first") is not None
        await client.close()


async def _fill(client: AsyncEtcd) -> None:
    """Write until that fails; etcd notices with some delay how large its database is."""
    async with asyncio.timeout(60):
        for number in itertools.count():
            await put(client, f"/{number}", bytes(200_000))


async def _value(client: AsyncEtcd) -> bytes | None:
    try:
        item = await client.get("/n")
    except Unavailable:
        return None
    return item.value if item else None
