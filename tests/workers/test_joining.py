"""How a host joins: tokens over the API, enrolment, the identity on disk, and signing in as a node."""

import base64
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from workers import keyring
from workers.engine import identity, joining
from workers.engine.identity import IdentityError, StateLock
from workers.enrolment import make_token
from workers.models import EnrolmentToken, Node, SigningKey

PUBLIC = base64.b64encode(bytes(range(32))).decode()


def enrol(token: str, name: str = "web-1", public_key: str = PUBLIC) -> Any:
    body = {"token": token, "name": name, "public_key": public_key, "machine_id": "m"}
    return Client().post("/api/v1/enrol/", body, content_type="application/json")


def token(**more: Any) -> str:
    return make_token(now=timezone.now(), **more)[0]


@pytest.mark.django_db
class TestTokens:
    def test_an_administrator_makes_one_and_sees_it_once(self, client: Client) -> None:
        client.force_login(User.objects.create_superuser("admin"))
        body = {"node": None, "uses": 1, "expires_in": 3600}
        reply = client.post("/api/v1/enrolment-tokens/", body, content_type="application/json")
        assert reply.status_code == 201
        text = reply.json()["token"]
        assert text.split(".")[2] == keyring.fingerprint()
        listed = client.get("/api/v1/enrolment-tokens/")
        assert text.split(".")[1] not in listed.content.decode()

    def test_others_may_not(self, client: Client) -> None:
        url = "/api/v1/enrolment-tokens/"
        assert client.post(url, {}, content_type="application/json").status_code in (401, 403)
        client.force_login(User.objects.create_user("somebody"))
        assert client.post(url, {}, content_type="application/json").status_code == 403

    @pytest.mark.parametrize("bad", [{"uses": 0}, {"expires_in": -1}, {"node": "x"}, {"uses": 1e99}, []])
    def test_bad_input_is_a_400(self, client: Client, bad: Any) -> None:
        client.force_login(User.objects.create_superuser("admin"))
        reply = client.post("/api/v1/enrolment-tokens/", bad, content_type="application/json")
        assert reply.status_code == 400


@pytest.mark.django_db
class TestEnrolment:
    def test_a_host_becomes_a_node(self) -> None:
        reply = enrol(token())
        assert reply.status_code == 200, reply.content
        answer = reply.json()
        node = Node.objects.get(pk=answer["node"])
        assert (node.name, bytes(node.public_key or b"")) == ("web-1", bytes(range(32)))
        assert answer["token"] not in str(node.__dict__)
        assert set(answer["verify_keys"]) == {keyring.fingerprint()}

    def test_its_token_signs_it_in_until_it_is_revoked(self) -> None:
        answer = enrol(token()).json()
        headers = {"Authorization": f"Node {answer['token']}"}
        body = '{"stream":"","kind":"state","first":0}'
        assert Client().post("/api/v1/ingest/", body, "application/json", headers=headers).status_code == 200
        Node.objects.update(token_digest="")
        assert Client().post("/api/v1/ingest/", body, "application/json", headers=headers).status_code == 401

    def test_a_token_is_used_up(self) -> None:
        text = token()
        assert enrol(text).status_code == 200
        reply = enrol(text, "web-2", base64.b64encode(bytes(32)).decode())
        assert reply.status_code == 403
        assert "used up" in reply.json()["detail"]

    def test_a_repetition_after_a_lost_answer_takes_no_second_use(self) -> None:
        text = token()
        first, second = enrol(text).json(), enrol(text).json()
        assert first["node"] == second["node"]
        assert first["token"] != second["token"]

    def test_expired_and_unknown_tokens_say_so(self) -> None:
        old = make_token(now=timezone.now() - timedelta(hours=2))[0]
        assert "expired" in enrol(old).json()["detail"]
        for text in ("ects1.x.y", "nonsense", "..", "ects1." + "x" * 150):
            assert enrol(text).status_code == 403

    def test_a_name_that_is_taken_is_a_409(self) -> None:
        enrol(token())
        reply = enrol(token(), public_key=base64.b64encode(bytes(32)).decode())
        assert reply.status_code == 409
        assert "--name" in reply.json()["detail"]

    def test_a_node_made_beforehand_waits_for_its_host(self) -> None:
        node = Node.objects.create(name="web-1")
        assert enrol(token()).json()["node"] == str(node.pk)

    def test_a_token_for_a_node_enrols_that_node_anew(self) -> None:
        node = Node.objects.get(pk=enrol(token()).json()["node"])
        other = base64.b64encode(bytes(32)).decode()
        answer = enrol(token(node=node.pk), "whatever", other).json()
        assert (answer["node"], answer["name"]) == (str(node.pk), "web-1")

    def test_labels_count_when_it_joins_for_the_first_time(self) -> None:
        Node.objects.create(name="web-1", labels={"site": "paris"})

        def join(key: bytes, labels: Any, text: str) -> Any:
            public = base64.b64encode(key * 32).decode()
            body = {"token": text, "name": "web-1", "public_key": public, "labels": labels}
            return Client().post("/api/v1/enrol/", body, content_type="application/json")

        assert join(b"a", {"site": 1, "disk": {}}, token()).status_code == 400
        assert join(b"a", {"site": "berlin", "disk": "ssd"}, token()).status_code == 200
        node = Node.objects.get()
        assert node.labels == {"site": "paris", "disk": "ssd"}, "what the console says wins"
        assert join(b"b", {"disk": "hdd", "more": "x"}, token(node=node.pk)).status_code == 200
        assert Node.objects.get().labels == {"site": "paris", "disk": "ssd"}

    @pytest.mark.parametrize("key", ["", "x", "AAAA", "é", PUBLIC + "A", 7])
    def test_a_bad_key_is_a_400(self, key: Any) -> None:
        assert enrol(token(), public_key=key).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_one_use_raced_by_two_hosts() -> None:
    text = token()
    codes: list[int] = []

    def join(number: int) -> None:
        try:
            codes.append(enrol(text, f"host-{number}", base64.b64encode(bytes([number] * 32)).decode()).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=join, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 403, 403, 403, 403, 403]
    assert EnrolmentToken.objects.get().uses == 0


@pytest.mark.django_db(transaction=True)
def test_two_processes_make_one_first_key() -> None:
    found: list[str] = []

    def ask() -> None:
        try:
            found.append(keyring.signer().key_id)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert SigningKey.objects.count() == 1


ABOUT = {"name": "web-1", "machine_id": "m", "host": "h", "version": "1"}


@pytest.mark.django_db(transaction=True)
class TestIdentity:
    def test_it_is_kept_private_and_bound_to_the_machine(self, live_server: Any, tmp_path: Path) -> None:
        state_dir = tmp_path / "state"
        with httpx.Client(timeout=30) as client:
            joined = joining.enrol(client, state_dir, live_server.url, token(), ABOUT)
        assert identity.load(state_dir, "m") == joined
        assert (state_dir / identity.FILE).stat().st_mode & 0o777 == 0o600
        assert state_dir.stat().st_mode & 0o777 == 0o700
        assert not (state_dir / joining.DRAFT).exists()
        with pytest.raises(IdentityError, match="another machine"):
            identity.load(state_dir, "another")

    def test_another_servers_key_is_refused(self, live_server: Any, tmp_path: Path) -> None:
        forged = token().rpartition(".")[0] + ".0123456789abcdef"
        with httpx.Client(timeout=30) as client, pytest.raises(IdentityError, match="signing key"):
            joining.enrol(client, tmp_path, live_server.url, forged, ABOUT)
        assert identity.load(tmp_path, "m") is None

    def test_the_key_survives_a_lost_answer(self, live_server: Any, tmp_path: Path) -> None:
        text = token()
        with httpx.Client(timeout=30) as client:
            with pytest.raises(IdentityError):
                joining.enrol(client, tmp_path, "http://127.0.0.1:1", text, ABOUT)
            draft = (tmp_path / joining.DRAFT).read_bytes()
            joining.enrol(client, tmp_path, live_server.url, text, ABOUT)
        assert base64.b64encode(bytes(Node.objects.get().public_key or b"")) in draft

    def test_the_console_s_sentence_arrives(self, live_server: Any, tmp_path: Path) -> None:
        with httpx.Client(timeout=30) as client, pytest.raises(IdentityError, match="not known"):
            joining.enrol(client, tmp_path, live_server.url, "ects1.x.y", ABOUT)


@pytest.mark.parametrize("url", ["http://ects.example:9701", "http://10.0.0.1"])
def test_plain_http_beyond_this_host_needs_a_word(url: str, tmp_path: Path) -> None:
    with httpx.Client(timeout=30) as client, pytest.raises(IdentityError, match="--insecure"):
        joining.enrol(client, tmp_path, url, "ects1.x.y", ABOUT)


@pytest.mark.parametrize("url", ["ects.example", "ftp://x", ""])
def test_what_is_no_url_is_named(url: str, tmp_path: Path) -> None:
    with httpx.Client(timeout=30) as client, pytest.raises(IdentityError, match="--server"):
        joining.enrol(client, tmp_path, url, "ects1.x.y", ABOUT)


def test_a_damaged_identity_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / identity.FILE).write_text("{")
    with pytest.raises(IdentityError, match="enrol again"):
        identity.load(tmp_path, "m")


def test_one_process_has_the_directory(tmp_path: Path) -> None:
    with StateLock(tmp_path), pytest.raises(IdentityError, match="another worker"), StateLock(tmp_path):
        pass
    with StateLock(tmp_path):
        pass


@pytest.mark.django_db
class TestNodesOverTheApi:
    def test_the_contract(self, client: Client) -> None:
        client.force_login(User.objects.create_superuser("admin"))
        made = client.post("/api/v1/nodes/", {"name": "n"}, content_type="application/json")
        assert made.status_code == 201
        node = made.json()
        assert {"id", "name", "host", "mode", "status", "version", "labels", "last_seen"} <= set(node)
        assert node["status"] == "offline"
        url = f"/api/v1/nodes/{node['id']}/"
        changed = client.patch(url, {"labels": {"site": "a"}}, content_type="application/json")
        assert changed.json()["labels"] == {"site": "a"}
        for bad in ({"labels": ["a"]}, {"labels": {"a": {}}}, {"name": ""}, {"name": "x" * 500}):
            assert client.patch(url, bad, content_type="application/json").status_code == 400
        assert client.post("/api/v1/nodes/", {"name": "n"}, content_type="application/json").status_code == 400
        assert client.delete(url).status_code == 204
        assert client.get("/api/v1/nodes/x/").status_code == 404

    def test_the_pages_of_the_admin(self, client: Client) -> None:
        client.force_login(User.objects.create_superuser("admin"))
        node = Node.objects.create(name="n", incidents=["<b>disk full</b>"])
        assert client.get("/admin/workers/node/").status_code == 200
        page = client.get(f"/admin/workers/node/{node.pk}/change/").content.decode()
        assert "&lt;b&gt;disk full" in page
        assert "<b>disk full" not in page
        url = f"/admin/workers/node/{node.pk}/change/"
        inline = {"refusals-TOTAL_FORMS": 0, "refusals-INITIAL_FORMS": 0}
        for wrong in ("[1]", "=b", "a=", "a"):
            refused = client.post(url, {"name": "n", "labels": wrong, **inline}).content.decode()
            assert "Write each as name=value." in refused
            assert wrong in refused
        assert client.post(url, {"name": "n", "labels": "a = b\r\n\r\nrack=3 left=up", **inline}).status_code == 302
        node.refresh_from_db()
        assert node.labels == {"a": "b", "rack": "3 left=up"}
        assert "a=b\nrack=3 left=up" in client.get(url).content.decode()
        made = client.post("/admin/workers/enrolmenttoken/add/", {"uses": 1}, follow=True)
        assert "ECTS_ENROLMENT_TOKEN=ects1." in made.content.decode()
