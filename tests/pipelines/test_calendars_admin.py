"""Calendars in the admin, and in the form of a pipeline, by what the pages post and show."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from pipelines.models import Calendar, CalendarEntry, Pipeline
from tests.pipelines import makers
from tests.pipelines.test_admin import add, form_of, problems, rows


@pytest.fixture
def admin(client, db):
    client.force_login(get_user_model().objects.create_superuser("admin"))
    return client


def entry(kind: str, start: str, end: str = "", **more: object) -> dict[str, object]:
    return {"kind": kind, "name": "", "start": start, "end": end, **more}


def add_calendar(admin, *entries: dict[str, object], **values: object):
    body = {"name": "Freeze", "description": "", "timezone": "UTC", "policy": "skip", **values}
    return admin.post(reverse("admin:pipelines_calendar_add"), {**body, **rows("entries", *entries)})


def change_page(admin, thing):
    return admin.get(reverse(f"admin:pipelines_{thing._meta.model_name}_change", args=[thing.pk]))


def calendar(name: str = "c", **entry: object) -> Calendar:
    made = Calendar.objects.create(name=name)
    CalendarEntry.objects.create(calendar=made, **entry)
    return made


def never() -> Calendar:
    return calendar("never", kind="range", start="2020-01-01", end="9999-12-31")


def test_a_calendar_is_entered_as_people_write(admin):
    reply = add_calendar(
        admin,
        entry("date", " 12-25 ", "ignored", name="Christmas", days=["mon"]),
        entry("range", "2026-12-24 18:00", "2027-01-02"),
        entry("weekly", "22:00", "6:00", days=["sun", "sat"]),
        entry("weekly", "", days=["mon"]),
    )
    assert reply.status_code == 302, problems(reply)
    stored = CalendarEntry.objects.values_list("kind", "start", "end", "days", "name")
    assert list(stored) == [
        ("date", "12-25", "", [], "Christmas"),
        ("range", "2026-12-24 18:00", "2027-01-02", [], ""),
        ("weekly", "22:00", "06:00", ["sat", "sun"], ""),
        ("weekly", "00:00", "24:00", ["mon"], ""),
    ]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (entry("date", "", name="x"), "start"),
        (entry("date", "25.12."), "start"),
        (entry("range", "2026-12-24"), "end"),
        (entry("range", "2026-12-24", "2026-12-23"), "end"),
        (entry("weekly", "09:00", "10:00"), "days"),
        (entry("weekly", "late", "10:00", days=["mon"]), "start"),
        (entry("weekly", "09:00", "10:00", days=["someday"]), "days"),
        (entry("yearly", "09:00"), "kind"),
    ],
)
def test_a_bad_entry_is_shown_in_its_row(admin, bad, field):
    reply = add_calendar(admin, entry("date", "12-25"), bad)
    found = problems(reply)
    assert list(found) == [f"entries-1-{field}"]
    assert not Calendar.objects.exists()


def test_a_bad_zone_is_shown_at_its_field(admin):
    found = problems(add_calendar(admin, entry("date", "12-25"), timezone="Mars/Olympus"))
    assert list(found) == ["timezone"]
    assert "Europe/Paris" in found["timezone"][0]


def test_local_times_are_judged_in_the_posted_zone(admin):
    gap = entry("range", "2026-03-29T02:10", "2026-03-29T02:20")
    assert list(problems(add_calendar(admin, gap, timezone="Europe/Paris"))) == ["entries-0-end"]
    assert add_calendar(admin, gap).status_code == 302


def test_as_many_entries_as_are_allowed_and_one_more(admin):
    most = [entry("weekly", "01:00", "02:00", days=["mon", "tue", "wed", "thu", "fri", "sat", "sun"])] * 200
    assert "200" in problems(add_calendar(admin, *most, entry("date", "12-25")))["entries"][0]
    assert add_calendar(admin, *most).status_code == 302


def test_saving_a_calendar_unchanged_replays_and_moves_nothing(admin):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    add_calendar(admin, entry("date", "12-25"), entry("weekly", "22:00", "06:00", days=["sun"]))
    used = Calendar.objects.get()
    pipeline.calendars.add(used)
    before = Pipeline.objects.get().not_before
    form = form_of(change_page(admin, used))
    reply = admin.post(reverse("admin:pipelines_calendar_change", args=[used.pk]), form)
    assert reply.status_code == 302, problems(reply)
    assert Pipeline.objects.get().not_before == before
    form = form_of(change_page(admin, used)) | {"entries-1-start": "21:00"}
    admin.post(reverse("admin:pipelines_calendar_change", args=[used.pk]), form)
    assert Pipeline.objects.get().not_before > before


def test_the_list_and_the_page_show_who_uses_it(admin):
    used = calendar(kind="date", start="12-25")
    pipeline = makers.pipeline("<b>", tasks=[makers.task()], nodes=[])
    pipeline.calendars.add(used)
    link = reverse("admin:pipelines_pipeline_change", args=[pipeline.pk])
    pages = (admin.get(reverse("admin:pipelines_calendar_changelist")), change_page(admin, used))
    for page in pages:
        assert f'href="{link}">&lt;b&gt;</a>' in page.content.decode()
    assert change_page(admin, pipeline).status_code == 200
    for word, found in (("c", True), ("other", False)):
        listed = admin.get(reverse("admin:pipelines_calendar_changelist"), {"q": word}).context["cl"].result_list
        assert bool(listed) is found


def test_one_in_use_is_not_deleted(admin):
    used, free = calendar(kind="date", start="12-25"), calendar("free", kind="date", start="12-25")
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[])
    pipeline.calendars.add(used)
    delete = reverse("admin:pipelines_calendar_delete", args=[used.pk])
    assert "p1" in admin.get(delete).content.decode()
    assert admin.post(delete, {"post": "yes"}).status_code == 200
    body = {"action": "delete_selected", "_selected_action": [used.pk, free.pk], "post": "yes"}
    admin.post(reverse("admin:pipelines_calendar_changelist"), body)
    assert Calendar.objects.count() == 2
    admin.post(reverse("admin:pipelines_calendar_delete", args=[free.pk]), {"post": "yes"})
    assert Calendar.objects.get() == used


def test_a_calendar_that_silences_pipelines_says_which(admin):
    used = calendar(kind="date", start="12-25")
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[])
    pipeline.calendars.add(used)
    url = reverse("admin:pipelines_calendar_change", args=[used.pk])
    form = form_of(change_page(admin, used))
    quiet = admin.post(url, form, follow=True)
    assert len(quiet.context["messages"]) == 1
    form = form_of(change_page(admin, used))
    form |= {"entries-0-kind": "range", "entries-0-start": "2020-01-01", "entries-0-end": "9999-12-31"}
    told = [str(message) for message in admin.post(url, form, follow=True).context["messages"]]
    assert any("p1 will not fire" in message for message in told)


def test_the_form_of_a_pipeline_takes_calendars(admin):
    first, second = calendar("a", kind="date", start="12-25"), calendar("b", kind="date", start="12-26")
    reply = add(admin, calendars=[first.pk, second.pk], jitter="5", dst_gap="skip")
    assert reply.status_code == 302, problems(reply)
    made = Pipeline.objects.get()
    assert list(made.calendars.all()) == [first, second]
    assert (made.jitter, made.dst_gap) == (5, "skip")
    page = change_page(admin, made).content.decode()
    assert f'<option value="{first.pk}" selected' in re.sub(r"\s+", " ", page)
    for field in ("starts_at_0", "ends_at_0", "jitter", "dst_gap", "dst_repeat", "calendars"):
        assert f'name="{field}"' in page
    assert "calendars" in problems(add(admin, name="q", calendars=["999"]))


def test_an_enabled_pipeline_needs_a_time_to_fire(admin):
    silent = never()
    assert add(admin, calendars=[silent.pk]).status_code == 302
    [message] = problems(add(admin, name="q", enabled="on", calendars=[silent.pk]))["calendars"]
    assert "would never fire" in message
    page = change_page(admin, Pipeline.objects.get()).content.decode()
    assert "would never fire" in page.split('id="schedule-preview"')[1]


def test_the_list_of_pipelines_goes_by_the_calendars(admin):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[], schedule="30 2 * * *")
    assert "02:30:00" in admin.get(reverse("admin:pipelines_pipeline_changelist")).content.decode()
    pipeline.calendars.add(never())
    assert "02:30:00" not in admin.get(reverse("admin:pipelines_pipeline_changelist")).content.decode()


def test_the_live_preview_goes_by_the_chosen_calendars(admin):
    until_2030 = calendar(kind="range", start="2020-01-01", end="2029-12-31")
    url = reverse("admin:pipelines_pipeline_preview")
    query = {"schedule": "0 8 * * *", "timezone": "UTC"}
    assert "2030-01-01 08:00:00" in admin.get(url, {**query, "calendars": [until_2030.pk]}).content.decode()
    assert "would never fire" in admin.get(url, {**query, "calendars": [until_2030.pk, never().pk]}).content.decode()
    for bad in ("x", "999", "1" * 30, "-1", "²"):
        assert "08:00:00" in admin.get(url, {**query, "calendars": [bad]}).content.decode()


def test_the_empty_form_has_a_preview_to_update(admin):
    page = admin.get(reverse("admin:pipelines_pipeline_add")).content.decode()
    assert '<div id="schedule-preview"' in page
    assert page.count('hx-target="#schedule-preview"') == 9
