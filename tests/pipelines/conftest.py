"""A real etcd for the whole session, a prefix of its own for each test."""

import uuid
from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model

from coordination.etcd.blocking import SyncEtcd
from coordination.gateway import EtcdSettings
from coordination.keys import Keys
from pipelines import publishing
from tests import etcd_server
from tests.pipelines.makers import Console
from workers import store


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[etcd_server.EtcdServer]:
    """One etcd, shared; a test that stops it starts it again."""
    with etcd_server.running(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def console(etcd, settings, monkeypatch, transactional_db) -> Iterator[Console]:
    """The console's side of this test: its prefix in etcd, and makers for what it defines."""
    settings.ECTS_ETCD_PREFIX = f"/test-{uuid.uuid4().hex}"
    gateway = SyncEtcd(EtcdSettings(endpoints=(etcd.endpoint,)))
    monkeypatch.setattr(store, "sync_gateway", lambda: gateway)
    # No request waits for so long, but these tests do, on a busy machine, rather than have a master as well.
    monkeypatch.setattr(publishing, "WEB_BUDGET", 2.0)
    yield Console(gateway, Keys(settings.ECTS_ETCD_PREFIX), etcd)
    gateway.close()


@pytest.fixture
def admin(client, console):
    client.force_login(get_user_model().objects.create_superuser("admin"))
    return client


@pytest.fixture
def refusing(client, db):
    """For forms that must not be taken: without commits nothing is published, which saves time."""
    client.force_login(get_user_model().objects.create_superuser("admin"))
    return client
