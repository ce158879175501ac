"""No call waits longer than its deadline, whatever the other side does, and each failure says what to do."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
import pytest

from coordination.errors import DeadlineExceeded, Unavailable
from coordination.etcd import AsyncEtcd, SyncEtcd
from coordination.etcd import etcd_pb2 as pb
from coordination.gateway import CALL_TIMEOUT, Batch, EtcdSettings, Put
from tests.coordination.stores import Threaded, put
from tests.etcd_server import EtcdServer, free_ports

pytestmark = pytest.mark.anyio

DEADLINE = 0.5
GUARD = 0.9 * CALL_TIMEOUT
"""Seconds after which a call is taken to ignore its deadline: as much as tells it from one that was given none."""

CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "get": lambda g: g.get("a", timeout=DEADLINE),
    "snapshot": lambda g: g.snapshot("a", timeout=DEADLINE),
    "transact": lambda g: g.transact([], [Put("a", b"")], timeout=DEADLINE),
    "grant": lambda g: g.grant(60, timeout=DEADLINE),
    "keep_alive": lambda g: g.keep_alive(1, timeout=DEADLINE),
    "revoke": lambda g: g.revoke(1, timeout=DEADLINE),
}


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """A server with a connection that is well, which confirms every watch and says nothing more, and never answers to
    a sign-in."""

    async def status(request: bytes, context: Any) -> bytes:
        return b""

    async def watch(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        yield pb.WatchResponse(created=True).SerializeToString()
        async for _ in requests:
            pass

    async def authenticate(request: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()
        return b""

    server = grpc.aio.server()
    handlers = {"Authenticate": grpc.unary_unary_rpc_method_handler(authenticate)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("etcdserverpb.Auth", handlers)])
    handlers = {"Status": grpc.unary_unary_rpc_method_handler(status)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("etcdserverpb.Maintenance", handlers)])
    handlers = {"Watch": grpc.stream_stream_rpc_method_handler(watch)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("etcdserverpb.Watch", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture(params=[AsyncEtcd, SyncEtcd])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[str], Any]]:
    """Makes clients of each kind."""
    clients = []

    def connect(endpoint: str, **settings: str) -> Any:
        client = request.param(EtcdSettings((endpoint,), **settings))
        clients.append(client if isinstance(client, AsyncEtcd) else Threaded(client))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


async def check(client: Any, endpoint: str, sentence: str) -> None:
    """Every call fails in time with a sentence that names the endpoint."""
    calls = {name: call for name, call in CALLS.items() if hasattr(client, name)}
    async with asyncio.timeout(GUARD):
        results = await asyncio.gather(*(call(client) for call in calls.values()), return_exceptions=True)
    for name, result in zip(calls, results, strict=True):
        assert isinstance(result, Unavailable), (name, result)
        assert re.search(sentence, str(result)), name
        assert endpoint in str(result), name


async def test_nobody_listens(connect: Callable[[str], Any]) -> None:
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    await check(connect(endpoint), endpoint, "cannot connect: check that etcd runs.*refused")


async def test_a_listener_never_answers(connect: Callable[[str], Any], mute: str) -> None:
    await check(connect(mute), mute, "cannot connect: check that etcd runs")


async def test_a_listener_never_answers_to_the_sign_in(connect: Callable[..., Any], mute: str) -> None:
    await check(connect(mute, user="u", password="p"), mute, "cannot connect: check that etcd runs")


async def test_who_waits_for_anothers_sign_in_keeps_to_the_deadline(connect: Callable[..., Any], silent: str) -> None:
    """Only one call signs in at a time; when it gets no answer, the others do not queue up behind it."""
    client = connect(silent, user="u", password="p")
    patient = asyncio.create_task(client.get("a", timeout=60))
    await asyncio.gather(*(check(client, silent, "no answer") for _ in range(3)))
    assert not patient.done()
    await client.close()
    with pytest.raises(Unavailable):
        await patient


async def test_a_stopped_server_is_noticed(connect: Callable[[str], Any], own_etcd: EtcdServer) -> None:
    client = connect(own_etcd.endpoint)
    await put(client, "a")
    own_etcd.pause()
    async with asyncio.timeout(GUARD):
        with pytest.raises(DeadlineExceeded, match="no answer in time"):
            await client.transact([], [Put("a", b"")], timeout=DEADLINE)
    await check(client, own_etcd.endpoint, "check that etcd runs")
    own_etcd.resume()
    item = await client.get("a")
    assert item is not None


async def test_watches_notice_that_nobody_is_there(mute: str, silent: str, own_etcd: EtcdServer) -> None:
    """They give up on a closed port, a mute listener, a stopped server, and one that was stopped while it was
    watched; a stream that has gone silent is replaced. All at once, since each takes its time."""
    running = AsyncEtcd(EtcdSettings((own_etcd.endpoint,)))
    await running.get("a")
    watch = running.watch("/", 1)
    await anext(watch)
    own_etcd.pause()
    endpoints = (f"127.0.0.1:{free_ports(1)[0]}", mute, own_etcd.endpoint, silent)
    clients = [running, *(AsyncEtcd(EtcdSettings((endpoint,))) for endpoint in endpoints)]

    async def follow(client: AsyncEtcd) -> list[Batch]:
        async with aclosing(client.watch("/", 1)) as fresh:
            return [await anext(fresh), await anext(fresh)]

    async with asyncio.timeout(25):
        *failures, replaced = await asyncio.gather(anext(watch), *map(follow, clients), return_exceptions=True)
    assert all(isinstance(failure, Unavailable) for failure in failures), failures
    assert replaced == [Batch(0, (), confirmed=True)] * 2
    for client in clients:
        await client.close()


async def test_closing_fails_the_calls_under_way(connect: Callable[[str], Any], mute: str) -> None:
    client = connect(mute)
    waiting = asyncio.create_task(client.get("a", timeout=60))
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    await client.close()
    async with asyncio.timeout(GUARD):
        with pytest.raises(Unavailable, match="closed"):
            await waiting
