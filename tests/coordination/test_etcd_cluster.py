"""Three nodes, and the one that a client talks to dies or stops."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from coordination.errors import Unavailable
from coordination.etcd import AsyncEtcd, SyncEtcd
from coordination.gateway import Batch, EtcdSettings, Put
from tests.coordination.stores import Threaded, put
from tests.coordination.test_etcd_restarts import read, write
from tests.etcd_server import EtcdServer, cluster

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EtcdServer]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def settings(nodes: list[EtcdServer]) -> Iterator[EtcdSettings]:
    """Settings that name all nodes; afterwards all of them are well again."""
    yield EtcdSettings(tuple(node.endpoint for node in nodes))
    for node in nodes:
        if node.process is not None and node.process.poll() is not None:
            node.launch()
        node.resume()
    for node in nodes:
        node.wait_healthy()


HARM: list[Callable[[EtcdServer], None]] = [EtcdServer.kill, EtcdServer.pause]


@pytest.mark.parametrize("harm", HARM)
async def test_watch_lease_and_writes_move_on(
    nodes: list[EtcdServer], settings: EtcdSettings, harm: Callable[[EtcdServer], None]
) -> None:
    client = AsyncEtcd(settings)
    start = await put(client, "/n", b"0")
    lease = await client.grant(60)
    watching = asyncio.create_task(read(client, start, b"200"))
    async with asyncio.timeout(60):
        await write(client, range(1, 101))
        harm(next(node for node in nodes if node.endpoint == client.endpoint))
        await write(client, range(101, 201))
        assert await client.keep_alive(lease.id) == 60
        assert [int(event.item.value) for event in await watching] == list(range(201))
    await client.close()


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("kind", [AsyncEtcd, SyncEtcd])
async def test_a_read_moves_on_within_its_deadline(
    nodes: list[EtcdServer], settings: EtcdSettings, kind: Any, harm: Callable[[EtcdServer], None]
) -> None:
    used = kind(settings)
    client = used if isinstance(used, AsyncEtcd) else Threaded(used)
    await put(client, "/a", b"1")
    harm(next(node for node in nodes if node.endpoint == used.endpoint))
    item = await client.get("/a", timeout=6)
    assert item is not None
    assert item.value == b"1"
    await client.close()


async def test_a_minority_is_said_to_be_unavailable(nodes: list[EtcdServer], settings: EtcdSettings) -> None:
    client = AsyncEtcd(settings)
    await put(client, "/a")
    for node in nodes[:2]:
        node.pause()
    with pytest.raises(Unavailable):
        await client.transact([], [Put("/a", b"")], timeout=1)
    for node in nodes[:2]:
        node.resume()
    async with asyncio.timeout(60):
        while True:
            try:
                await client.transact([], [Put("/a", b"")], timeout=1)
                break
            except Unavailable:
                continue
    await client.close()


async def test_a_member_without_a_quorum_is_left(
    etcd: EtcdServer, nodes: list[EtcdServer], settings: EtcdSettings
) -> None:
    """It accepts connections and answers some calls, so that it can be told apart only by its failures. A watch on it
    that has nowhere else to go says so instead of staying silent."""
    lonely, *others = nodes
    client = AsyncEtcd(EtcdSettings((lonely.endpoint, etcd.endpoint)))
    etcd.pause()
    await client.get("/a")
    etcd.resume()
    assert client.endpoint == lonely.endpoint
    bound = AsyncEtcd(EtcdSettings((lonely.endpoint,)))
    cut_off = bound.watch("/a", 1)
    await anext(cut_off)
    for node in others:
        node.pause()
    async with asyncio.timeout(60):
        watching = asyncio.create_task(_drain(cut_off))
        while client.endpoint != etcd.endpoint:
            # The first may still be answered with what the others said just before they stopped.
            await client.get("/a", timeout=6)
        async with aclosing(client.watch("/a", 1)) as watch:
            await anext(watch)
        with pytest.raises(Unavailable):
            await watching
    await client.close()
    await bound.close()


async def _drain(watch: AsyncGenerator[Batch, None]) -> None:
    async for _ in watch:
        pass
