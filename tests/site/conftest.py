"""A real etcd for the whole session, and a real MariaDB."""

import subprocess
from collections.abc import Iterator

import pytest

from ects_site.configuration_file import Etcd
from tests import etcd_server
from tests.coordination.certificates import Authority
from tests.coordination.test_etcd_auth import encoded
from tests.etcd_server import EtcdServer
from tests.site.processes import ROOT, environment

MARIADB = "source scripts/lib/development.sh; with_mariadb sh -c 'echo \"$ECTS_DATABASE_URL\"; cat'"
"""The server that ``scripts/test`` uses; it lives until its input ends."""


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[etcd_server.EtcdServer]:
    """One etcd, shared; a test that stops it starts it again."""
    with etcd_server.running(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of a MariaDB of its own, whose user root has no password."""
    process = subprocess.Popen(
        ["bash", "-c", MARIADB],
        cwd=ROOT,
        env=environment(tmp_path_factory.mktemp("unused")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("mysql://"), url
    yield url.partition("unix_socket=")[2]
    process.stdin.close()
    assert process.wait(30) == 0


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority").create()


@pytest.fixture(scope="session")
def papers(authority: Authority) -> Authority:
    """Of a client."""
    return authority.issue("client", "clientAuth")


@pytest.fixture(scope="session")
def guarded(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """TLS with client certificates, and passwords: ``console`` may use ``/ects/``, ``reader`` may only read it."""
    own = authority.issue("server", "serverAuth")
    server = EtcdServer(tmp_path_factory.mktemp("guarded"))
    server.start()
    for user, kind in (("root", 2), ("console", 2), ("reader", 0)):
        server.api("auth/user/add", {"name": user, "password": f"secret of {user}"})
        server.api("auth/role/add", {"name": user})
        server.api("auth/user/grant", {"user": user, "role": user})
        permission = {"permType": kind, "key": encoded("/ects/"), "range_end": encoded("/ects0")}
        server.api("auth/role/grant", {"name": user, "perm": permission})
    server.api("auth/enable")
    server.stop()
    server.scheme = "https"
    server.options = [
        *("--cert-file", str(own.certificate), "--key-file", str(own.key)),
        *("--client-cert-auth", "--trusted-ca-file", str(authority.certificate)),
    ]
    server.start()
    yield server
    server.stop()


@pytest.fixture
def guarded_etcd(guarded: EtcdServer, authority: Authority, papers: Authority) -> Etcd:
    """How the console gets into it."""
    return Etcd(
        endpoints=[guarded.endpoint],
        user="console",
        password="secret of console",
        ca=str(authority.certificate),
        certificate=str(papers.certificate),
        key=str(papers.key),
    )
