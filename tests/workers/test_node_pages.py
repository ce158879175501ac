"""The pages of nodes: when they were online, how one is added, and one whose token is revoked."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.workers.test_joining import enrol
from workers import online
from workers.models import EnrolmentToken, Node, OnlineSpan
from workers.program import program

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ADD = "/admin/workers/node/add/"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def _text(reply: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", reply.content.decode()).split())


def _line(page: str) -> str:
    found = re.search(r'<code id="line"[^>]*>(.*?)</code>', page)
    assert found
    return found[1]


def test_a_node_comes_and_goes() -> None:
    node = Node.objects.create(name="one", last_seen=NOW + timedelta(hours=2))
    for minutes in (0, 1, 2):
        online.came(str(node.pk), NOW + timedelta(minutes=minutes))
    online.went([str(node.pk)], NOW + timedelta(hours=3))
    online.went([str(node.pk)], NOW + timedelta(hours=4))
    span = OnlineSpan.objects.get()
    assert (span.begins_at, span.ends_at) == (NOW, NOW + timedelta(hours=2)), "until it was seen last"
    online.came(str(node.pk), NOW + timedelta(hours=4))
    assert OnlineSpan.objects.count() == 2
    found = online.availability(node, NOW + timedelta(hours=8))
    assert len(found.stretches) == 2
    assert found.percent == pytest.approx(100 * 6 / 8)


def test_availability_is_of_the_last_days_only() -> None:
    node = Node.objects.create(name="one")
    OnlineSpan.objects.create(node=node, begins_at=NOW - timedelta(days=20), ends_at=NOW - timedelta(days=6))
    OnlineSpan.objects.create(node=node, begins_at=NOW - timedelta(days=40), ends_at=NOW - timedelta(days=35))
    found = online.availability(node, NOW)
    assert [(each.left, each.width) for each in found.stretches] == [(0, pytest.approx(1000 / 7, abs=0.01))]
    assert found.percent == pytest.approx(100 / 7)
    online.forget(NOW)
    assert OnlineSpan.objects.count() == 1
    assert online.availability(Node.objects.create(name="two"), NOW).percent is None


def test_a_node_is_added(admin: Client) -> None:
    page = admin.post(ADD, {"name": "web 1", "label": "site=berlin disk=ssd", "uses": 1, "hours": 1}).content.decode()
    line = _line(page)
    token = re.search(r"ECTS_ENROLMENT_TOKEN=(\S+)", line)
    assert token
    assert "--name &#x27;web 1&#x27; --label site=berlin --label disk=ssd" in line
    bare = re.search(r'<code id="bare"[^>]*>(.*?)</code>', page)
    assert bare
    assert f"echo &quot;{program().digest}  $f&quot; | sha256sum -c" in bare[1]
    assert f"ECTS_ENROLMENT_TOKEN={token[1]} /opt/ects/scripts/join --server http://testserver" in bare[1]
    assert "--user" not in bare[1]
    row = EnrolmentToken.objects.get()
    assert row.uses == 1
    arrivals = f"/admin/workers/node/arrivals/{row.pk}/"
    assert arrivals in page
    assert "Waiting for the host" in _text(admin.get(arrivals))
    assert enrol(token[1], name="web 1").status_code == 200
    assert "web 1" in _text(admin.get(arrivals))
    assert Node.objects.get().name == "web 1"


def test_the_service_may_run_as_root(admin: Client) -> None:
    page = admin.post(ADD, {"name": "", "label": "", "user": "root", "uses": 1, "hours": 1}).content.decode()
    assert "--user root</code>" in page
    assert "--user" not in _line(page), "whoever starts it in a terminal is who runs it"
    refused = admin.post(ADD, {"name": "", "label": "", "user": "x; reboot", "uses": 1, "hours": 1}).content.decode()
    assert "reboot</code>" not in refused


@pytest.mark.parametrize(
    "wrong",
    [
        {"uses": 0},
        {"uses": "x"},
        {"hours": 2},
        {"label": "berlin"},
        {"label": "=x"},
        {"name": "x" * 151},
        {"name": "known"},
        {"name": "new", "uses": 2},
    ],
)
def test_a_wish_that_cannot_be_met_says_so(admin: Client, wrong: dict[str, Any]) -> None:
    Node.objects.create(name="known", public_key=b"k" * 32)
    page = admin.post(ADD, {"name": "", "label": "", "uses": 1, "hours": 1} | wrong).content.decode()
    assert 'role="alert"' in page
    assert not EnrolmentToken.objects.exists()


def test_a_revoked_node_says_so_and_joins_again(admin: Client) -> None:
    node = Node.objects.create(name="one", public_key=b"k" * 32, enrolled_at=timezone.now(), token_digest="d" * 64)
    change = f"/admin/workers/node/{node.pk}/change/"
    assert "revoked" not in _text(admin.get(change))
    order = {"action": "revoke", "_selected_action": [str(node.pk)]}
    assert 'class="ects-grave">Revoke the tokens' in admin.post("/admin/workers/node/", order).content.decode()
    admin.post("/admin/workers/node/", order | {"confirmed": "1"})
    assert "Its token is revoked" in _text(admin.get(change))
    assert "Token revoked" in _text(admin.get("/admin/workers/node/"))
    again = f"{ADD}?node={node.pk}"
    assert again in admin.get(change).content.decode()
    page = admin.post(again, {"uses": 1, "hours": 1}).content.decode()
    assert "--rejoin" in _line(page)
    assert EnrolmentToken.objects.get().node_id == node.pk
    assert admin.get(f"{ADD}?node=nonsense").status_code == 200


def test_nobody_adds_a_node_without_permission(client: Client) -> None:
    client.force_login(User.objects.create_user("visitor", is_staff=True))
    assert client.get(ADD).status_code == 403
    assert client.get("/admin/workers/node/arrivals/1/").status_code == 403
