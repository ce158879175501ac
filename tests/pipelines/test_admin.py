"""The admin's pages of definitions, by what they post and what comes of it."""

import re
from html.parser import HTMLParser

import pytest
from django.contrib.auth import get_user_model
from django.forms import model_to_dict
from django.urls import reverse

from coordination.documents import Tombstone
from logs.models import Run
from pipelines.calendars_forms import CalendarForm
from pipelines.models import Calendar, Control, Pipeline
from tasks.models import Secret, Task
from tests.pipelines import makers


def form_of(page) -> dict[str, str]:
    """What a browser would post of the page's form, unchanged."""
    parser = FormParser()
    parser.feed(page.content.decode())
    return {name: value for name, value in parser.values.items() if "__prefix__" not in name}


class FormParser(HTMLParser):
    """Collects the values of a page's change form."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.inside = False
        self.select = self.textarea = ""

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        name, value = found.get("name") or "", found.get("value")
        if tag == "form":
            self.inside = (found.get("id") or "").endswith("_form")
        elif self.inside and tag == "select":
            self.select = name
        elif self.inside and tag == "option" and "selected" in found:
            self.values[self.select] = value or ""
        elif self.inside and tag == "textarea":
            self.textarea = name
            self.values[name] = ""
        elif self.inside and tag == "input" and name and found.get("type") not in ("submit", "button"):
            if found.get("type") not in ("checkbox", "radio"):
                self.values[name] = value or ""
            elif "checked" in found:
                self.values[name] = value or "on"

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = False
        elif tag == "textarea":
            self.values[self.textarea] = self.values.get(self.textarea, "").removeprefix("\n")
            self.textarea = ""

    def handle_data(self, data):
        if self.inside and self.textarea:
            self.values[self.textarea] += data


def rows(prefix: str, *forms: dict[str, object], initial: int = 0) -> dict[str, object]:
    """The posted rows of an inline."""
    values: dict[str, object] = {f"{prefix}-TOTAL_FORMS": len(forms), f"{prefix}-INITIAL_FORMS": initial}
    for number, form in enumerate(forms):
        values |= {f"{prefix}-{number}-{name}": value for name, value in form.items()}
    return values


def step(task: Task, **more: object) -> dict[str, object]:
    return {"task": task.pk, "dependence": "strong", "timeout": 0, "retries": 0, "interval": 0, **more}


BLANK = {
    "schedule": "* * * * *", "timezone": "UTC", "timeout": "0", "overlap": "skip", "placement": "every",
    "on_node_loss": "abandon", "misfire": "skip", "misfire_grace": "60", "misfire_window": "86400",
    "misfire_cap": "100", "dst_gap": "shift", "dst_repeat": "first", "jitter": "0",
}  # fmt: skip


def add(admin, **values):
    body = {"name": "p", **BLANK, **rows("steps"), **rows("bindings"), **values}
    return admin.post(reverse("admin:pipelines_pipeline_add"), body)


def problems(page) -> dict[str, list[str]]:
    found = dict(page.context["adminform"].form.errors)
    for inline in page.context["inline_admin_formsets"]:
        for number, errors in enumerate(inline.formset.errors):
            found |= {f"{inline.formset.prefix}-{number}-{field}": text for field, text in errors.items()}
        if inline.formset.non_form_errors():
            found[inline.formset.prefix] = list(inline.formset.non_form_errors())
    return found


def test_a_pipeline_is_made_and_published(admin, console):
    node = makers.node()
    first, second, third = (makers.task(name) for name in "abc")
    reply = add(
        admin, enabled="on",
        **rows("steps", step(first, environment="A=1\nB=x=y"), step(second), step(third, beside="on")),
        **rows("bindings", {"node": str(node.pk)}),
    )  # fmt: skip
    assert reply.status_code == 302, problems(reply)
    document = console.document(node, Pipeline.objects.get().pk)
    assert [(each.task.name, each.position) for each in document.steps] == [("a", 1), ("b", 2), ("c", 2)]
    assert document.steps[0].environment == {"A": "1", "B": "x=y"}


def test_saving_a_form_unchanged_changes_nothing(admin, console):
    node = makers.node()
    tasks = [makers.task(name) for name in "abc"]
    pipeline = makers.pipeline(tasks=tasks, nodes=[node], node_labels={"zone": "a"}, timezone="Asia/Shanghai")
    pipeline.steps.filter(position=2).update(position=1, environment={"A": "two\nlines"})
    before = console.document(node, pipeline.pk)
    page = admin.get(reverse("admin:pipelines_pipeline_change", args=[pipeline.pk]))
    assert not re.search(r'name="steps-__prefix__-position" value="\d', page.content.decode())
    reply = admin.post(reverse("admin:pipelines_pipeline_change", args=[pipeline.pk]), form_of(page))
    assert reply.status_code == 302, problems(reply)
    after = console.document(node, pipeline.pk)
    assert [each.position for each in after.steps] == [1, 2, 2]
    assert [each.task for each in after.steps] == [each.task for each in before.steps]
    assert after.steps[2].environment == {"A": "two\nlines"}
    assert after.not_before == before.not_before


@pytest.mark.parametrize("kind", [Pipeline, Task, Calendar])
def test_what_another_saved_meanwhile_is_not_overwritten_unasked(admin, console, kind):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    pipeline.calendars.add(Calendar.objects.create(name="c"))
    url = reverse(f"admin:{kind._meta.app_label}_{kind._meta.model_name}_change", args=[kind.objects.get().pk])
    page = form_of(admin.get(url))
    assert admin.post(url, page | {"description": "theirs"}).status_code == 302
    asked = admin.post(url, page | {"description": "ours"})
    assert "changed after you opened this page" in asked.content.decode()
    assert kind.objects.get().description == "theirs"
    assert (again := form_of(asked))["description"] == "ours"
    assert admin.post(url, again).status_code == 302
    assert kind.objects.get().description == "ours"


def test_what_another_saved_after_the_row_was_read_is_not_overwritten_either(console):
    """Two requests at once: this one had read the row when the other's change was committed."""
    calendar = Calendar.objects.create(name="c")
    values = model_to_dict(calendar) | {"seen": calendar.updated_at.isoformat()}
    assert CalendarForm(values, instance=Calendar.objects.get()).is_valid()
    Calendar.objects.get().save()
    assert "changed after you opened this page" in CalendarForm(values, instance=calendar).non_field_errors()[0]


def test_a_pause_meanwhile_is_no_change_of_what_the_form_shows(admin, console):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    url = reverse("admin:pipelines_pipeline_change", args=[pipeline.pk])
    page = form_of(admin.get(url))
    act(admin, "pause_selected", pipeline)
    assert Pipeline.objects.get().paused
    assert admin.post(url, page | {"description": "ours"}).status_code == 302
    assert (saved := Pipeline.objects.get()).description == "ours"
    assert saved.paused


def test_dragged_rows_take_their_new_places(admin, console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task(name) for name in "abc"], nodes=[node])
    url = reverse("admin:pipelines_pipeline_change", args=[pipeline.pk])
    values = form_of(admin.get(url))
    for number, place in enumerate([1, 2, 0]):
        values[f"steps-{number}-position"] = str(place)
    assert admin.post(url, values).status_code == 302
    assert [each.task.name for each in console.document(node, pipeline.pk).steps] == ["c", "a", "b"]


def test_rows_added_without_dragging_come_last_and_deleted_ones_go(admin, console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task(name) for name in "ab"], nodes=[node])
    url = reverse("admin:pipelines_pipeline_change", args=[pipeline.pk])
    values = form_of(admin.get(url))
    values |= {f"steps-2-{name}": value for name, value in step(makers.task("new")).items()}
    values |= {"steps-TOTAL_FORMS": "3", "steps-0-DELETE": "on"}
    assert admin.post(url, values).status_code == 302
    document = console.document(node, pipeline.pk)
    assert [(each.task.name, each.position) for each in document.steps] == [("b", 1), ("new", 2)]


def test_an_untouched_row_that_was_dragged_over_is_no_step(refusing):
    untouched = {"position": "1", "dependence": "strong", "timeout": "0.0", "retries": "0", "interval": "0.0"}
    untouched |= dict.fromkeys(["nice", "memory", "cpu_seconds", "open_files", "processes"], "0")
    reply = add(refusing, **rows("steps", step(makers.task()), untouched))
    assert reply.status_code == 302, problems(reply)
    assert Pipeline.objects.get().steps.count() == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"schedule": "61 * * * *"}, "schedule"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timeout": "-1"}, "timeout"),
        ({"timeout": "nan"}, "timeout"),
        ({"misfire_cap": "0"}, "misfire_cap"),
        ({"placement": "somewhere"}, "placement"),
        ({"placement": "one_sticky", "overlap": "queue"}, "overlap"),
        ({"placement": "one_spread", "schedule": "@reboot"}, "schedule"),
        ({"node_labels": "nonsense"}, "node_labels"),
        ({"enabled": "on"}, "steps"),
        ({"enabled": "on", **rows("steps", {"dependence": "weak"})}, "steps-0-task"),
        ({**rows("steps", {"task": 1, "retries": "-1"})}, "steps-0-retries"),
        ({**rows("steps", {"task": 1, "environment": "A B=1"})}, "steps-0-environment"),
    ],
)
def test_a_bad_form_names_its_field(refusing, values, field):
    Task.objects.create(pk=1, name="t", content="true")
    reply = add(refusing, **values)
    assert reply.status_code == 200
    assert field in problems(reply)
    assert not Pipeline.objects.exists()


def test_missing_secrets_stand_against_enabling(refusing):
    task = makers.task(content="echo {{ secrets.TOKEN }}")
    reply = add(refusing, enabled="on", **rows("steps", step(task)))
    assert "TOKEN" in problems(reply)["steps"][0]
    assert add(refusing, **rows("steps", step(task))).status_code == 302


def act(admin, action: str, *pipelines: Pipeline):
    body = {"action": action, "_selected_action": [str(each.pk) for each in pipelines], "confirmed": "1"}
    reply = admin.post(reverse("admin:pipelines_pipeline_changelist"), body, follow=True)
    return [str(message) for message in reply.context["messages"]]


@pytest.mark.parametrize(
    ("action", "look"),
    [("run_selected", "button"), ("pause_selected", "button"), ("disable_selected", "grave")],
)
def test_what_hurts_many_is_asked_first(admin, console, action, look):
    pipeline = makers.pipeline(name="<i>nightly</i>", tasks=[makers.task()], nodes=[makers.node()])
    body = {"action": action, "_selected_action": [str(pipeline.pk)], "select_across": "0"}
    narrowed = reverse("admin:pipelines_pipeline_changelist") + "?q=night"
    page = admin.post(narrowed, body).content.decode()
    assert f'href="{narrowed}">Cancel' in page
    assert f'value="1" class="ects-{look}">' in page
    assert "&lt;i&gt;nightly&lt;/i&gt;" in page
    assert f'name="_selected_action" value="{pipeline.pk}"' in page
    pipeline.refresh_from_db()
    assert (pipeline.enabled, pipeline.paused, Run.objects.count()) == (True, False, 0)


def test_actions_of_the_list(admin, console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    empty = Pipeline.objects.create(name="empty")
    assert len(act(admin, "run_selected", pipeline, empty)) == 2
    assert Run.objects.get().state == "running"
    act(admin, "pause_selected", pipeline)
    assert console.document(node, pipeline.pk).paused
    act(admin, "resume_selected", pipeline)
    assert not console.document(node, pipeline.pk).paused
    act(admin, "disable_selected", pipeline)
    assert isinstance(console.held(node, pipeline.pk), Tombstone)
    [refusal, done] = act(admin, "enable_selected", empty, pipeline)
    assert "empty" in refusal
    assert "add a step" in refusal
    assert "1" in done
    assert console.document(node, pipeline.pk)


@pytest.mark.parametrize("name", ["run_one", "pause_one", "resume_one"])
def test_actions_of_one_pipeline_happen_by_post_only(admin, name):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()], paused=name == "resume_one")
    url = reverse(f"admin:pipelines_pipeline_{name}", args=[pipeline.pk])
    assert admin.get(url).status_code == 200
    assert (Run.objects.count(), Pipeline.objects.get().paused) == (0, pipeline.paused)
    reply = admin.post(url, {"_form_submitted": "True"})
    assert "HX-Redirect" in reply.headers
    changed = (Run.objects.count(), Pipeline.objects.get().paused)
    assert changed == {"run_one": (1, False), "pause_one": (0, True), "resume_one": (0, False)}[name]


def test_actions_need_the_permission_to_change(client, console):
    client.force_login(get_user_model().objects.create_user("looker", is_staff=True))
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    url = reverse("admin:pipelines_pipeline_run_one", args=[pipeline.pk])
    assert client.post(url, {"_form_submitted": "True"}).status_code == 403
    assert not Run.objects.exists()


def test_saving_with_etcd_down_says_so(admin, console):
    pipeline = makers.pipeline(tasks=[makers.task(content="echo old")], nodes=[makers.node()])
    task = Task.objects.get()
    url = reverse("admin:tasks_task_change", args=[task.pk])
    values = form_of(admin.get(url)) | {"content": "echo new"}
    console.etcd.kill()
    try:
        reply = admin.post(url, values, follow=True)
    finally:
        console.etcd.start()
    assert any("not yet published" in str(message) for message in reply.context["messages"])
    assert Task.objects.get().content == "echo new"
    assert not Pipeline.objects.get(pk=pipeline.pk).is_published()


def test_saving_with_etcd_up_says_nothing_of_it(admin):
    makers.pipeline(tasks=[makers.task(content="echo old")], nodes=[makers.node()])
    url = reverse("admin:tasks_task_change", args=[Task.objects.get().pk])
    reply = admin.post(url, form_of(admin.get(url)) | {"content": "echo new"}, follow=True)
    assert not any("not yet published" in str(message) for message in reply.context["messages"])


def test_the_global_pause_page(admin):
    reply = admin.get(reverse("admin:pipelines_control_changelist"), follow=True)
    assert reply.status_code == 200
    url = reverse("admin:pipelines_control_change", args=[1])
    assert admin.post(url, {"paused": "on"}).status_code == 302
    control = Control.objects.get()
    assert control.paused
    assert control.published == control.generation
    assert admin.post(url, {}).status_code == 302
    assert not Control.objects.get().paused


def test_a_task_form_names_its_field(refusing):
    url = reverse("admin:tasks_task_add")
    good = {"name": "t", "kind": "shell", "content": "true", "interpreter": "/bin/sh", "method": "GET"}
    for values, field in [
        ({"content": ""}, "content"),
        ({"kind": "http"}, "url"),
        ({"kind": "mail", "recipients": "nobody"}, "recipients"),
        ({"headers": "no separator"}, "headers"),
        ({"name": ""}, "name"),
    ]:
        assert field in refusing.post(url, good | values).context["adminform"].form.errors
    assert not Task.objects.exists()
    reply = refusing.post(url, good | {"kind": "http", "url": "http://x", "headers": "X-A: 1\nX-B: a:b"})
    assert reply.status_code == 302
    assert Task.objects.get().headers == {"X-A": "1", "X-B": "a:b"}
    change = reverse("admin:tasks_task_change", args=[Task.objects.get().pk])
    assert refusing.post(change, form_of(refusing.get(change))).status_code == 302
    assert Task.objects.get().headers == {"X-A": "1", "X-B": "a:b"}


def test_a_task_in_use_cannot_be_deleted_and_says_where(refusing):
    makers.pipeline("nightly", tasks=[makers.task()], nodes=[])
    page = refusing.get(reverse("admin:tasks_task_delete", args=[Task.objects.get().pk])).content.decode()
    assert "protected" in page
    assert "nightly" in page
    change = reverse("admin:tasks_task_change", args=[Task.objects.get().pk])
    assert f'href="{change}">Go back</a>' in page
    tasks = reverse("admin:tasks_task_changelist")
    many = {"action": "delete_selected", "_selected_action": [str(Task.objects.get().pk)]}
    assert f'href="{tasks}">Go back</a>' in refusing.post(tasks, many).content.decode()
    assert "nightly" in refusing.get(change).content.decode()


def test_the_value_of_a_secret_is_never_shown(refusing):
    url = reverse("admin:tasks_secret_add")
    assert refusing.post(url, {"name": "TOKEN", "value": " s3cret "}).status_code == 302
    change = reverse("admin:tasks_secret_change", args=[Secret.objects.get().pk])
    assert "s3cret" not in refusing.get(change).content.decode()
    assert refusing.post(change, {"value": "", "description": "d"}).status_code == 302
    assert Secret.objects.get().value() == " s3cret "
    assert refusing.post(change, {"value": "new"}).status_code == 302
    assert Secret.objects.get().value() == "new"


def test_a_version_comes_back_with_the_calendars_that_it_had(admin, console):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[], schedule="0 1 * * *")
    before, since, deleted = (Calendar.objects.create(name=name) for name in ("before", "since", "deleted"))
    pipeline.calendars.set([before, deleted])
    version = pipeline.history.latest()
    pipeline.calendars.set([since])
    deleted.delete()
    url = reverse("admin:pipelines_pipeline_simple_history", args=[pipeline.pk, version.pk])
    page = admin.get(url)
    assert "stays as it is now" in page.content.decode()
    shown = form_of(page)
    assert shown["calendars"] == str(before.pk)
    assert admin.post(url, shown).status_code == 302
    assert list(pipeline.calendars.all()) == [before]
