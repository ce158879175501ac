"""Authentication: users, roles, tokens that end, and refusals that say what to do."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from coordination.errors import AuthenticationFailed, PermissionDenied, Unavailable
from coordination.etcd import AsyncEtcd, SyncEtcd
from coordination.etcd import etcd_pb2 as pb
from coordination.gateway import EtcdSettings, Put
from tests.coordination.stores import Threaded, put
from tests.etcd_server import EtcdServer, running

pytestmark = pytest.mark.anyio

TOKEN_TTL = 1
"""Seconds; the shortest that etcd knows."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd with authentication on: ``root``, and ``worker`` who may use ``/mine/`` only."""
    options = ["--auth-token-ttl", str(TOKEN_TTL)]
    with running(tmp_path_factory.mktemp("secured"), options=options) as server:
        secure(server)
        yield server


def secure(server: EtcdServer) -> None:
    for user in ("root", "worker"):
        server.api("auth/user/add", {"name": user, "password": f"secret of {user}"})
        server.api("auth/role/add", {"name": user})
        server.api("auth/user/grant", {"user": user, "role": user})
    grant_prefix(server, "/mine/", "/mine0")
    server.api("auth/enable")


def grant_prefix(server: EtcdServer, start: str, end: str) -> None:
    permission = {"permType": "READWRITE", "key": encoded(start), "range_end": encoded(end)}
    server.api("auth/role/grant", {"name": "worker", "perm": permission})


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def drop_tokens(server: EtcdServer, user: str) -> None:
    """A new password, here the old one, ends all tokens of a user."""
    root = server.api("auth/authenticate", {"name": "root", "password": "secret of root"})["token"]
    server.api("auth/user/changepw", {"name": user, "password": f"secret of {user}"}, token=root)


@pytest.fixture(params=[AsyncEtcd, SyncEtcd])
async def connect(request: pytest.FixtureRequest, secured: EtcdServer) -> AsyncIterator[Callable[..., Any]]:
    """Makes clients of each kind."""
    clients = []

    def connect(user: str = "worker", password: str = "secret of worker", *, endpoint: str = secured.endpoint) -> Any:
        client = request.param(EtcdSettings((endpoint,), user=user, password=password))
        clients.append(client if isinstance(client, AsyncEtcd) else Threaded(client))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


async def test_a_user_signs_in_when_needed(connect: Callable[..., Any], secured: EtcdServer) -> None:
    client = connect()
    await put(client, "/mine/a", b"1")
    for call in (
        lambda: client.get("/mine/a"),
        lambda: client.snapshot("/mine/"),
        lambda: client.transact([], [Put("/mine/a", b"2")]),
        lambda: client.grant(60),
    ):
        drop_tokens(secured, "worker")
        assert await call()


async def test_many_calls_at_once_survive_the_end_of_a_token(connect: Callable[..., Any], secured: EtcdServer) -> None:
    client = connect()
    await put(client, "/mine/a", b"1")
    drop_tokens(secured, "worker")
    items = await asyncio.gather(*(client.get("/mine/a") for _ in range(8)))
    assert {item.value for item in items} == {b"1"}


async def test_a_token_that_expired_is_replaced(secured: EtcdServer) -> None:
    """Calls and watches, those that run and new ones; the expiry itself is what is waited for."""
    client = AsyncEtcd(EtcdSettings((secured.endpoint,), user="worker", password="secret of worker"))
    start = await put(client, "/mine/a", b"1")
    async with aclosing(client.watch("/mine/", start + 1)) as old:
        await anext(old)
        await asyncio.sleep(2 * TOKEN_TTL + 0.5)
        async with aclosing(client.watch("/mine/", start + 1)) as fresh, asyncio.timeout(5):
            await anext(fresh)
            last = await put(client, "/mine/a", b"2")
            assert [(await anext(watch)).revision for watch in (old, fresh)] == [last, last]
    await client.close()


@pytest.mark.parametrize("kind", [AsyncEtcd, SyncEtcd])
async def test_an_etcd_that_was_emptied_does_not_wait_for_what_a_token_names(
    kind: type[AsyncEtcd] | type[SyncEtcd], tmp_path: Path
) -> None:
    with running(tmp_path, options=["--bcrypt-cost", "4"]) as server:
        secure(server)
        made = kind(EtcdSettings((server.endpoint,), user="worker", password="secret of worker"))
        client = made if isinstance(made, AsyncEtcd) else Threaded(made)
        for number in range(100):
            await put(client, f"/mine/{number}", b"1")
        drop_tokens(server, "worker")
        await put(client, "/mine/a", b"with a token of index 100 and more")
        server.kill()
        server.wipe()
        server.start()
        secure(server)
        # The first finds a broken connection, the second a token of no use; whoever waits for its index gets nowhere.
        for _ in range(3):
            with suppress(Unavailable):
                await client.get("/mine/a", timeout=2)
        assert await client.get("/mine/a") is None
        await put(client, "/mine/a", b"2")
        if isinstance(client, AsyncEtcd):
            async with aclosing(client.watch("/mine/", 1)) as watch:
                assert (await anext(watch)).confirmed
        await client.close()


async def test_a_watch_does_not_wait_for_it_either(secured: EtcdServer) -> None:
    client = AsyncEtcd(EtcdSettings((secured.endpoint,), user="worker", password="secret of worker"))
    await client.get("/mine/a")
    client._session.token = f"{client._session.token.partition('.')[0]}.5000"
    async with aclosing(client.watch("/mine/", 1)) as watch, asyncio.timeout(12):
        with suppress(Unavailable):
            await anext(watch)
    async with aclosing(client.watch("/mine/", 1)) as watch, asyncio.timeout(2):
        assert (await anext(watch)).confirmed
    await client.close()


@pytest.mark.parametrize(
    ("user", "password", "sentence"),
    [
        ("worker", "wrong", "check the etcd user and password"),
        ("nobody", "wrong", "check the etcd user and password"),
        ("", "", "set an etcd user and password"),
    ],
)
async def test_a_failed_sign_in_says_so(connect: Callable[..., Any], user: str, password: str, sentence: str) -> None:
    client = connect(user, password)
    with pytest.raises(AuthenticationFailed, match=sentence) as caught:
        await client.get("/mine/a")
    assert password not in str(caught.value) or not password
    with pytest.raises(AuthenticationFailed):
        await put(client, "/mine/a")


async def test_foreign_keys_are_refused(connect: Callable[..., Any]) -> None:
    client = connect()
    for call in (
        lambda: client.get("/others/a"),
        lambda: client.snapshot("/"),
        lambda: client.transact([], [Put("/others/a", b"")]),
    ):
        with pytest.raises(PermissionDenied, match="grant this etcd user a role"):
            await call()
    assert await client.snapshot("/mine/")


@pytest.mark.parametrize(
    ("user", "password", "prefix", "error"),
    [
        ("worker", "secret of worker", "/others/", PermissionDenied),
        ("worker", "wrong", "/mine/", AuthenticationFailed),
        ("", "", "/mine/", (PermissionDenied, AuthenticationFailed)),
    ],
)
async def test_a_refused_watch_says_so(secured: EtcdServer, user: str, password: str, prefix: str, error: Any) -> None:
    client = AsyncEtcd(EtcdSettings((secured.endpoint,), user=user, password=password))
    async with asyncio.timeout(5):
        with pytest.raises(error):
            await anext(client.watch(prefix, 1))
    await client.close()


async def test_a_user_does_no_harm_while_authentication_is_off(etcd: EtcdServer) -> None:
    client = AsyncEtcd(EtcdSettings((etcd.endpoint,), user="worker", password="secret"))
    await client.get("/a")
    await client.close()


@pytest.fixture
async def reserved() -> AsyncIterator[str]:
    """A server that answers to reads, and tells nobody its status in the words of etcd 3.5.30 for whose certificate is
    made out to none of its users."""

    async def status(request: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "etcdserver: user name not found")

    async def read(request: bytes, context: Any) -> bytes:
        return pb.RangeResponse().SerializeToString()

    server = grpc.aio.server()
    for service, name, answer in (("Maintenance", "Status", status), ("KV", "Range", read)):
        handlers = {name: grpc.unary_unary_rpc_method_handler(answer)}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(f"etcdserverpb.{service}", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_a_server_that_keeps_its_status_to_itself_is_there(connect: Callable[..., Any], reserved: str) -> None:
    assert await connect("", "", endpoint=reserved).get("a") is None
