"""What the admin's pages of definitions show, and to whom."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.contrib.admin import helpers
from django.contrib.admin.utils import flatten
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from unfold.forms import AdminForm, Fieldline

from ects_site.palette import MOST, found
from logs.models import Run
from pipelines.models import Calendar, Control, LostEdit, Pipeline
from tasks.models import Task
from tests.pipelines import makers


def test_the_list_shows_the_schedule_in_words_the_next_fire_and_the_last_run(admin):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()], schedule="30 2 * * *", description="<b>")
    Run.objects.create(
        uuid=pipeline.pk, pipeline=pipeline.pk, pipeline_name="p", node=pipeline.pk, node_name="n",
        state="failed", scheduled_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    page = admin.get(reverse("admin:pipelines_pipeline_changelist")).content.decode()
    assert "30 2 * * *" in page
    assert "At 02:30" in page
    assert re.search(r"\d\d-\d\d 02:30:00", page)
    assert "Failed" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "bound to no node" not in page
    pipeline.bindings.all().delete()
    assert "bound to no node" in admin.get(reverse("admin:pipelines_pipeline_changelist")).content.decode()


def test_while_everything_is_paused_the_pages_of_pipelines_say_so(admin):
    """An enabled one with a next fire would look as if it fired."""
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    pages = [
        reverse("admin:pipelines_pipeline_changelist"),
        reverse("admin:pipelines_pipeline_change", args=[pipeline.pk]),
    ]
    for is_paused in (False, True):
        Control.objects.update_or_create(pk=1, defaults={"paused": is_paused})
        told = ["Everything is paused." in admin.get(page).content.decode() for page in pages]
        assert told == [is_paused] * 2


def test_the_page_of_a_pipeline_shows_its_fires_and_what_each_node_has(admin, console):
    applied, waiting = makers.node("applied"), makers.node("waiting", enrolled=False)
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[applied, waiting], timezone="Asia/Shanghai")
    console.report_applied(applied, pipeline.pk, console.document(applied, pipeline.pk).generation)
    page = admin.get(reverse("admin:pipelines_pipeline_change", args=[pipeline.pk])).content.decode()
    preview = page.split('id="schedule-preview"')[1]
    assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:00 CST", preview)) == 5
    assert "Waits until the node has enrolled" in page
    assert re.search(r"Applied\s*</span>", page)


def test_the_live_preview(refusing):
    url = reverse("admin:pipelines_pipeline_preview")
    page = refusing.get(url, {"schedule": "0 8 * * 1-5", "timezone": "UTC"}).content.decode()
    assert "Monday through Friday" in page
    assert "<script" not in refusing.get(url, {"schedule": "<script>", "timezone": "<script>"}).content.decode()
    for bad in ({}, {"schedule": "\0"}, {"schedule": "* * * * *", "timezone": "\0"}, {"schedule": "x" * 5000}):
        assert refusing.get(url, bad).status_code == 200


def test_who_may_only_look_sees_what_there_is_and_nothing_to_press(client, console):
    looker = get_user_model().objects.create_user("looker", is_staff=True)
    client.force_login(looker)
    web = makers.task(kind="http", content="", url="http://here/status", expect_status="200")
    page = reverse("admin:pipelines_pipeline_change", args=[makers.pipeline(tasks=[web], nodes=[]).pk])
    previews = [reverse(f"admin:pipelines_pipeline_{name}") for name in ("preview", "places")]
    assert [client.get(url).status_code for url in (page, *previews)] == [403] * 3
    assert "ask an administrator" in client.get(page).content.decode()
    looker.user_permissions.set(Permission.objects.filter(codename__in=("view_pipeline", "view_task")))
    assert [client.get(url).status_code for url in previews] == [200] * 2
    shown = client.get(page).content.decode()
    assert "schedule-preview" in shown
    assert "ects-presets" not in shown
    assert "Seen" not in shown
    task = client.get(reverse("admin:tasks_task_change", args=[web.pk])).context["adminform"]
    names = {name for _, part in task.fieldsets for name in flatten(part["fields"])}
    assert {"url", "expect_status", "content"} <= names
    assert not {"interpreter", "recipients", "signing_secret"} & names


@pytest.mark.parametrize("kind", [Pipeline, Task, Calendar])
def test_to_bring_a_version_back_asks_for_the_permission_to_change(client, console, kind):
    looker = get_user_model().objects.create_user("looker", is_staff=True)
    made = makers.pipeline(tasks=[makers.task()], nodes=[])
    made.calendars.add(Calendar.objects.create(name="c"))
    row, name = kind.objects.get(), kind._meta.model_name
    looker.user_permissions.set(Permission.objects.filter(codename=f"view_{name}"))
    client.force_login(looker)
    address = f"admin:{kind._meta.app_label}_{name}_simple_history"
    url = reverse(address, args=[row.pk, row.history.latest().pk])
    assert client.get(url).status_code == 200
    assert client.post(url, {"name": "taken", "content": "echo taken", "kind": "shell"}).status_code == 403
    assert not kind.objects.filter(name="taken").exists()


def test_the_palette_s_kinds_are_bounded_and_come_in_order(admin):
    for number in range(MOST + 1):
        makers.pipeline(f"nightly-{number}", tasks=[], nodes=[])
    LostEdit.objects.create(pipeline=uuid4(), pipeline_name="nightly-lost", generation=1)
    makers.node("nightly-node")
    told = [(line.description, line.link) for line in found(admin.get("/admin/").wsgi_request, "nightly")]
    assert [kind for kind, _link in told] == ["pipeline"] * MOST + ["pipelines", "node", "lost change"]
    assert told[MOST][1] == "/admin/pipelines/pipeline/?q=nightly"


@pytest.mark.parametrize("kind", ["pipelines_pipeline", "workers_node"])
@pytest.mark.parametrize("name", ["no-id", "0197c1a0-0000-7000-8000-000000000000"])
def test_an_address_that_leads_nowhere_says_so(refusing, kind, name):
    page = refusing.get(reverse(f"admin:{kind}_change", args=[name]), follow=True)
    assert page.redirect_chain == [("/admin/", 302)]
    assert name in str(next(iter(page.context["messages"])))
    assert "There is nothing here" in refusing.get("/admin/nowhere/").content.decode()
    refusing.force_login(get_user_model().objects.create_user("stranger", is_staff=True))
    assert refusing.get(reverse(f"admin:{kind}_change", args=[name])).status_code == 403


def test_every_page_of_the_admin_opens(admin):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    secret = makers.secret("A", "b")
    for page in (
        reverse("admin:pipelines_pipeline_changelist") + "?q=p&enabled__exact=1",
        reverse("admin:pipelines_pipeline_add"),
        reverse("admin:pipelines_pipeline_history", args=[pipeline.pk]),
        reverse("admin:pipelines_pipeline_delete", args=[pipeline.pk]),
        reverse("admin:tasks_task_changelist") + "?q=t&kind__exact=shell",
        reverse("admin:tasks_task_add"),
        reverse("admin:tasks_task_history", args=[Task.objects.get().pk]),
        reverse("admin:tasks_secret_changelist"),
        reverse("admin:tasks_secret_change", args=[secret.pk]),
        reverse("admin:auth_user_changelist"),
        reverse("admin:auth_user_add"),
        reverse("admin:auth_group_changelist"),
        reverse("admin:auth_group_add"),
    ):
        assert admin.get(page, follow=True).status_code == 200, page


def test_the_palette_finds_names_before_descriptions(admin):
    makers.pipeline("invoices", tasks=[], nodes=[], description="To the warehouse")
    makers.pipeline("warehouse-morning", tasks=[], nodes=[])
    told = [line.title for line in found(admin.get("/admin/").wsgi_request, "WAREHOUSE")]
    assert told == ["warehouse-morning", "invoices"]


def test_a_version_is_in_the_theme_s_look_before_any_form_was_shown(admin, console, monkeypatch):
    """The theme puts its own classes in the place of Django's as it shows a form."""
    monkeypatch.setattr(helpers, "AdminForm", AdminForm.__base__)
    monkeypatch.setattr(helpers, "Fieldline", Fieldline.__base__)
    task = makers.task()
    page = admin.get(reverse("admin:tasks_task_simple_history", args=[task.pk, task.history.latest().pk]))
    assert page.status_code == 200
    assert "Interpreter:" not in page.content.decode()
    assert "Interpreter<" in re.sub(r"\s+", "", page.content.decode())


def test_who_may_only_look_at_steps_sees_nothing_that_serves_the_editing(client, console):
    looker = get_user_model().objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename__in=["view_pipeline", "view_step", "view_task"]))
    client.force_login(looker)
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[])
    page = client.get(reverse("admin:pipelines_pipeline_change", args=[pipeline.pk])).content.decode()
    assert "Dependence" in page
    assert "Beside" not in page


def test_the_preview_of_no_schedule_says_what_to_write(refusing):
    """Saved, it would be refused: it is not one by hand."""
    page = refusing.get(reverse("admin:pipelines_pipeline_preview"), {"schedule": "", "timezone": "UTC"})
    assert "Only by hand" not in page.content.decode()
    assert "allowed is 5 fields" in page.content.decode()
