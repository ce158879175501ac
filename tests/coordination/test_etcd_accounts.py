"""Users and roles, by a real etcd with authentication on: what a worker may, and what it may not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing, closing
from dataclasses import replace
from typing import Any

import pytest

from coordination import rights
from coordination.errors import AuthenticationFailed, PermissionDenied
from coordination.etcd import AsyncEtcd, EtcdAccounts, SyncEtcd
from coordination.gateway import Compare, EtcdSettings, Permission, Put
from coordination.keys import Keys
from tests.etcd_server import EtcdServer, running

KEYS = Keys("/installation")
ME, OTHER = "0b7c4f2e-9d57-4d0e-8f0c-000000000001", "0b7c4f2e-9d57-4d0e-8f0c-000000000002"

Connect = Callable[..., SyncEtcd]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdSettings]:
    """An etcd with authentication on, as its root sees it."""
    with running(tmp_path_factory.mktemp("accounts"), options=["--bcrypt-cost", "4"]) as server:
        settings = EtcdSettings((server.endpoint,), user="root", password="secret of root")
        with closing(EtcdAccounts(settings)) as accounts:
            accounts.require("secret of root")
        yield settings


@pytest.fixture
def accounts(root: EtcdSettings) -> Iterator[EtcdAccounts]:
    with closing(EtcdAccounts(root)) as it:
        yield it


@pytest.fixture
def connect(root: EtcdSettings) -> Iterator[Connect]:
    """Makes clients of users."""
    with ExitStack() as stack:

        def connect(user: str, password: str) -> SyncEtcd:
            return stack.enter_context(closing(SyncEtcd(replace(root, user=user, password=password))))

        yield connect


def refused(call: Callable[[], Any]) -> bool:
    """Whether etcd says that it is not permitted; it must say nothing else."""
    try:
        call()
    except PermissionDenied:
        return True
    return False


def test_authentication_is_switched_on_once(own_etcd: EtcdServer) -> None:
    nobody = EtcdSettings((own_etcd.endpoint,))
    with closing(EtcdAccounts(replace(nobody, user="root", password="first"))) as accounts:
        assert not accounts.is_required()
        accounts.put_user("worker", "w", [])
        for password in ("first", "second"):
            accounts.require(password)
        assert accounts.is_required()
        assert accounts.users() == {"root", "worker"}
    for settings in (nobody, replace(nobody, user="root", password="second")):
        with closing(EtcdAccounts(settings)) as accounts:
            assert accounts.is_required()
            with pytest.raises(AuthenticationFailed):
                accounts.users()


def test_a_role_holds_what_was_put_last(accounts: EtcdAccounts, connect: Connect) -> None:
    accounts.put_role("changing", [Permission("/a", write=True), Permission("/b/", prefix=True)])
    accounts.put_user("changing", "p", ["changing"])
    client = connect("changing", "p")
    client.transact([], [Put("/a", b"")])
    client.snapshot("/b/")
    assert refused(lambda: client.transact([], [Put("/b/1", b"")]))

    accounts.put_role("changing", [Permission("/b/", prefix=True, write=True), Permission("/c")])
    client.transact([], [Put("/b/1", b"")])
    assert client.get("/c") is None
    assert refused(lambda: client.get("/a"))
    assert accounts.roles_of("changing") == {"changing"}


def test_a_new_password_ends_the_old_one(accounts: EtcdAccounts, connect: Connect) -> None:
    accounts.put_role("reader", [Permission("/r")])
    accounts.put_user("reader", "old", ["reader"])
    old = connect("reader", "old")
    assert old.get("/r") is None
    accounts.put_user("reader", "new", ["reader"])
    with pytest.raises(AuthenticationFailed):
        old.get("/r")
    assert connect("reader", "new").get("/r") is None


def test_a_removed_user_is_out(accounts: EtcdAccounts, connect: Connect) -> None:
    accounts.put_role("gone", [Permission("/g")])
    accounts.put_user("gone", "p", ["gone"])
    client = connect("gone", "p")
    assert client.get("/g") is None
    for _ in range(2):
        accounts.remove_user("gone")
        accounts.remove_role("gone")
    with pytest.raises(AuthenticationFailed):
        client.get("/g")
    assert "gone" not in accounts.users()


def test_only_root_manages_users(accounts: EtcdAccounts, root: EtcdSettings) -> None:
    accounts.put_role("whole", [Permission("", prefix=True, write=True)])
    accounts.put_user("whole", "p", ["whole"])
    with closing(EtcdAccounts(replace(root, user="whole", password="p"))) as other:
        assert other.is_required()
        for call in (
            other.users,
            lambda: other.put_user("x", "x", []),
            lambda: other.put_role("x", []),
            lambda: other.remove_user("whole"),
        ):
            assert refused(call)


def test_requests_survive_the_changing_of_users(accounts: EtcdAccounts, connect: Connect) -> None:
    """etcd refuses what it was asked before a change of its users and carries out after; such a request is sent again,
    as often as it takes while somebody adds a hundred nodes."""
    accounts.put_role("writer", [Permission("/w", write=True)])
    accounts.put_user("writer", "p", ["writer"])
    client = connect("writer", "p")
    client.transact([], [Put("/w", b"")])
    done = threading.Event()
    wrong: list[Exception] = []
    count = 0

    def write() -> None:
        nonlocal count
        while not done.is_set():
            try:
                client.transact([], [Put("/w", b"")])
                count += 1
            except Exception as error:
                wrong.append(error)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    try:
        for number in range(100):
            accounts.put_role(f"new {number}", [Permission(f"/{number}")])
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert not wrong
    assert count


@pytest.fixture(scope="module")
def papers(root: EtcdSettings) -> EtcdSettings:
    """What enrolment gives a worker."""
    with closing(EtcdAccounts(root)) as accounts:
        accounts.put_role(rights.worker_role(KEYS), rights.of_workers(KEYS))
        for node in (ME, OTHER):
            name = rights.node_name(KEYS, node)
            accounts.put_role(name, rights.of_node(KEYS, node))
            accounts.put_user(name, f"secret of {node}", [name, rights.worker_role(KEYS)])
        assert rights.nodes_among(KEYS, accounts.users()) == {ME, OTHER}
        assert rights.nodes_among(Keys("/installation/node"), accounts.users()) == set()
    return replace(root, user=rights.node_name(KEYS, ME), password=f"secret of {ME}")


@pytest.fixture(scope="module")
def worker(papers: EtcdSettings) -> Iterator[SyncEtcd]:
    with closing(SyncEtcd(papers)) as client:
        yield client


class TestAWorker:
    """What it may do, and all that it may not."""

    @pytest.mark.parametrize(
        "key",
        [
            *(KEYS.epoch(), KEYS.nodes(), KEYS.sessions(), KEYS.all_fires()),
            *(KEYS.pipelines(ME), KEYS.commands(ME), KEYS.node(OTHER), KEYS.session(OTHER, "s"), KEYS.fires("p")),
        ],
    )
    def test_reads(self, worker: SyncEtcd, key: str) -> None:
        if key.endswith("/"):
            worker.snapshot(key)
        else:
            worker.get(key)

    @pytest.mark.anyio
    @pytest.mark.parametrize("prefix", [KEYS.config(), KEYS.pipelines(ME), KEYS.commands(ME), KEYS.nodes()])
    async def test_watches(self, papers: EtcdSettings, prefix: str) -> None:
        client = AsyncEtcd(papers)
        snapshot = await client.snapshot(prefix)
        async with aclosing(client.watch(prefix, snapshot.revision + 1)) as batches:
            assert (await anext(batches)).events == ()
        await client.close()

    @pytest.mark.parametrize("key", [KEYS.node(ME), KEYS.session(ME, "s"), KEYS.fires("p")])
    def test_writes(self, worker: SyncEtcd, key: str) -> None:
        lease = worker.grant(60).id
        there = [Compare.exists(KEYS.session(ME, "s")), Compare.absent(KEYS.session(OTHER, "s"))]
        worker.transact([*there, Compare.exists(KEYS.epoch())], [Put(key, b"")])
        worker.transact([], [Put(key, b"", lease)])
        worker.revoke(lease)
        assert worker.get(key) is None

    @pytest.mark.parametrize(
        "prefix",
        [
            *(KEYS.pipelines(OTHER), KEYS.commands(OTHER), KEYS.all_pipelines(), f"{KEYS.prefix}/commands/"),
            *(f"{KEYS.prefix}/elections/", f"{KEYS.prefix}/", "/", "", "/another/pipelines/"),
        ],
    )
    def test_does_not_read(self, worker: SyncEtcd, prefix: str) -> None:
        assert refused(lambda: worker.snapshot(prefix))
        assert refused(lambda: worker.get(f"{prefix}x"))
        assert refused(lambda: worker.transact([Compare.exists(f"{prefix}x")], []))

    @pytest.mark.parametrize(
        "key",
        [
            *(KEYS.pipeline(ME, "p"), KEYS.command(ME, "c"), KEYS.pipeline(OTHER, "p"), KEYS.command(OTHER, "c")),
            *(KEYS.node(OTHER), KEYS.session(OTHER, "s"), KEYS.config(), KEYS.epoch(), KEYS.election(), KEYS.probe()),
            *(KEYS.node(ME) + "0", "/another/fires/p"),
        ],
    )
    def test_does_not_write(self, worker: SyncEtcd, key: str) -> None:
        assert refused(lambda: worker.transact([], [Put(key, b"")]))

    def test_does_not_end_another_s_session(self, worker: SyncEtcd, root: EtcdSettings) -> None:
        other = replace(root, user=rights.node_name(KEYS, OTHER), password=f"secret of {OTHER}")
        with closing(SyncEtcd(other)) as client:
            lease = client.grant(60).id
            client.transact([], [Put(KEYS.session(OTHER, "s"), b"", lease)])
            assert refused(lambda: worker.revoke(lease))
            assert client.get(KEYS.session(OTHER, "s")) is not None
            client.revoke(lease)
