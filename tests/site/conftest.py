"""A real etcd for the whole session, and a real MariaDB."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from coordination.etcd import EtcdAccounts
from coordination.gateway import EtcdSettings, Permission
from ects_site.configuration_file import Etcd
from tests import etcd_server
from tests.etcd_security import Security
from tests.site.processes import ROOT, environment

MARIADB = "source scripts/lib/development.sh; with_mariadb sh -c 'echo \"$ECTS_DATABASE_URL\"; cat'"
"""The server that ``scripts/test`` uses; it lives until its input ends."""


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[etcd_server.EtcdServer]:
    """One etcd, shared; a test that stops it starts it again."""
    with etcd_server.running(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="package")
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
    assert process.wait(120) == 0


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdSettings]:
    """The way in to an etcd with client certificates and passwords, as ``console``, who may make users.

    ``limited`` may use ``/ects/`` only, ``reader`` may read it. Each has the password ``secret of <name>``.
    """
    security = Security(tmp_path_factory.mktemp("papers"))
    with etcd_server.running(tmp_path_factory.mktemp("guarded"), **security.server_settings()) as server:
        security.switch_on([server.endpoint])
        with closing(EtcdAccounts(security.settings([server.endpoint]))) as accounts:
            accounts.put_role("limited", [Permission("/ects/", prefix=True, write=True)])
            accounts.put_role("reader", [Permission("/ects/", prefix=True)])
            for user, role in (("console", "root"), ("limited", "limited"), ("reader", "reader")):
                accounts.put_user(user, f"secret of {user}", [role])
        yield replace(security.settings([server.endpoint]), user="console", password="secret of console")


@pytest.fixture
def guarded_etcd(guarded: EtcdSettings) -> Etcd:
    """The same in a configuration file."""
    names = ("user", "password", "ca", "certificate", "key")
    return Etcd(endpoints=list(guarded.endpoints), **{name: getattr(guarded, name) for name in names})
