"""A real etcd for the whole session, and a real MariaDB."""

import subprocess
from collections.abc import Iterator

import pytest

from tests import etcd_server
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
