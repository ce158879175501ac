"""Who a host is when it starts: the node that it was told to be, the same after it was moved, or nobody, and why."""

import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from msgspec import structs

from workers.engine import identity
from workers.engine.identity import Identity, IdentityError
from workers.enrolment import make_token
from workers.host.admission import Admitted, Host, Wish, admit, of_etcd
from workers.models import Node

pytestmark = pytest.mark.django_db(transaction=True)

HOST = Host("web-1", "m", "1")


def token(**more: Any) -> str:
    return make_token(now=timezone.now(), **more)[0]


class Start:
    """A host that starts, again and again."""

    def __init__(self, server: str, state_dir: Path) -> None:
        self.wish = Wish(server=server)
        self.state_dir = state_dir

    def __call__(self, text: str = "", host: Host = HOST, **more: Any) -> Admitted:
        return admit(self.state_dir, replace(self.wish, token=text, **more), host, {})

    def known(self) -> Identity:
        found = identity.load(self.state_dir, "")
        assert found is not None
        return found


@pytest.fixture
def start(live_server: Any, tmp_path: Path) -> Start:
    return Start(live_server.url, tmp_path / "state")


def test_a_host_becomes_the_node_that_was_made_for_it(start: Start) -> None:
    node = Node.objects.create(name="shop", description="before")
    admitted = start(token(), node=str(node.pk), description="in the cellar", name="ignored", label=["site=a=b"])
    assert (admitted.identity.node, admitted.identity.name) == (str(node.pk), "shop")
    node.refresh_from_db()
    assert (node.name, node.description, node.labels) == ("shop", "in the cellar", {"site": "a=b"})
    assert "rename it in the console" in admitted.remarks[1]


def test_an_etcd_that_is_elsewhere_is_told(start: Start) -> None:
    assert len(start(token()).remarks) == 1, "console and worker are on one host"
    with_name = structs.replace(start.known(), server_url="https://ects.example:9701")
    [said] = of_etcd(with_name)
    assert "https://ects.example:9701 says that its etcd is at 127.0.0.1:" in said
    store = structs.replace(with_name.store, endpoints=("etcd.example:2379",))
    assert of_etcd(structs.replace(with_name, store=store)) == ()


def test_an_id_that_nobody_has_becomes_the_host_s(start: Start) -> None:
    wanted = str(uuid.uuid4())
    assert start(token(), node=wanted, name="new").identity.node == wanted
    assert Node.objects.get().name == "new"


def test_a_node_that_has_joined_is_not_given_to_another_host(start: Start) -> None:
    node = Node.objects.create(name="shop", public_key=b"k" * 32)
    with pytest.raises(IdentityError, match="make a token for that node"):
        start(token(), node=str(node.pk))
    with pytest.raises(IdentityError, match="is for the node “shop”, but this host is another"):
        start(token(node=node.pk), node=str(uuid.uuid4()))
    master = Node.objects.create(name="m", mode=Node.Mode.MASTER)
    with pytest.raises(IdentityError, match="is a master"):
        start(token(), node=str(master.pk))


def test_later_it_is_who_it_was_and_needs_no_token(start: Start) -> None:
    first = start(token()).identity
    later = start(name="other", config="/elsewhere", token_file=Path("/nonexistent"))
    assert later.identity == first
    assert ["rename it" in later.remarks[0], "/elsewhere/config is not used" in later.remarks[1]] == [True, True]
    with pytest.raises(IdentityError, match="give another --state-dir"):
        start(node=str(uuid.uuid4()))


def test_a_moved_state_directory_goes_on_as_the_same_node(start: Start) -> None:
    before = start(token()).identity
    (start.state_dir / "journal.db").write_text("the journal")
    moved = Host("web-2", "another machine", "1")
    with pytest.raises(IdentityError, match="--rejoin"):
        start(host=moved)
    with pytest.raises(IdentityError, match="make a token for that node"):
        start(token(), host=moved, rejoin=True)
    assert start.known() == before
    after = start(token(node=uuid.UUID(before.node)), host=moved, rejoin=True).identity
    assert (after.node, after.machine_id) == (before.node, "another machine")
    assert after.token != before.token
    assert (start.state_dir / "journal.db").read_text() == "the journal"
    assert start(host=moved).identity == after


def test_a_node_that_lives_elsewhere_is_not_moved(start: Start) -> None:
    node = uuid.UUID(start(token()).identity.node)
    rows = Node.objects.filter(pk=node)
    moved = Host("web-2", "another machine", "1")
    rows.update(online=True, last_seen=timezone.now())
    with pytest.raises(IdentityError, match="is online on web-1: stop its worker there"):
        start(token(node=node), host=moved, rejoin=True)
    assert start(token(node=node), rejoin=True).identity.machine_id == "m", "the same machine may"
    rows.update(last_seen=timezone.now() - timedelta(minutes=5))
    assert start(token(node=node), host=moved, rejoin=True).identity.machine_id == "another machine"


def test_a_console_that_lost_its_database_takes_the_node_back_under_its_id(start: Start) -> None:
    before = start(token()).identity
    Node.objects.all().delete()
    after = start(token(), rejoin=True).identity
    assert after.node == before.node
    assert Node.objects.get().pk == uuid.UUID(before.node)


def test_what_is_missing_is_named(start: Start, tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="holds no identity yet"):
        start()
    with pytest.raises(IdentityError, match="No such file"):
        start(token_file=tmp_path / "nothing")
    start(token())
    with pytest.raises(IdentityError, match="to join again as web-1, give"):
        start(rejoin=True)
    again = token(node=Node.objects.get().pk)
    assert start(again, rejoin=True, server="").identity.server_url == start.wish.server, "of the same console"


def test_a_console_that_is_away_is_worth_another_try(start: Start) -> None:
    away = replace(start.wish, server="http://127.0.0.1:1", token="ects1.x.y")
    with pytest.raises(identity.Unreached) as raised:
        admit(start.state_dir, away, HOST, {})
    assert raised.value.status == 1
    with pytest.raises(IdentityError) as refused:
        start("ects1.x.y")
    assert refused.value.status == 2


def test_an_older_console_that_does_not_hear_which_node_is_found_out(start: Start) -> None:
    known = start(token()).identity
    identity.save(start.state_dir, structs.replace(known, node=str(uuid.uuid4())))
    node = Node.objects.get()
    with pytest.raises(IdentityError, match="this host is another"):
        start(token(node=node.pk), rejoin=True)
