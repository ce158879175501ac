"""Draining, another token, revoking: what the console keeps, and what a node hears with its next delivery."""

import base64
import json
import uuid
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from coordination import crypto, documents
from coordination.documents import NodeDocument
from workers import keyring, lifecycle
from workers.enrolment import make_token
from workers.models import EnrolmentToken, Node

pytestmark = pytest.mark.django_db


class Worker:
    """A host that has joined, as the console sees it: it delivers, and hears what is new."""

    def __init__(self, name: str = "one") -> None:
        self.private, self.public = crypto.new_node_key()
        self.enrolment = make_token(now=timezone.now())[0]
        self.name = name
        self.join()
        self.heard = 0

    def join(self, token: str = "") -> Any:
        key = base64.b64encode(self.public).decode()
        body = {"token": token or self.enrolment, "name": self.name, "public_key": key, "machine_id": "m"}
        reply = Client().post("/api/v1/enrol/", body, content_type="application/json")
        if reply.status_code == 200:
            self.node, self.token = uuid.UUID(reply.json()["node"]), reply.json()["token"]
        return reply

    def deliver(self, token: str = "", **more: Any) -> NodeDocument | None:
        """What it hears. Raises AssertionError when it is refused."""
        reply = self.post(token, **more)
        assert reply.status_code == 200, reply.content
        if not (envelope := reply.json().get("node")):
            return None
        body = crypto.verify("node", envelope.encode(), keyring.verify_keys())
        return documents.decode_node(body)

    def post(self, token: str = "", **more: Any) -> Any:
        report = {"clock": timezone.now().isoformat(), "document": self.heard, "version": "1", **more}
        body = json.dumps({"stream": "", "kind": "state", "first": 0, "report": report})
        headers = {"Authorization": f"Node {token or self.token}"}
        return Client().post("/api/v1/ingest/", body, "application/json", headers=headers)

    def row(self) -> Node:
        return Node.objects.get(pk=self.node)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def test_a_node_hears_that_it_is_to_drain_and_not_any_more(worker: Worker) -> None:
    assert worker.deliver() is None
    lifecycle.drain(worker.node, timezone.now())
    said = worker.deliver()
    assert said is not None
    assert (said.node, said.name, said.draining, said.token) == (str(worker.node), "one", True, "")
    assert not worker.row().is_drained
    worker.heard = said.generation
    assert worker.deliver(draining=True, running=2) is None
    assert not worker.row().is_drained
    worker.deliver(draining=True)
    assert worker.row().is_drained
    lifecycle.undrain(worker.node, timezone.now())
    said = worker.deliver(draining=True)
    assert said is not None
    assert not said.draining
    assert said.generation > worker.heard


def test_asking_again_changes_nothing(worker: Worker) -> None:
    for ask in (lifecycle.drain, lifecycle.rotate, lifecycle.drain, lifecycle.rotate):
        ask(worker.node, timezone.now())
    generation, token = worker.row().document_generation, worker.row().next_token_digest
    lifecycle.drain(worker.node, timezone.now())
    lifecycle.rotate(worker.node, timezone.now())
    assert (worker.row().document_generation, worker.row().next_token_digest) == (generation, token)


def test_a_node_that_is_renamed_hears_it_and_nothing_else_is_told(worker: Worker, admin: Client) -> None:
    url = f"/api/v1/nodes/{worker.node}/"
    assert admin.patch(url, {"labels": {"a": "b"}}, content_type="application/json").status_code == 200
    assert worker.deliver() is None
    assert admin.patch(url, {"name": "two"}, content_type="application/json").json()["name"] == "two"
    said = worker.deliver()
    assert said is not None
    assert said.name == "two"
    form = {"name": "three", "labels": "a=b", "refusals-TOTAL_FORMS": 0, "refusals-INITIAL_FORMS": 0}
    Node.objects.filter(pk=worker.node).update(running=5)
    assert admin.post(f"/admin/workers/node/{worker.node}/change/", form).status_code == 302
    said = worker.deliver(running=5)
    assert said is not None
    assert (said.name, worker.row().running) == ("three", 5)


class TestAnotherToken:
    def rotated(self, worker: Worker) -> str:
        lifecycle.rotate(worker.node, timezone.now())
        said = worker.deliver()
        assert said is not None
        return crypto.unseal(worker.private, said.token)

    def test_both_are_good_until_the_new_one_is_used(self, worker: Worker) -> None:
        new = self.rotated(worker)
        assert worker.post().status_code == 200
        assert worker.row().is_rotating
        assert worker.post(new).status_code == 200
        assert not worker.row().is_rotating
        assert worker.post().status_code == 401
        assert worker.post(new).status_code == 200

    def test_the_old_one_ends_after_a_week(self, worker: Worker) -> None:
        new = self.rotated(worker)
        Node.objects.update(rotated_at=timezone.now() - lifecycle.OLD_TOKEN_LIFE - timedelta(seconds=1))
        assert worker.post().status_code == 401
        assert worker.post(new).status_code == 200

    def test_it_is_nowhere_in_the_clear(self, worker: Worker) -> None:
        new = self.rotated(worker)
        assert new not in str(worker.row().__dict__)
        said = worker.post().json()["node"]
        assert new not in said

    def test_a_node_without_a_token_joins_again_instead(self, worker: Worker) -> None:
        lifecycle.revoke([worker.row()])
        with pytest.raises(lifecycle.Impossible, match="let it join again"):
            lifecycle.rotate(worker.node, timezone.now())

    def test_joining_again_ends_a_rotation(self, worker: Worker) -> None:
        new = self.rotated(worker)
        old = worker.token
        assert worker.join(make_token(now=timezone.now(), node=worker.node)[0]).status_code == 200
        assert [worker.post(each).status_code for each in (old, new, worker.token)] == [401, 401, 200]


def test_a_revoked_node_gets_no_token_by_repeating_how_it_joined(worker: Worker) -> None:
    assert worker.join().status_code == 200, "while it is good, a repetition is no second use"
    lifecycle.rotate(worker.node, timezone.now())
    new = worker.deliver()
    assert new is not None
    lifecycle.revoke([worker.row()])
    assert worker.post(crypto.unseal(worker.private, new.token)).status_code == 401
    assert worker.post().status_code == 401
    assert worker.join().status_code == 403


def test_a_restored_database_says_again_what_counts(worker: Worker) -> None:
    lifecycle.drain(worker.node, timezone.now())
    said = worker.deliver()
    assert said is not None
    worker.heard = said.generation
    Node.objects.update(drain_asked_at=None, document_generation=0)
    said = worker.deliver(draining=True)
    assert said is not None
    assert said.generation > worker.heard
    assert not said.draining


class TestAnOlderWorker:
    def test_it_is_told_nothing_and_nothing_is_asked_of_it(self, worker: Worker) -> None:
        worker.heard = -1
        assert worker.deliver() is None
        for ask in (lifecycle.drain, lifecycle.rotate):
            with pytest.raises(lifecycle.Impossible, match="update it first"):
                ask(worker.node, timezone.now())
        Node.objects.update(document_generation=5)
        assert worker.deliver() is None

    def test_one_that_went_back_a_version_is_told_nothing_more(self, worker: Worker) -> None:
        lifecycle.drain(worker.node, timezone.now())
        worker.heard = -1
        assert worker.deliver() is None
        lifecycle.undrain(worker.node, timezone.now())
        assert worker.row().drain_asked_at is None


class TestOverTheApi:
    @pytest.mark.parametrize("act", ["drain", "undrain", "rotate", "revoke", "retire"])
    def test_by_post_and_with_permission(self, worker: Worker, client: Client, act: str) -> None:
        url = f"/api/v1/nodes/{worker.node}/{act}/"
        user = User.objects.create_user("visitor")
        user.user_permissions.add(*Permission.objects.filter(codename__in=["view_node", "add_node"]))
        client.force_login(user)
        assert client.post(url).status_code == 403
        assert worker.row() == Node.objects.get(drain_asked_at=None, retired_at=None, next_token_digest="")
        client.force_login(User.objects.create_superuser("admin"))
        assert client.get(url).status_code == 405
        assert client.post(url).status_code == 200

    def test_retiring_takes_the_permission_to_delete(self, worker: Worker, client: Client) -> None:
        user = User.objects.create_user("operator")
        user.user_permissions.add(Permission.objects.get(codename="change_node"))
        client.force_login(user)
        assert client.post(f"/api/v1/nodes/{worker.node}/retire/").status_code == 403
        assert worker.row().retired_at is None
        assert client.post(f"/api/v1/nodes/{worker.node}/drain/").status_code == 200

    def test_what_it_answers(self, worker: Worker, admin: Client) -> None:
        url = f"/api/v1/nodes/{worker.node}"
        drained = admin.post(f"{url}/drain/").json()
        assert drained["drain_asked_at"]
        assert admin.post(f"{url}/undrain/").json()["drain_asked_at"] is None
        assert admin.post(f"{url}/rotate/").json()["is_rotating"] is True
        assert worker.row().token_digest
        assert admin.post(f"{url}/revoke/").json()["is_revoked"] is True
        assert worker.row().is_revoked
        assert worker.post().status_code == 401
        assert admin.post(f"{url}/retire/").json()["retired_at"]
        assert "retired already" in admin.post(f"{url}/drain/").json()["detail"]
        assert admin.post(f"{url}/retire/").status_code == 409
        assert admin.post(f"/api/v1/nodes/{uuid.uuid4()}/drain/").status_code == 404
        master = Node.objects.create(name="m", mode=Node.Mode.MASTER)
        assert admin.post(f"/api/v1/nodes/{master.pk}/drain/").status_code == 409


class TestInTheAdmin:
    def act(self, admin: Client, worker: Worker, name: str, **form: Any) -> Any:
        return admin.post(f"/admin/workers/node/{worker.node}/{name}/", form or {"_form_submitted": True}, follow=True)

    def test_a_dialog_shows_on_get_and_acts_on_post(self, worker: Worker, admin: Client) -> None:
        page = admin.get(f"/admin/workers/node/{worker.node}/drain_one/")
        assert "begins nothing new" in page.content.decode()
        assert worker.row().drain_asked_at is None
        self.act(admin, worker, "drain_one")
        assert worker.row().drain_asked_at is not None

    def test_the_page_says_how_it_stands_and_offers_what_fits(self, worker: Worker, admin: Client) -> None:
        def page() -> str:
            return admin.get(f"/admin/workers/node/{worker.node}/change/").content.decode()

        assert "/drain_one/" in page()
        assert "undrain_one" not in page()
        self.act(admin, worker, "drain_one")
        assert "has not confirmed it yet" in page()
        assert "undrain_one" in page()
        worker.deliver(draining=True, running=2)
        assert "2 runs are going" in page()
        worker.deliver(draining=True)
        assert "It is drained" in page()
        self.act(admin, worker, "rotate_one")
        assert "which it has not used yet" in page()
        assert "rotate_one" not in page()
        self.act(admin, worker, "retire_one")
        assert "It was retired on" in page()
        assert "undrain_one" not in page()

    def test_who_retires_it_sees_what_would_be_lost(self, worker: Worker, admin: Client) -> None:
        dialog = f"/admin/workers/node/{worker.node}/retire_one/"
        assert "will say that they are lost" not in admin.get(dialog).content.decode()
        worker.deliver(running=1, backlog=40)
        page = admin.get(dialog).content.decode()
        assert "1 run is going on it" in page
        assert "40 records are not delivered" in page

    def test_retired_nodes_are_shown_when_asked_for(self, worker: Worker, admin: Client) -> None:
        lifecycle.retire(worker.node, timezone.now())
        listed = "/admin/workers/node/"
        assert f"{worker.node}/change" not in admin.get(listed).content.decode()
        for query in ("retired", "all"):
            assert f"{worker.node}/change" in admin.get(f"{listed}?service={query}").content.decode()

    def test_several_at_once_and_those_that_cannot_say_why(self, worker: Worker, admin: Client) -> None:
        older = Worker("older")
        older.heard = -1
        older.deliver()
        form = {"action": "drain_selected", "_selected_action": [str(worker.node), str(older.node)]}
        page = admin.post("/admin/workers/node/", form, follow=True).content.decode()
        assert "one: to drain" in page
        assert "The worker of older (version 1) is too old" in page


class TestTheCommand:
    def run(self, *words: str) -> str:
        out = StringIO()
        call_command("node", *words, stdout=out)
        return out.getvalue()

    def test_by_name_and_by_id(self, worker: Worker) -> None:
        assert self.run("drain", "one") == "one is to drain\n"
        assert self.run("undrain", str(worker.node)) == "one is to fire again\n"
        with pytest.raises(CommandError, match="no node two"):
            self.run("drain", "two")

    def test_it_waits_until_nothing_runs(self, worker: Worker) -> None:
        with pytest.raises(CommandError, match="has not confirmed"):
            self.run("drain", "one", "--wait", "0.01")
        worker.deliver(draining=True, running=3)
        with pytest.raises(CommandError, match="3 runs are going"):
            self.run("drain", "one", "--wait", "0.01")
        worker.deliver(draining=True)
        assert self.run("drain", "one", "--wait", "5").endswith("one is drained\n")

    def test_what_cannot_be_says_why(self, worker: Worker) -> None:
        self.run("retire", "one")
        with pytest.raises(CommandError, match="retired already"):
            self.run("rotate", "one")


class TestRetired:
    def test_it_comes_back_by_a_token_made_for_it_and_by_no_other(self, worker: Worker) -> None:
        held = make_token(now=timezone.now(), node=worker.node)[0]
        general = make_token(now=timezone.now(), uses=5)[0]
        lifecycle.retire(worker.node, timezone.now())
        assert not EnrolmentToken.objects.filter(node=worker.node).exists()
        assert worker.post().status_code == 401
        assert worker.join().status_code == 403, "by repeating how it joined"
        assert worker.join(held).status_code == 403, "by a token that was made before"
        worker.public = crypto.new_node_key()[1]
        assert worker.join(general).status_code == 409, "by its name"
        assert worker.join(make_token(now=timezone.now(), node=worker.node)[0]).status_code == 200
        assert worker.row().retired_at is None
        assert worker.post().status_code == 200

    def test_it_is_not_counted_among_the_workers(self, worker: Worker, admin: Client) -> None:
        lifecycle.retire(worker.node, timezone.now())
        assert not Node.objects.serving().exists()
