"""Every way to change something leaves an entry that says who did it and what changed."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import F
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from audit.acting import SYSTEM
from audit.models import Entry, Part
from logs.models import Retention
from pipelines import outbox
from pipelines.models import Binding, Calendar, CalendarEntry, Pipeline, Step
from tasks.models import Secret, Task
from tests.audit.journal import entries, last, lines
from tests.pipelines import makers
from tests.pipelines.test_admin import BLANK, form_of, rows, step
from tests.site.processes import manage
from tests.workers.test_joining import enrol, token
from workers.models import EnrolmentToken, Node

pytestmark = pytest.mark.django_db

PIPELINE, TASK = "pipelines.pipeline", "tasks.task"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def api() -> APIClient:
    """Signed in by a token, as scripts are: the view alone learns who it is."""
    User.objects.create_superuser("robot", password="robot's own")
    client = APIClient()
    token = client.post("/api/v1/auth/token/", {"username": "robot", "password": "robot's own"}).json()["token"]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def _save(admin: Client, one: Pipeline | Calendar, **changes: Any) -> None:
    page = reverse(f"admin:pipelines_{one._meta.model_name}_change", args=[one.pk])
    reply = admin.post(page, {**form_of(admin.get(page)), **changes})
    assert reply.status_code == 302


# -- the console -----------------------------------------------------------------------------------------------------


def test_a_pipeline_made_in_its_form_is_one_entry(admin: Client) -> None:
    node, task = makers.node("web-1"), makers.task("dump")
    body = {
        "name": "nightly", **BLANK, "schedule": "0 0 * * *", **rows("steps", step(task, retries=2)),
        **rows("bindings", {"node": str(node.pk)}),
    }  # fmt: skip
    assert admin.post(reverse("admin:pipelines_pipeline_add"), body).status_code == 302
    [entry] = entries(kind=PIPELINE)
    assert (entry.what, entry.by, entry.via, entry.name) == ("added", "ann", "console", "nightly")
    assert entry.object == str(Pipeline.objects.get().pk)
    assert entry.origin == "127.0.0.1"
    assert lines(entry) == [
        "+ Schedule:  → 0 0 * * *",
        "+ Step: 1. dump: Retries:  → 2",
        "+ Binding: web-1: ",
    ]


def test_what_is_changed_in_a_form_is_one_entry(admin: Client) -> None:
    """With its steps, bindings and calendars."""
    first, second = makers.task("dump"), makers.task("load")
    pipeline = makers.pipeline("nightly", tasks=[first, second], nodes=[makers.node("web-1")], schedule="0 0 * * *")
    other, calendar = makers.node("web-2"), Calendar.objects.create(name="holidays")
    before = len(entries())
    _save(
        admin, pipeline, schedule="30 0 * * *", misfire="all", calendars=[calendar.pk],
        **{"steps-1-timeout": "30", "steps-0-DELETE": "on", "bindings-0-node": str(other.pk)},
    )  # fmt: skip
    [entry] = entries()[before:]
    assert entry.what == "changed"
    assert lines(entry) == [
        "Schedule: 0 0 * * * → 30 0 * * *",
        "Missed fires: Skip → Run all",
        "Calendars: +holidays",
        "- Step: 0. dump: ",
        "Step: 1. load: Timeout (s): 0 → 30",
        "Binding: web-2: Node: web-1 → web-2",
    ]


def test_saving_without_a_change_is_no_entry(admin: Client) -> None:
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    _save(admin, pipeline)
    before = len(entries())
    _save(admin, Pipeline.objects.get())
    assert len(entries()) == before


def test_a_script_is_told_as_lines(admin: Client) -> None:
    task = makers.task("dump", content="set -e\npg_dump a\necho done\n")
    page = reverse("admin:tasks_task_change", args=[task.pk])
    body = {**form_of(admin.get(page)), "content": "set -e\npg_dump b\necho done\n"}
    assert admin.post(page, body).status_code == 302
    assert lines(last(kind=TASK)) == ["Content: -pg_dump a | +pg_dump b"]


def test_a_calendars_entries_are_its_own(admin: Client) -> None:
    calendar = Calendar.objects.create(name="holidays")
    CalendarEntry.objects.create(calendar=calendar, kind="date", start="12-25", name="Christmas")
    _save(admin, calendar, **{"entries-0-start": "12-24"})
    entry = last()
    assert (entry.kind, entry.name) == ("pipelines.calendar", "holidays")
    assert lines(entry) == ["Calendar entry: 12-24 Christmas: From: 12-25 → 12-24"]


def test_an_action_on_several_is_an_entry_for_each_that_belong_together(admin: Client) -> None:
    made = [makers.pipeline(name, tasks=[makers.task(name)], nodes=[]) for name in ("a", "b", "c")]
    body = {"action": "pause_selected", "_selected_action": [str(one.pk) for one in made[:2]], "confirmed": "1"}
    admin.post(reverse("admin:pipelines_pipeline_changelist"), body)
    found = [entry for entry in entries(kind=PIPELINE, what="changed") if entry.by == "ann"]
    assert [(entry.name, lines(entry)) for entry in found] == [("a", ["Paused: no → yes"]), ("b", ["Paused: no → yes"])]
    assert len({entry.act for entry in found}) == 1


def test_what_is_deleted_is_told_whole(admin: Client) -> None:
    pipeline = makers.pipeline("old", tasks=[makers.task("dump")], nodes=[makers.node("web-1")], timeout=60)
    pipeline.calendars.add(Calendar.objects.create(name="holidays"))
    body = {"action": "delete_selected", "_selected_action": [str(pipeline.pk)], "post": "yes"}
    admin.post(reverse("admin:pipelines_pipeline_changelist"), body)
    assert not Pipeline.objects.exists()
    entry = last()
    assert (entry.what, entry.by, entry.name, entry.object) == ("deleted", "ann", "old", str(pipeline.pk))
    told = lines(entry)
    assert "- Schedule: * * * * * → " in told
    assert "- Time limit (s): 60 → " in told
    assert "- Calendars: -holidays" in told
    assert "- Step: 0. dump: " in told
    assert "- Binding: web-1: " in told


def test_deleting_a_node_takes_it_out_of_pipelines_and_says_so(admin: Client) -> None:
    node = makers.node("web-1")
    makers.pipeline("nightly", tasks=[makers.task()], nodes=[node])
    admin.post(reverse("admin:workers_node_delete", args=[node.pk]), {"post": "yes"})
    found = [(entry.kind, entry.what, lines(entry)) for entry in entries() if entry.by == "ann"][-2:]
    assert (PIPELINE, "changed", ["- Binding: web-1: "]) in found
    assert ("workers.node", "deleted") in [each[:2] for each in found]


def test_revoking_says_that_the_token_went(admin: Client) -> None:
    node = makers.node("web-1", token_digest="abc")
    body = {"action": "revoke", "_selected_action": [str(node.pk)], "confirmed": "1"}
    admin.post(reverse("admin:workers_node_changelist"), body)
    assert Node.objects.get().token_digest == ""
    assert lines(last(kind="workers.node")) == ["Token: set → "]


def test_what_a_node_says_of_itself_is_no_change(admin: Client) -> None:
    node = makers.node("web-1")
    before = len(entries())
    node.version, node.running, node.incidents = "2.0", 3, ["clock"]
    node.save()
    assert len(entries()) == before


def test_the_global_pause_is_told(admin: Client) -> None:
    admin.get(reverse("admin:pipelines_control_changelist"))
    assert entries(kind="pipelines.control") == [], "looking at it made the row, and that is nobody's doing"
    outbox.set_paused(True)
    assert lines(last(kind="pipelines.control")) == ["Pause everything: no → yes"]


def test_users_groups_and_what_they_may(admin: Client) -> None:
    group = Group.objects.create(name="operators")
    user = User.objects.create_user("bob", password="first of all")
    right = Permission.objects.get(codename="change_pipeline")
    page = reverse("admin:auth_user_change", args=[user.pk])
    body = {**form_of(admin.get(page)), "is_staff": "on", "groups": [group.pk], "user_permissions": [right.pk]}
    body |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    reply = admin.post(page, body)
    assert reply.status_code == 302, reply.context["adminform"].form.errors
    told = lines(last(kind="auth.user"))
    assert told[0] == "Staff status: no → yes"
    assert "Groups: +operators" in told
    assert "User permissions: +pipelines.change_pipeline" in told
    admin.post(
        reverse("admin:auth_user_password_change", args=[user.pk]),
        {"password1": "another one 7", "password2": "another one 7", "usable_password": "true"},
    )
    assert lines(last(kind="auth.user")) == ["Password: not shown → another one"]
    assert "another" not in str(list(Part.objects.values_list("fields", flat=True)))


def test_retention_and_tokens(admin: Client) -> None:
    pipeline = makers.pipeline("nightly", tasks=[makers.task()], nodes=[])
    body = {"pipeline": str(pipeline.pk), "days": "7"}
    assert admin.post(reverse("admin:logs_retention_add"), body).status_code == 302
    assert Retention.objects.get().days == 7
    entry = last()
    assert (entry.kind, entry.name, entry.what) == ("logs.retention", "nightly", "added")
    assert "+ Days:  → 7" in lines(entry)
    admin.post(reverse("admin:workers_enrolmenttoken_add"), {"uses": "3"})
    entry = last()
    assert (entry.kind, entry.name) == ("workers.enrolmenttoken", f"#{EnrolmentToken.objects.get().pk}")
    assert "+ Uses left:  → 3" in lines(entry)
    assert EnrolmentToken.objects.get().digest not in str(list(Part.objects.values_list("fields", flat=True)))


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secrets_value_is_nowhere(admin: Client) -> None:
    admin.post(reverse("admin:tasks_secret_add"), {"name": "PASSWORD", "value": "open sesame"})
    entry = last(kind="tasks.secret")
    assert (entry.what, entry.name) == ("added", "PASSWORD")
    assert lines(entry) == ["+ Value:  → set"]
    secret = Secret.objects.get()
    admin.post(reverse("admin:tasks_secret_change", args=[secret.pk]), {"value": "open barley"})
    assert lines(last(kind="tasks.secret")) == ["Value: not shown → another one"]
    admin.post(reverse("admin:tasks_secret_delete", args=[secret.pk]), {"post": "yes"})
    kept = str(list(Part.objects.values("title", "fields"))) + str(list(Entry.objects.values()))
    for value in ("open sesame", "open barley", bytes(secret.ciphertext).hex(), str(bytes(secret.ciphertext))):
        assert value not in kept


# -- the API ---------------------------------------------------------------------------------------------------------


def test_changes_over_the_api_name_their_user(api: APIClient) -> None:
    reply = api.post("/api/v1/tasks/", {"name": "dump", "kind": "shell", "content": "true"}, format="json")
    assert reply.status_code == 201
    entry = last(kind=TASK)
    assert (entry.by, entry.user, entry.via) == ("robot", User.objects.get().pk, "api")
    body = {"name": "nightly", "schedule": "@hourly", "steps": [{"task": reply.json()["id"]}], "nodes": []}
    pipeline = api.post("/api/v1/pipelines/", body, format="json").json()["id"]
    entry = last(kind=PIPELINE)
    assert (entry.what, entry.by, entry.via) == ("added", "robot", "api")
    assert "+ Step: 1. dump: " in lines(entry)
    api.delete(f"/api/v1/pipelines/{pipeline}/")
    entry = last(kind=PIPELINE)
    assert (entry.what, entry.by, entry.via) == ("deleted", "robot", "api")


def test_steps_put_over_the_api_are_compared(api: APIClient) -> None:
    """They are all made anew: told is what differs."""
    dump, load, mail = (makers.task(name) for name in ("dump", "load", "mail"))
    pipeline = makers.pipeline("nightly", tasks=[], nodes=[], enabled=False)
    address = f"/api/v1/pipelines/{pipeline.pk}/"
    steps = [{"task": dump.pk}, {"task": load.pk, "environment": {"A": "1"}}]
    assert api.patch(address, {"steps": steps}, format="json").status_code == 200
    before = len(entries())
    assert api.patch(address, {"steps": steps}, format="json").status_code == 200
    assert len(entries()) == before, "the same steps are no change"
    steps = [{"task": mail.pk}, {"task": dump.pk, "retries": 3}, {"task": load.pk, "environment": {"A": "1", "B": "2"}}]
    assert api.patch(address, {"steps": steps}, format="json").status_code == 200
    assert lines(last(kind=PIPELINE)) == [
        "+ Step: 1. mail: ",
        "Step: 2. dump: Position: 1 → 2",
        "Step: 2. dump: Retries: 0 → 3",
        "Step: 3. load: Position: 2 → 3",
        "Step: 3. load: Environment: +B=2",
    ]


def test_a_host_that_joins() -> None:
    assert enrol(token(), name="fresh").status_code == 200
    entry = last(kind="workers.node")
    assert (entry.what, entry.name, entry.by, entry.via) == ("added", "fresh", "(host)", "api")
    assert "+ Token:  → set" in lines(entry)


# -- bulk writes, commands and the system ----------------------------------------------------------------------------


def test_bulk_writes_are_told(admin: Client) -> None:
    pipeline = makers.pipeline("nightly", tasks=[makers.task(name) for name in "ab"], nodes=[])
    Entry.objects.all().delete()
    Pipeline.objects.filter(name="nightly").update(enabled=False, schedule="@daily")
    Step.objects.filter(pipeline=pipeline).update(retries=1)
    Step.objects.filter(pipeline=pipeline, position=1).delete()
    Binding.objects.bulk_create([Binding(pipeline=pipeline, node=makers.node("web-1"))])
    moved = pipeline.steps.get()
    moved.position = 7
    Step.objects.bulk_update([moved], ["position"])
    [entry] = entries(kind=PIPELINE)
    assert (entry.by, entry.via) == (SYSTEM, "system")
    assert lines(entry) == [
        "Enabled: yes → no",
        "Schedule: * * * * * → @daily",
        "Step: 7. a: Retries: 0 → 1",
        "Step: 7. a: Position: 0 → 7",
        "- Step: 1. b: Retries: 0 → ",
        "+ Binding: web-1: ",
    ]


@pytest.mark.django_db(transaction=True)
def test_told_is_what_was_written_and_no_more() -> None:
    """Some fields, by name or column; an expression; what is held as another type than the column's."""
    first, second = makers.task("dump"), makers.task("load")
    pipeline = makers.pipeline("nightly", tasks=[first], nodes=[])
    pipeline.paused, pipeline.description = True, "not written"
    pipeline.save(update_fields=["paused"])
    assert lines(last()) == ["Paused: no → yes"]
    pipeline = Pipeline.objects.only("name", "schedule").get()
    pipeline.schedule = "@daily"
    pipeline.save()
    assert lines(last()) == ["Schedule: * * * * * → @daily"]
    step = Step.objects.get()
    step.task_id = second.pk
    step.save(update_fields=["task_id"])
    assert lines(last()) == ["Step: 0. load: Task: dump → load"]
    step.retries = F("retries") + 2
    step.save()
    assert lines(last()) == ["Step: 0. load: Retries: 0 → 2"]
    before = len(entries())
    step = Step.objects.get()
    step.timeout, step.retries = "0", "2"
    step.save()
    assert len(entries()) == before


@pytest.mark.django_db(transaction=True)
def test_lists_are_told_from_either_side() -> None:
    user, group = User.objects.create_user("bob"), Group.objects.create(name="operators")
    group.user_set.add(user)
    assert lines(last()) == ["Groups: +operators"]
    user.groups.clear()
    assert lines(last()) == ["Groups: -operators"]
    assert {entry.name for entry in entries(kind="auth.user")} == {"bob"}


@pytest.mark.django_db(transaction=True)
def test_each_transaction_of_the_system_is_an_act() -> None:
    task = makers.task("dump")
    for content in ("one", "two"):
        with transaction.atomic():
            task = Task.objects.get()
            task.content = content
            task.save()
            Task.objects.filter(pk=task.pk).update(description=content)
    found = entries(kind=TASK, what="changed")
    assert [lines(entry) for entry in found] == [
        ["Content: true → one", "Description:  → one"],
        ["Content: one → two", "Description: one → two"],
    ]
    assert len({entry.act for entry in found}) == 2


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_told() -> None:
    task = makers.task("dump")
    with transaction.atomic():
        task.content = "lost"
        task.save()
        transaction.set_rollback(True)
    assert [entry.what for entry in entries(kind=TASK)] == ["added"]
    task.content = "kept"
    task.save()
    assert lines(last(kind=TASK)) == ["Content: true → kept"]


def test_a_command_says_its_name(tmp_path: Path) -> None:
    """In a process of its own: the command line is what names it."""
    script = "from tasks.models import Task; Task.objects.create(name='t'); import audit.models as a;"
    script += "e = a.Entry.objects.get(); print('told:', e.by, e.via, ' on ' in e.origin)"
    for command in (["migrate", "-v", "0"], ["shell", "-v", "0", "-c", script]):
        done = manage(tmp_path, *command)
        assert done.returncode == 0, done.stderr
    assert "told: manage.py shell command True" in done.stdout
