"""A task tried once on one node, from the API: the order, the run, and who may."""

from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from coordination import crypto, documents
from coordination.documents import RunCommand
from logs.models import Run
from tests.pipelines import makers
from workers import keyring


@pytest.fixture
def api(console):
    client = APIClient()
    client.force_authenticate(User.objects.create_superuser("ada"))
    return client


def _order(console, node, run) -> RunCommand:
    """What the node finds in etcd."""
    [item] = console.gateway.snapshot(console.keys.commands(str(node.pk))).items
    command = documents.decode_command(crypto.verify("command", item.value, keyring.verify_keys()))
    assert isinstance(command, RunCommand)
    assert command.run == run
    return command


def test_a_trial_is_an_order_of_one_step(api, console):
    node = makers.node("n1")
    makers.secret("TOKEN", "geheim")
    task = makers.task("probe", kind="http", url="http://example.org/?{{ secrets.TOKEN }}")
    reply = api.post(f"/api/v1/tasks/{task.pk}/try/", {"node": str(node.pk)}, format="json")
    assert reply.status_code == 202, reply.content
    [run] = reply.json()["runs"]
    order = _order(console, node, run)
    [step] = order.document.steps
    assert (step.task.name, order.document.name) == ("probe", "try: probe")
    assert order.requested_by == "ada"
    assert crypto.unseal(node.private_key, order.document.secrets["TOKEN"]) == "geheim"
    row = Run.objects.get(uuid=UUID(run))
    assert (row.state, row.trigger, row.pipeline_name) == ("running", "manual", "try: probe")
    again = api.post(f"/api/v1/tasks/{task.pk}/try/", {"node": str(node.pk)}, format="json").json()["runs"][0]
    assert Run.objects.get(uuid=UUID(again)).pipeline == row.pipeline, "the trials of a task stand together"


def test_a_trial_that_cannot_be(api, console):
    waiting, task = makers.node("waiting", enrolled=False), makers.task()
    refused = api.post(f"/api/v1/tasks/{task.pk}/try/", {"node": str(waiting.pk)}, format="json")
    assert refused.status_code == 409
    assert "enrolled" in refused.json()["detail"]
    for body in ({}, {"node": "x"}, {"node": str(uuid4())}):
        assert api.post(f"/api/v1/tasks/{task.pk}/try/", body, format="json").status_code == 400
    assert api.post("/api/v1/tasks/999/try/", {"node": str(waiting.pk)}, format="json").status_code == 404
    assert not Run.objects.exists()


def test_who_may_try(console):
    node, task = makers.node("n1"), makers.task()
    user = User.objects.create_user("bob")
    client = APIClient()
    client.force_authenticate(user)
    for permission, expected in ((None, 403), ("change_task", 403), ("change_pipeline", 202)):
        if permission:
            user.user_permissions.add(Permission.objects.get(codename=permission))
            client.force_authenticate(User.objects.get(pk=user.pk))
        reply = client.post(f"/api/v1/tasks/{task.pk}/try/", {"node": str(node.pk)}, format="json")
        assert reply.status_code == expected, reply.content
