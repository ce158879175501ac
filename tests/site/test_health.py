"""Health is answered in time, with the reason, whatever is down."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.db.migrations.recorder import MigrationRecorder

from coordination.etcd import SyncEtcd
from coordination.gateway import EtcdSettings
from tests.etcd_server import EtcdServer
from tests.site.processes import ROOT, environment
from workers import store

ASK = """
import json, sys, time, django
django.setup()
from django.test import Client
Client().get("/healthz")  # what is loaded with the first request takes its time, too
began = time.monotonic()
reply = Client().get("/readyz")
print(json.dumps([reply.status_code, reply.json(), time.monotonic() - began]))
reply = Client(raise_request_exception=False).post("/api/v1/auth/token/", {"username": "a", "password": "b"})
print(json.dumps([reply.status_code, reply.json()]))
"""


@pytest.fixture
def gateway(etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch):
    gateway = SyncEtcd(EtcdSettings(endpoints=(etcd.endpoint,)))
    monkeypatch.setattr(store, "sync_gateway", lambda: gateway)
    yield gateway
    gateway.close()


def test_alive(client) -> None:
    reply = client.get("/healthz")
    assert (reply.status_code, reply.content) == (200, b"ok\n")


@pytest.mark.django_db(transaction=True)
def test_ready(client, gateway) -> None:
    reply = client.get("/readyz")
    assert reply.json() == {"ready": True, "database": "ok", "migrations": "ok", "etcd": "ok"}
    assert reply.status_code == 200


@pytest.mark.django_db(transaction=True)
def test_etcd_hangs(client, gateway, etcd: EtcdServer) -> None:
    etcd.pause()
    try:
        reply = client.get("/readyz")
    finally:
        etcd.resume()
    assert reply.status_code == 503
    said = reply.json()
    assert (said["ready"], said["database"], said["migrations"]) == (False, "ok", "ok")
    assert said["etcd"] not in ("ok", "")


@pytest.mark.django_db(transaction=True)
def test_migrations_are_missing(client, gateway) -> None:
    rows = MigrationRecorder.Migration.objects
    row = rows.filter(app="pipelines").latest("id")
    row.delete()
    try:
        reply = client.get("/readyz")
    finally:
        rows.create(app=row.app, name=row.name, applied=row.applied)
    assert reply.status_code == 503
    assert reply.json()["migrations"] == "1 migrations are not applied: run manage.py migrate"
    assert client.get("/readyz").status_code == 200


def _asked(directory: Path, port: int) -> list[str]:
    env = environment(
        directory,
        DJANGO_SETTINGS_MODULE="ects_site.settings",
        ECTS_DATABASE_URL=f"mysql://u:p@127.0.0.1:{port}/d",
        ECTS_ETCD_ENDPOINTS="127.0.0.1:1",
    )
    asked = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=True
    )
    return asked.stdout.splitlines()


def test_the_database_refuses(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ready, token = _asked(tmp_path, closed.getsockname()[1])
    assert ready.startswith("[503,")
    assert "Can't connect" in ready
    assert token.startswith('[503, {"detail": "The database does not answer now')


def test_the_database_accepts_and_never_answers(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        ready, token = _asked(tmp_path, silent.getsockname()[1])
    assert '"database": "no answer within 2 s"' in ready
    assert float(ready.rstrip("]").rpartition(",")[2]) < 4.5
    assert token.startswith("[503,")
