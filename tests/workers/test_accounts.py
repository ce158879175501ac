"""Each worker's own user in a real etcd with authentication on: made at enrolment, gone with its node."""

import base64
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from coordination import rights
from coordination.errors import AuthenticationFailed, PermissionDenied
from coordination.etcd import EtcdAccounts, SyncEtcd
from coordination.gateway import EtcdSettings, Permission, Put
from tests.etcd_server import running
from tests.workers.test_joining import enrol, token
from workers import accounts, store
from workers.accounts import Upkeep
from workers.enrolment import digest_of
from workers.models import EnrolmentToken, EtcdUser, Node

pytestmark = pytest.mark.django_db

ROOT = "the password of the console"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdSettings]:
    """An etcd with authentication on, as its root sees it. ``mere`` may write everything and manage nobody."""
    with running(tmp_path_factory.mktemp("secured"), options=["--bcrypt-cost", "4"]) as server:
        root = EtcdSettings((server.endpoint,), user="root", password=ROOT)
        with closing(EtcdAccounts(root)) as users:
            users.require(ROOT)
            users.put_role("mere", [Permission("", prefix=True, write=True)])
            users.put_user("mere", "m", ["mere"])
        yield root


@pytest.fixture
def users(secured: EtcdSettings, settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[EtcdAccounts]:
    """The console's way to them; afterwards the workers' are gone."""
    settings.ECTS_ETCD = secured
    with closing(EtcdAccounts(secured)) as it:
        monkeypatch.setattr(store, "accounts", lambda: it)
        yield it
        for name in it.users() - {"root", "mere"}:
            it.remove_user(name)
            it.remove_role(name)


def sign_in(root: EtcdSettings, answer: dict[str, Any]) -> None:
    """Uses what a worker was given, as the worker does."""
    etcd, keys = answer["etcd"], store.keys()
    with closing(SyncEtcd(replace(root, user=etcd["user"], password=etcd["password"]))) as client:
        client.snapshot(keys.pipelines(answer["node"]))
        client.transact([], [Put(keys.session(answer["node"], "s"), b""), Put(keys.fires("p"), b"")])
        with pytest.raises(PermissionDenied):
            client.snapshot(keys.pipelines("another"))


def joined(name: str = "web-1", number: int = 0, **more: Any) -> dict[str, Any]:
    reply = enrol(token(**more), name, base64.b64encode(bytes([number] * 32)).decode())
    assert reply.status_code == 200, reply.content
    answer: dict[str, Any] = reply.json()
    return answer


def test_enrolment_gives_a_user_of_one_s_own(users: EtcdAccounts, secured: EtcdSettings) -> None:
    one, two = joined(), joined("web-2", 1)
    for answer in (one, two):
        sign_in(secured, answer)
        assert answer["etcd"]["user"] == rights.node_name(store.keys(), answer["node"])
        assert EtcdUser.objects.get(node=answer["node"]).password() == answer["etcd"]["password"]
        assert answer["etcd"]["password"].encode() not in bytes(EtcdUser.objects.get(node=answer["node"]).ciphertext)
        assert ROOT not in str(answer)
    assert one["etcd"]["password"] != two["etcd"]["password"]


def test_joining_again_makes_a_new_password(users: EtcdAccounts, secured: EtcdSettings) -> None:
    old = joined()
    new = joined(number=1, node=Node.objects.get().pk)
    assert new["node"] == old["node"]
    sign_in(secured, new)
    with pytest.raises(AuthenticationFailed):
        sign_in(secured, old)


@pytest.mark.parametrize("how", ["deleted", "revoked"])
def test_the_user_goes_with_the_node(users: EtcdAccounts, secured: EtcdSettings, how: str) -> None:
    gone, stays = joined(), joined("web-2", 1)
    node = Node.objects.filter(pk=gone["node"])
    upkeep = Upkeep()
    upkeep.round()
    sign_in(secured, gone)
    if how == "deleted":
        node.delete()
    else:
        node.update(token_digest="")
    upkeep.round()
    with pytest.raises(AuthenticationFailed):
        sign_in(secured, gone)
    sign_in(secured, stays)


def test_an_emptied_etcd_knows_the_workers_again(users: EtcdAccounts, secured: EtcdSettings) -> None:
    """And one that was left half done. The workers are not asked to join again."""
    answers = [joined(), joined("web-2", 1)]
    whole, half = (rights.node_name(store.keys(), answer["node"]) for answer in answers)
    upkeep = Upkeep()
    upkeep.round()
    users.remove_user(whole)
    for role in (whole, half, rights.worker_role(store.keys())):
        users.remove_role(role)
    assert accounts.missing() == {answers[0]["node"]}
    upkeep.round()
    sign_in(secured, answers[0])
    Upkeep().round()
    sign_in(secured, answers[1])


def test_other_installations_users_are_left_alone(users: EtcdAccounts, settings) -> None:
    answer = joined()
    settings.ECTS_ETCD_PREFIX = "/another"
    Node.objects.all().delete()
    Upkeep().round()
    assert answer["etcd"]["user"] in users.users()


def test_a_console_that_may_not_make_users_says_so(
    secured: EtcdSettings, settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ECTS_ETCD = replace(secured, user="mere", password="m")
    with closing(EtcdAccounts(settings.ECTS_ETCD)) as it:
        monkeypatch.setattr(store, "accounts", lambda: it)
        reply = enrol(token())
        assert reply.status_code == 503
        assert "etcd user mere may not make a user" in reply.json()["detail"]
        assert "ECTS_ETCD_WORKER_USER" in reply.json()["detail"]
        assert not Node.objects.exists()
        assert EnrolmentToken.objects.get().uses == 1, "it may be used once this is mended"

        upkeep = Upkeep()
        upkeep.round()
        upkeep.round()
        assert caplog.text.count("are not kept") == 1

        settings.ECTS_ETCD_WORKER_USER, settings.ECTS_ETCD_WORKER_PASSWORD = "workers", "w"
        answer = joined()
        assert (answer["etcd"]["user"], answer["etcd"]["password"]) == ("workers", "w")
        upkeep.round()


def test_a_wrong_password_of_the_console_changes_nothing(
    secured: EtcdSettings, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ECTS_ETCD = replace(secured, password="wrong")
    with closing(EtcdAccounts(settings.ECTS_ETCD)) as it:
        monkeypatch.setattr(store, "accounts", lambda: it)
        reply = enrol(token())
    assert reply.status_code == 503
    assert "check the etcd user and password" in reply.json()["detail"]
    assert not Node.objects.exists()


def test_strangers_do_not_reach_etcd(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ECTS_ETCD = EtcdSettings(user="root", password="x")
    monkeypatch.setattr(store, "accounts", lambda: pytest.fail("etcd was asked"))
    assert enrol("ects1.x.y").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_hosts_that_race_for_a_node(users: EtcdAccounts, secured: EtcdSettings) -> None:
    """Whoever has the node's token in the end also has its user."""
    node = Node.objects.get(pk=joined()["node"])
    answers: list[dict[str, Any]] = []

    def join(number: int, text: str) -> None:
        try:
            answers.append(enrol(text, "web-1", base64.b64encode(bytes([number] * 32)).decode()).json())
        finally:
            connection.close()

    threads = [threading.Thread(target=join, args=(n, token(node=node.pk))) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    node.refresh_from_db()
    assert len(answers) == 4
    [last] = [answer for answer in answers if digest_of(answer["token"]) == node.token_digest]
    sign_in(secured, last)
