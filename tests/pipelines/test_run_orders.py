"""Run again, kill, and what changed since a run: from the page of the run."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse

from coordination import crypto, documents
from coordination.documents import KillCommand, RunCommand
from logs.models import Run
from pipelines import editions
from pipelines.models import Edition, Pipeline
from tests.pipelines import makers
from tests.pipelines.test_admin import act
from workers import keyring


def address(name: str, run: Run) -> str:
    return reverse(f"admin:pipelines_run_{name}", args=[run.uuid])


def page(admin: Any, run: Run) -> str:
    return admin.get(reverse("admin:logs_run_change", args=[run.pk])).content.decode()


def orders(console: Any, run: Run) -> list[Any]:
    items = console.gateway.snapshot(console.keys.commands(str(run.node))).items
    opened = (crypto.verify("command", item.value, keyring.verify_keys()) for item in items)
    return [documents.decode_command(each) for each in opened]


def begun(admin: Any, **fields: Any) -> tuple[Pipeline, Run]:
    """A run by hand of a pipeline with one step, on its way."""
    pipeline = makers.pipeline(tasks=[makers.task(content="first\nsecond\n")], nodes=[makers.node()], **fields)
    act(admin, "run_selected", pipeline)
    return pipeline, Run.objects.get()


def test_run_again_makes_a_run_and_leads_to_it(admin, console):
    pipeline, run = begun(admin)
    assert address("again", run) in page(admin, run)
    reply = admin.post(address("again", run))
    new = Run.objects.exclude(pk=run.pk).get()
    assert reply.headers["Location"] == reverse("admin:logs_run_change", args=[new.pk])
    assert (new.pipeline, new.trigger, new.requested_by) == (pipeline.pk, "manual", "admin")
    assert [type(order) for order in orders(console, run)] == [RunCommand] * 2
    assert "Manual, by admin" in page(admin, new)


def test_kill_sends_one_order_and_only_while_it_runs(admin, console):
    _pipeline, run = begun(admin)
    assert address("kill", run) in page(admin, run)
    assert admin.post(address("kill", run)).status_code == 302
    [kill] = [order for order in orders(console, run) if isinstance(order, KillCommand)]
    assert (kill.run, kill.requested_by) == (str(run.uuid), "admin")
    Run.objects.update(state="succeeded")
    assert address("kill", run) not in page(admin, run)
    reply = admin.post(address("kill", run), follow=True)
    assert "This run has ended already" in reply.content.decode()
    assert len(orders(console, run)) == 2


def test_a_link_orders_nothing(admin, console):
    _pipeline, run = begun(admin)
    for name in ("again", "kill"):
        assert admin.get(address(name, run)).status_code == 405
    assert len(orders(console, run)) == 1


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [(["view_run"], []), (["view_run", "change_pipeline"], ["again"]), (["view_run", "change_run"], ["kill"])],
)
def test_each_order_asks_for_its_permission(admin, console, client, permissions, allowed):
    _pipeline, run = begun(admin)
    user = get_user_model().objects.create_user("eve", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    text = page(client, run)
    for name in ("again", "kill"):
        assert (address(name, run) in text) is (name in allowed)
        assert client.post(address(name, run)).status_code == (302 if name in allowed else 403)
    assert client.get(address("changes", run)).status_code == (200 if "again" in allowed else 403)
    assert len(orders(console, run)) == 1 + len(allowed)


def test_the_page_says_what_changed_since(admin, console):
    pipeline, run = begun(admin, overlap="skip")
    assert "as it is now" in page(admin, run)
    task = pipeline.steps.get().task
    task.content = "first\n<b>other</b>\n"
    task.save()
    pipeline.refresh_from_db()
    pipeline.overlap = "queue"
    pipeline.save()
    step = pipeline.steps.get()
    step.retries = 3
    step.save()
    pipeline.steps.create(task=makers.task("second"), position=9)
    assert address("changes", run) in page(admin, run)
    groups = admin.get(address("changes", run)).context["groups"]
    told = [
        (group.title, group.kind, [(one.label, one.before, one.after) for one in group.changes]) for group in groups
    ]
    assert told == [
        ("The pipeline", "changed", [("Overlap", "Skip", "Queue one")]),
        ("Step 1: t1", "changed", [("Retries", "0", "3"), ("Content", "", "")]),
        ("Step 2: second", "added", []),
    ]
    assert groups[1].changes[1].lines == ((" ", "first"), ("-", "second"), ("+", "<b>other</b>"))
    text = admin.get(address("changes", run)).content.decode()
    assert "&lt;b&gt;other" in text
    assert "<b>other" not in text


def test_what_was_not_kept_is_said(admin, console):
    pipeline, run = begun(admin)
    Edition.objects.all().delete()
    pipeline.overlap = "queue"
    pipeline.save()
    assert "is not kept any more" in admin.get(address("changes", run)).content.decode()


def test_a_run_of_a_pipeline_that_is_gone_can_be_read(admin, console):
    pipeline, run = begun(admin)
    pipeline.delete()
    text = page(admin, run)
    assert "the pipeline was deleted" in text
    assert address("again", run) not in text
    assert admin.get(address("changes", run)).status_code == 404
    assert admin.post(address("again", run)).status_code == 404


def test_editions_that_were_replaced_long_ago_are_deleted(console):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    at = pipeline.updated_at
    Edition.objects.all().delete()
    for number, age in enumerate([3, 2, 1, 0]):
        kept_at = at - age * editions.KEPT * 0.9
        Edition.objects.create(pipeline=pipeline.pk, generation=number, document={}, kept_at=kept_at)
    editions.prune(at)
    assert list(Edition.objects.order_by("generation").values_list("generation", flat=True)) == [1, 2, 3]
