"""Orders to workers and sign-ins are in the journal too."""

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from audit.models import Entry, Part
from logs.models import Run
from tests.audit.journal import entries, last, lines
from tests.pipelines import makers
from tests.pipelines.conftest import console, etcd
from tests.pipelines.makers import Console

__all__ = ["console", "etcd"]

PASSWORD = "correct horse 7"
LOGIN = "/admin/login/"


def test_runs_trials_and_kills(console: Console, client: Client) -> None:
    client.force_login(User.objects.create_superuser("ann"))
    nodes = [makers.node(name) for name in ("web-1", "web-2")]
    task = makers.task("dump")
    pipeline = makers.pipeline("nightly", tasks=[task], nodes=nodes)
    address = f"/api/v1/pipelines/{pipeline.pk}/run/"
    body = {"environment": {"TOKEN": "not for the journal"}}
    runs = client.post(address, body, content_type="application/json").json()["runs"]
    entry = last()
    assert (entry.kind, entry.what, entry.name, entry.by) == ("pipelines.pipeline", "run", "nightly", "ann")
    assert lines(entry) == [
        "+ Nodes: +web-1 | +web-2",
        "+ Runs: " + " | ".join(f"+{run}" for run in sorted(runs)),
        "+ Variables given:  → TOKEN",
    ]
    assert "not for the journal" not in str(list(Part.objects.values_list("fields", flat=True)))

    assert client.post(f"/api/v1/tasks/{task.pk}/try/", {"node": str(nodes[0].pk)}).status_code == 202
    entry = last()
    assert (entry.kind, entry.what, entry.name) == ("tasks.task", "tried", "dump")
    assert lines(entry)[0] == "+ Nodes:  → web-1"

    run = Run.objects.get(uuid=runs[0])
    Run.objects.filter(pk=run.pk).update(provisional=False)
    client.post(reverse("admin:pipelines_run_kill", args=[run.uuid]))
    entry = last()
    assert (entry.kind, entry.what, entry.object, entry.by) == ("logs.run", "killed", str(run.uuid), "ann")
    assert entry.name == "nightly"
    assert lines(entry)[0] == f"+ Node:  → {run.node_name}"


def test_what_etcd_did_not_take_was_not_ordered(console: Console, client: Client) -> None:
    client.force_login(User.objects.create_superuser("ann"))
    pipeline = makers.pipeline("nightly", tasks=[makers.task()], nodes=[makers.node()])
    console.etcd.stop()
    try:
        assert client.post(f"/api/v1/pipelines/{pipeline.pk}/run/").status_code == 503
    finally:
        console.etcd.start()
    assert entries(what="run") == []


@pytest.mark.django_db
def test_signing_in_and_out_at_the_console(client: Client) -> None:
    user = User.objects.create_superuser("ann", password=PASSWORD)
    client.post(LOGIN, {"username": "ann", "password": PASSWORD})
    client.post("/admin/logout/")
    found = [(entry.what, entry.by, entry.user, entry.object, entry.origin) for entry in entries(via="console")]
    assert found == [
        ("signed_in", "ann", user.pk, str(user.pk), "127.0.0.1"),
        ("signed_out", "ann", user.pk, str(user.pk), "127.0.0.1"),
    ]


@pytest.mark.django_db
def test_signing_in_over_the_api(client: Client) -> None:
    User.objects.create_user("robot", password=PASSWORD)
    client.post("/api/v1/auth/token/", {"username": "robot", "password": PASSWORD})
    entry = last()
    assert (entry.what, entry.by, entry.via, entry.name) == ("signed_in", "robot", "api", "robot")
    client.post("/api/v1/auth/token/", {"username": "robot", "password": "wrong"})
    entry = last()
    assert (entry.what, entry.by, entry.user, entry.via) == ("refused", "robot", None, "api")


@pytest.mark.django_db
def test_failures_and_the_lock(client: Client) -> None:
    """Each failure once; whoever goes on at the closed door is told of once."""
    user = User.objects.create_superuser("ann", password=PASSWORD)
    for _ in range(settings.AXES_FAILURE_LIMIT + 5):
        client.post(LOGIN, {"username": "ann", "password": "guessed"})
    client.post(LOGIN, {"username": "nobody here", "password": "guessed"})
    found = [(entry.what, entry.name, entry.object) for entry in entries(via="console")]
    known = ("ann", str(user.pk))
    assert found == [
        *[("refused", *known)] * (settings.AXES_FAILURE_LIMIT - 1),
        ("locked_out", *known),
        ("refused", "nobody here", ""),
    ]
    assert "guessed" not in str(list(Entry.objects.values())) + str(list(Part.objects.values()))
