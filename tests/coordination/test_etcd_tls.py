"""TLS with client certificates: only who has one gets in, and a wrong set-up is explained."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordination.errors import InvalidRequest, Unavailable
from coordination.etcd import AsyncEtcd, SyncEtcd
from coordination.gateway import EtcdSettings
from tests.certificates import Authority
from tests.coordination.stores import Threaded, put
from tests.etcd_server import EtcdServer, running

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority").create()


@pytest.fixture(scope="module")
def guarded(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd that lets in only clients with a certificate of the authority."""
    own = authority.issue("server", "serverAuth")
    options = [
        *("--cert-file", str(own.certificate), "--key-file", str(own.key)),
        *("--client-cert-auth", "--trusted-ca-file", str(authority.certificate)),
    ]
    with running(tmp_path_factory.mktemp("guarded"), options=options, scheme="https") as server:
        yield server


def settings(server: EtcdServer, ca: Authority, client: Authority | None) -> EtcdSettings:
    files = {"certificate": str(client.certificate), "key": str(client.key)} if client else {}
    return EtcdSettings((server.endpoint,), ca=str(ca.certificate), **files)


@pytest.mark.parametrize("kind", [AsyncEtcd, SyncEtcd])
async def test_a_client_certificate_opens_the_door(guarded: EtcdServer, authority: Authority, kind: Any) -> None:
    made = kind(settings(guarded, authority, authority.issue("client", "clientAuth")))
    client = made if isinstance(made, AsyncEtcd) else Threaded(made)
    revision = await put(client, "/a", b"1")
    item = await client.get("/a")
    assert item is not None
    assert item.mod_revision == revision
    if isinstance(made, AsyncEtcd):
        watch = made.watch("/a", revision)
        await anext(watch)
        assert (await anext(watch)).revision == revision
        await watch.aclose()
    await client.close()


async def test_without_the_right_papers_nobody_gets_in(
    guarded: EtcdServer, authority: Authority, tmp_path: Path
) -> None:
    """No client certificate, another authority's, a server that one does not trust, no TLS at all."""
    stranger = Authority(tmp_path, "stranger").create()
    clients = [
        AsyncEtcd(settings(guarded, authority, None)),
        AsyncEtcd(settings(guarded, authority, stranger.issue("client", "clientAuth"))),
        AsyncEtcd(settings(guarded, stranger, authority.issue("other", "clientAuth"))),
        AsyncEtcd(EtcdSettings((guarded.endpoint,))),
    ]
    results = await asyncio.gather(*(client.get("/a", timeout=1) for client in clients), return_exceptions=True)
    for result in results:
        assert isinstance(result, Unavailable)
        assert "TLS files" in str(result)
        assert guarded.endpoint in str(result)
    assert "CERTIFICATE_VERIFY_FAILED" in str(results[2])
    for client in clients:
        await client.close()


@pytest.mark.parametrize("kind", [AsyncEtcd, lambda settings: SyncEtcd(settings).get("a")])
def test_unusable_files_are_named_at_once(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="missing"):
        kind(EtcdSettings(ca=str(tmp_path / "missing.pem")))
    with pytest.raises(InvalidRequest, match="CA"):
        kind(EtcdSettings(certificate="client.pem", key="client.key"))
