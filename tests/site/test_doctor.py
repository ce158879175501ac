"""The doctor names what is wrong with a real database and a real etcd, and what to do."""

import json
import os
import resource
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from django.contrib.auth import get_user_model
from django.utils import timezone

from coordination import documents
from coordination.atrest import AtRest
from coordination.documents import Presence
from coordination.errors import CoordinationError
from coordination.etcd import EtcdAccounts, SyncEtcd
from coordination.gateway import EtcdSettings, Permission, Put, SyncGateway
from ects_site.doctor import Finding, examine, members, post
from pipelines.models import Control, Publication
from tasks.models import Secret
from tests import etcd_server
from tests.etcd_server import EtcdServer
from tests.site.processes import manage
from workers import accounts, store
from workers.models import Node, Refusal

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def gateway(etcd: EtcdServer, settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncGateway]:
    settings.ECTS_ETCD = EtcdSettings(endpoints=(etcd.endpoint,))
    settings.ECTS_ETCD_PREFIX = f"/{uuid.uuid4()}"
    with closing(SyncEtcd(settings.ECTS_ETCD)) as gateway:
        monkeypatch.setattr(store, "sync_gateway", lambda: gateway)
        yield gateway


def found(subject: str) -> list[Finding]:
    return [finding for finding in examine() if finding.subject == subject]


def wrong(subject: str) -> str:
    """What is wrong with it and what to do, in one text; every such finding has an advice."""
    findings = [finding for finding in found(subject) if finding.verdict != "ok"]
    assert all(finding.advice for finding in findings)
    return "\n".join(f"{finding.verdict}: {finding.words} -> {finding.advice}" for finding in findings)


def lead(gateway: SyncGateway) -> None:
    keys, now = store.keys(), timezone.now()
    master = Presence(node=str(uuid.uuid4()), name="m1", host="h", mode="master", version="1", pid=1, started_at=now)
    gateway.transact([], [Put(keys.node(master.node), documents.encode(master)), Put(keys.election(), b"m1")])
    gateway.transact([], [Put(keys.epoch(), b"{}")])


def test_a_well_installation(gateway: SyncGateway, settings) -> None:
    lead(gateway)
    Node.objects.create(name="one", online=True, last_seen=timezone.now(), clock_skew=0.1)
    assert wrong("etcd") == wrong("masters") == wrong("worker one") == wrong("publication") == ""
    assert not [finding for finding in found("database") if finding.verdict == "fail"]
    assert [finding.verdict for finding in found("signing key")] == ["ok"]
    assert gateway.get(store.keys().probe()) is None


def test_without_a_master(gateway: SyncGateway) -> None:
    Node.objects.create(name="m1", mode="master", online=True)  # as the last leader left it
    assert "none is running" in wrong("masters")
    assert "runmaster" in wrong("etcd")


def test_one_of_several_endpoints_is_away(gateway: SyncGateway, settings, etcd: EtcdServer) -> None:
    settings.ECTS_ETCD = EtcdSettings(endpoints=("127.0.0.1:1", etcd.endpoint))
    verdicts = {finding.words.split()[0]: finding.verdict for finding in found("etcd")}
    assert (verdicts["127.0.0.1:1"], verdicts[etcd.endpoint]) == ("fail", "ok")


def test_the_passwords_of_etcd(settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Off; on, with a node that has no user; on, by a user that may make none; and shared."""
    with etcd_server.running(tmp_path, options=["--bcrypt-cost", "4"]) as server:
        root = settings.ECTS_ETCD = EtcdSettings((server.endpoint,), user="root", password="r")
        settings.ECTS_ETCD_PREFIX = "/doctor"
        with closing(SyncEtcd(root)) as gateway, closing(EtcdAccounts(root)) as users:
            monkeypatch.setattr(store, "sync_gateway", lambda: gateway)
            monkeypatch.setattr(store, "accounts", lambda: users)
            lead(gateway)
            assert "fail: has authentication off" in wrong("etcd")
            accounts.secure_etcd()
            assert wrong("etcd") == ""
            node = Node.objects.create(name="one", token_digest="x")
            assert "one: joined before" in wrong("etcd")
            accounts.assign(node)
            assert "1 workers miss their user in etcd" in wrong("etcd")
            accounts.Upkeep().round()
            assert wrong("etcd") == ""

            users.put_role("mere", [Permission("/doctor/", prefix=True, write=True)])
            users.put_user("mere", "m", ["mere"])
        settings.ECTS_ETCD = replace(root, user="mere", password="m")
        with closing(EtcdAccounts(settings.ECTS_ETCD)) as users:
            monkeypatch.setattr(store, "accounts", lambda: users)
            assert "fail: no host can join: the console's etcd user mere may not" in wrong("etcd")
            settings.ECTS_ETCD_WORKER_USER = "workers"
            assert "warn: all workers share the user workers" in wrong("etcd")


def test_workers_that_need_somebody(gateway: SyncGateway) -> None:
    now = timezone.now()
    Node.objects.create(name="off", last_seen=now - timedelta(hours=1), host="host-7")
    skewed = Node.objects.create(
        name="skewed", online=True, last_seen=now, clock_skew=-3.5, backlog=20_000, etcd_connected=False,
        incidents=["the disk is full"],
    )  # fmt: skip
    Node.objects.create(name="locked", online=True, last_seen=now, enrolled_at=now)
    Refusal.objects.create(node=skewed, key="/k", reason="bad signature", at=now)
    assert "is offline since" in wrong("worker off")
    assert "host-7" in wrong("worker off")
    assert "its token was revoked" in wrong("worker locked")
    assert "--rejoin" in wrong("worker locked")
    for words in ("3.5 s behind", "NTP", "20000 records", "not connected to etcd", "the disk is full", "refused 1"):
        assert words in wrong("worker skewed")


def test_changes_that_do_not_arrive(gateway: SyncGateway) -> None:
    before, node = timezone.now() - timedelta(seconds=90), uuid.uuid4()
    Publication.objects.create(pipeline=uuid.uuid4(), node=node, wanted=2, wanted_at=before, error="etcd is full")
    Publication.objects.create(
        pipeline=uuid.uuid4(), node=node, wanted=2, published=2, applied=1, pending=False, wanted_at=before
    )
    Control.objects.update_or_create(pk=1, defaults={"paused": True})
    said = wrong("publication")
    for words in ("1 changes wait", "etcd is full", "1 published changes are not confirmed", "paused"):
        assert words in said


def test_another_encryption_key(gateway: SyncGateway, settings) -> None:
    secret = Secret(name="TOKEN")
    secret.set_value("x")
    secret.save()
    assert wrong("secrets") == ""
    assert wrong("signing key") == ""
    settings.ECTS_AT_REST = AtRest(lambda: [os.urandom(32)])
    assert "TOKEN cannot be opened" in wrong("secrets")
    assert "encryption_key" in wrong("signing key")


def test_secrets_that_others_can_read(gateway: SyncGateway, settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "secret_key").write_text("x")
    (tmp_path / "secrets" / "secret_key").chmod(0o640)
    assert f"chmod 600 {tmp_path}/secrets/secret_key" in wrong("host")
    (tmp_path / "secrets" / "secret_key").chmod(0o600)
    assert "chmod" not in wrong("host")


def test_the_command_fails_when_something_does(tmp_path: Path) -> None:
    ended = manage(tmp_path, "doctor", "--json", ECTS_ETCD_ENDPOINTS="127.0.0.1:1", ECTS_PORT="1")
    assert ended.returncode == 1, ended.stderr
    said = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {"subject", "verdict", "words", "advice"} == set(said[0])
    assert any(line["subject"] == "database" and "migrate" in line["advice"] for line in said)


def test_a_database_that_is_away_is_what_is_to_be_mended_first(tmp_path: Path) -> None:
    ended = manage(
        tmp_path, "doctor", "--json", ECTS_DATABASE_URL="mysql://ects@127.0.0.1:1/ects",
        ECTS_ETCD_ENDPOINTS="127.0.0.1:1", ECTS_PORT="1",
    )  # fmt: skip
    said = [json.loads(line) for line in ended.stdout.splitlines()]
    [advice] = [line["advice"] for line in said if line["subject"] == "database"]
    assert advice.startswith("Start it, or correct ECTS_DATABASE_URL")


def test_an_etcd_that_is_full(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with etcd_server.running(tmp_path / "etcd", options=["--quota-backend-bytes", "16384"]) as etcd:
        settings.ECTS_ETCD = EtcdSettings(endpoints=(etcd.endpoint,))
        with closing(SyncEtcd(settings.ECTS_ETCD)) as gateway:
            with suppress(CoordinationError):
                for number in range(100):
                    gateway.transact([], [Put(f"/fill/{number}", bytes(100_000))])
            monkeypatch.setattr(store, "sync_gateway", lambda: gateway)
            said = wrong("etcd")
    assert "is full and refuses writes" in said
    assert "alarm disarm" in said
    assert "cannot be written" in said


def test_two_etcds_that_know_nothing_of_each_other(gateway: SyncGateway, settings, etcd: EtcdServer, tmp_path) -> None:
    with etcd_server.running(tmp_path / "other", name="other") as other:
        settings.ECTS_ETCD = EtcdSettings(endpoints=(etcd.endpoint, other.endpoint))
        assert "are not members of one cluster" in wrong("etcd")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("3.3.27", "too old"),
        ("3.5.1", "can lose data"),
        ("3.5.3", ""),
        ("3.4.23", ""),
        ("3.7.0-rc.0", ""),
        ("x", "not"),
    ],
)
def test_versions_of_etcd(version: str, words: str) -> None:
    said = [finding.words for finding in members._version("a:1", version)]
    assert len(said) == bool(words)
    assert words in "".join(said)


def test_administrators(gateway: SyncGateway) -> None:
    users = get_user_model().objects
    assert "none who can sign in" in wrong("administrators")
    root = users.create_superuser("root", "root@example.org", "")
    root.set_unusable_password()
    root.save()
    assert "none has a password" in wrong("administrators")
    root.set_password("root")
    root.save()
    assert "changepassword root" in wrong("administrators")
    root.set_password("correct-horse")
    root.save()
    assert wrong("administrators") == ""


def test_a_worker_of_another_version_whose_places_are_used_up(gateway: SyncGateway) -> None:
    now = timezone.now()
    Node.objects.create(name="old", online=True, last_seen=now, version="0.0.1", capacity=2, running=2)
    assert "is of version 0.0.1" in wrong("worker old")
    assert "all of its 2 places" in wrong("worker old")


@contextmanager
def answering(body: bytes, date: str) -> Iterator[str]:
    """Something that is no console."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", date)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_something_else_answers_in_the_consoles_place(gateway: SyncGateway, settings) -> None:
    with answering(b"Welcome to nginx!", formatdate(time.time() - 60, usegmt=True)) as settings.ECTS_SERVER_URL:
        said = wrong("console")
    assert "something else answers" in said
    assert "60 s apart" in said or "61 s apart" in said


def test_few_files(gateway: SyncGateway) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
    try:
        assert "only 1000 open files" in wrong("host")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_mariadb_that_needs_somebody(mariadb_socket: str, tmp_path: Path) -> None:
    query = "isolation_level=repeatable%20read&init_command=SET%20sql_mode%3D''"
    url = f"mysql://root@/mysql?unix_socket={mariadb_socket}&{query}"
    ended = manage(
        tmp_path, "doctor", "--json", ECTS_DATABASE_URL=url, ECTS_ETCD_ENDPOINTS="127.0.0.1:1", ECTS_PORT="1"
    )
    said = [json.loads(line) for line in ended.stdout.splitlines()]
    words = "\n".join(line["words"] + line["advice"] for line in said if line["subject"] == "database")
    assert "our transactions are REPEATABLE-READ" in words, ended.stdout + ended.stderr
    assert "no time-zone tables" in words
    assert "values would be cut silently" in words


def test_the_mail_server_on_demand(settings) -> None:
    def said() -> str:
        return "".join(finding.words + finding.advice for finding in post.check())

    settings.ECTS_EMAIL = {"host": "", "port": 25, "user": "", "password": "", "tls": "none", "sender": ""}
    assert "ECTS_EMAIL_HOST" in said()
    [port] = etcd_server.free_ports(1)
    settings.ECTS_EMAIL |= {"host": "127.0.0.1", "port": port, "sender": "ects@example.org"}
    assert "cannot be used" in said()
    server = Controller(Sink(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        assert "is ready to take mail from ects@example.org" in said()
        settings.ECTS_EMAIL |= {"tls": "starttls"}
        assert "STARTTLS extension not supported" in said()
    finally:
        server.stop()
