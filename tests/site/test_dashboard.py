"""The first page: its figures are those of the runs, it says the next step, and it renews itself."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import caches
from django.db import transaction
from django.test import Client
from django.utils import translation
from playwright.sync_api import Browser, Page

from ects_site.dashboard.day import by_state, durations, last_day, runs_by_hour
from ects_site.dashboard.heat import heat_map
from ects_site.dashboard.troubles import latest_failures, most_failing
from ects_site.dashboard.upcoming import by_minute, upcoming
from logs import rollups
from logs.models import Run
from pipelines.models import Calendar, CalendarEntry, Control, Pipeline
from tasks.models import Task
from workers.models import Node

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 2, 12, 20, 30, tzinfo=UTC)
"""The day that it looks at begins at 13:00 of the day before."""

BEGIN = datetime(2026, 3, 1, 13, tzinfo=UTC)
PIPELINE, NODE = uuid.UUID(int=7), uuid.UUID(int=101)


@pytest.fixture(autouse=True)
def nothing_of_another_test() -> Iterator[None]:
    """Neither a kept answer nor the language of the last request."""
    caches["process"].clear()
    with translation.override("en"):
        yield


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("admin", password="secretpw"))
    return client


def runs(number: int, at: datetime, state: str = "succeeded", **more: Any) -> list[Run]:
    """So many, with their statistics, as ingest writes them."""
    values = {
        "pipeline": PIPELINE,
        "pipeline_name": "p",
        "node": NODE,
        "node_name": "n",
        "trigger": "schedule",
        "state": state,
        "scheduled_at": at,
        "started_at": None if state in ("skipped", "missed") else at,
        "finished_at": None if state in ("skipped", "missed", "running") else at + timedelta(seconds=2),
    }
    written = [Run(uuid=uuid.uuid4(), **values | more) for _ in range(number)]
    with transaction.atomic():
        Run.objects.bulk_create(written)
        rollups.move([], [rollups.counted(run) for run in written])
    return written


def test_the_figures_are_those_of_the_last_24_hours() -> None:
    runs(9, BEGIN - timedelta(minutes=1), "failed")
    runs(6, BEGIN)
    runs(2, NOW, "failed")
    runs(1, NOW, "timed_out")
    runs(1, NOW, "lost", node=uuid.uuid4())
    runs(3, NOW, "skipped")
    runs(1, NOW, "missed", count=40)
    runs(2, NOW, started_at=NOW + timedelta(seconds=5), finished_at=NOW + timedelta(seconds=17))
    runs(1, NOW, "running")
    day = last_day(NOW)
    assert (day.begin, len(day.hours)) == (BEGIN, 24)
    assert (day.ended, day.failed) == (12, 4)
    assert day.success == pytest.approx(66.7, abs=0.05)
    assert (day.sums["late"], day.sums["missed"]) == (2, 40)
    assert day.mean == pytest.approx((6 * 2 + 3 * 2 + 2 * 12) / 11), "of what the worker saw end"
    told = {one["state"]: one["count"] for one in by_state(day)}
    assert told == {
        **{"running": 1, "succeeded": 8, "failed": 2, "timed_out": 1},
        **{"skipped": 3, "missed": 40, "lost": 1},
    }


def test_the_charts_show_the_day() -> None:
    runs(6, BEGIN)
    runs(2, NOW, "failed", finished_at=NOW + timedelta(seconds=12))
    hours = runs_by_hour(last_day(NOW))
    assert dict(hours[0].parts)["succeeded"] == 6
    assert hours[0].title == "13:00 · 6 succeeded"
    assert dict(hours[-1].parts)["failed"] == 2
    assert hours[1].title == "14:00 · no fires"
    took = {column.label: sum(value for _name, value in column.parts) for column in durations(last_day(NOW))}
    assert {label: number for label, number in took.items() if number} == {"5s": 6, "30s": 2}


def test_without_runs_there_is_no_rate() -> None:
    day = last_day(NOW)
    assert (day.ended, day.success, day.mean, by_state(day)) == (0, None, None, [])


def test_the_pipelines_that_fail_most_by_the_statistics() -> None:
    rarely, often, then = (Pipeline.objects.create(name=name) for name in ("rarely", "often", "yesterday"))
    runs(7, BEGIN - timedelta(minutes=1), "failed", pipeline=rarely.pk)
    runs(1, NOW, "failed", pipeline=rarely.pk)
    runs(5, NOW, pipeline=often.pk)
    runs(2, NOW, "failed", pipeline=often.pk)
    runs(1, BEGIN, "lost", pipeline=often.pk, node=uuid.uuid4())
    runs(3, NOW, "killed", pipeline=uuid.uuid4())
    runs(4, BEGIN + timedelta(hours=1), "failed", pipeline=then.pk)
    runs(2, NOW, "timed_out", pipeline=uuid.UUID(int=9), pipeline_name="deleted meanwhile")
    failing = most_failing(BEGIN)
    assert [(one.name, one.bad, one.ended) for one in failing] == [
        ("yesterday", 4, 4),
        ("often", 3, 8),
        ("deleted meanwhile", 2, 2),
        ("rarely", 1, 1),
    ]
    assert [len(one.runs) for one in failing] == [4, 8, 2, 8]
    assert most_failing(NOW + timedelta(days=2)) == []


def test_the_failures_of_pipelines_without_a_run_left_are_still_told() -> None:
    runs(1, NOW, "failed")
    Run.objects.all().delete()
    assert [(one.name, one.runs) for one in most_failing(BEGIN)] == [(str(PIPELINE), [])]


def test_the_latest_failures_are_the_newest_of_any_kind() -> None:
    runs(1, NOW - timedelta(hours=25), "failed")
    expected = [
        run
        for state in ("lost", "failed", "timed_out", "failed", "lost", "failed", "failed")
        for run in runs(1, NOW, state)
    ]
    runs(3, NOW, "killed")
    assert latest_failures(NOW) == expected[:0:-1]


def test_the_heat_map_shades_what_ran_and_marks_what_failed() -> None:
    busy, calm = Node.objects.create(name="busy", online=True), Node.objects.create(name="calm", capacity=4, running=3)
    runs(40, BEGIN, node=busy.pk)
    runs(1, BEGIN, node=calm.pk)
    runs(19, NOW, node=calm.pk)
    runs(1, NOW, "failed", node=calm.pk)
    runs(1, NOW - timedelta(hours=1), "lost", node=calm.pk)
    runs(3, NOW, "killed", node=busy.pk)
    Node.objects.create(name="console", mode="master")
    heat = heat_map(last_day(NOW))
    assert [row["node"].name for row in heat["rows"]] == ["busy", "calm"]
    first, second = (row["cells"] for row in heat["rows"])
    assert [first[0]["level"], second[0]["level"], first[1]["level"]] == ["4", "1", "0"]
    assert [cell["level"] for cell in second[-2:]] == ["1 ects-cell-most", "2 ects-cell-few"]
    assert second[-1]["title"] == "12:00: 20 runs, 1 of them not well"
    assert heat["rows"][1]["used"] == 75
    assert (heat["hours"][0], heat["hours"][-1], heat["more"]) == ("13", "12", False)


def test_the_hour_to_come_counts_every_fire_and_shows_the_crowd() -> None:
    for number in range(9):
        Pipeline.objects.create(name=f"five {number}", schedule="30 12 * * *", enabled=True)
    Pipeline.objects.create(name="ten", schedule="*/10 * * * * *", enabled=True)
    Pipeline.objects.create(name="paused", schedule="* * * * *", enabled=True, paused=True)
    Pipeline.objects.create(name="off", schedule="* * * * *")
    Pipeline.objects.create(name="far", schedule="0 0 1 1 *", enabled=True)
    Pipeline.objects.create(name="nothing that is a schedule", schedule="x", enabled=True)
    found = upcoming(NOW)
    assert [minute.fires for minute in found.minutes[:12]] == [2, *[6] * 9, 15, 6]
    assert (found.most, found.fullest) == (15, datetime(2026, 3, 2, 12, 30, tzinfo=UTC))
    chart = by_minute(found)
    assert {column.title[:5] for column in chart if column.parts[0][0] == "timed_out"} == {"12:30"}
    assert chart[10].title == "12:30: 15 fires · five 0, five 1, five 2, five 3, five 4 …"
    assert chart[11].title == "12:31: 6 fires · ten"
    assert [one.name for _at, one in found.first(NOW)][:2] == ["ten", "five 0"]


def test_an_answer_that_is_kept_never_shows_a_fire_that_has_passed() -> None:
    Pipeline.objects.create(name="ten", schedule="*/10 * * * * *", enabled=True)
    upcoming(NOW)
    later = NOW + timedelta(seconds=25)
    assert [at for at, _one in upcoming(later).first(later)] == [NOW + timedelta(seconds=30)]


def test_pipelines_with_equal_schedules_fire_apart_by_h_and_by_calendar() -> None:
    calendar = Calendar.objects.create(name="quiet", timezone="UTC")
    CalendarEntry.objects.create(calendar=calendar, kind="date", start="2026-03-02", end="2026-03-02")
    open_, quiet = (Pipeline.objects.create(name=name, schedule="30 * * * *", enabled=True) for name in "ab")
    quiet.calendars.add(calendar)
    # Ids whose H is not the minute that has begun already, which has no fire within this hour.
    for number in range(8):
        pk = uuid.UUID(int=number + 1)
        Pipeline.objects.create(pk=pk, name=f"H {number}", schedule="H * * * *", enabled=True)
    found = upcoming(NOW)
    assert found.fires == 9
    assert sum(minute.fires > 0 for minute in found.minutes) > 2
    assert {one.pipeline for one in found.coming if one.name in "ab"} == {open_.pk}


def test_a_new_installation_says_the_next_step(admin: Client) -> None:
    def following() -> list[str]:
        return [step.title for step in admin.get("/admin/").context["first_steps"] if step.is_next]

    assert following() == ["Add a node"]
    node = Node.objects.create(name="n")
    assert following() == ["Define a task"]
    Task.objects.create(name="t")
    assert following() == ["Make a pipeline"]
    pipeline = Pipeline.objects.create(name="p")
    assert following() == ["Let it fire"]
    pipeline.enabled = True
    pipeline.save()
    assert following() == ["Let it fire"], "on no node"
    pipeline.bindings.create(node=node)
    assert following() == []
    assert "the first fire is awaited" in admin.get("/admin/").content.decode()
    assert 'id="by-hour"' not in admin.get("/admin/").content.decode()
    runs(1, datetime.now(UTC))
    page = admin.get("/admin/")
    assert "first_steps" not in page.context
    assert 'id="by-hour"' in page.content.decode()


def test_a_failure_is_told_without_who_asked_for_the_run(admin: Client) -> None:
    runs(1, datetime.now(UTC), "failed", requested_by="bob", reason="run by bob; It ended with exit code 2.")
    assert ">It ended with exit code 2.</small>" in admin.get("/admin/").content.decode()


def test_it_says_that_everything_is_paused(admin: Client) -> None:
    assert "Everything is paused" not in admin.get("/admin/").content.decode()
    Control.objects.update_or_create(pk=1, defaults={"paused": True})
    assert "Everything is paused" in admin.get("/admin/").content.decode()


def test_everybody_sees_what_they_may() -> None:
    user = get_user_model().objects.create_user("reader", is_staff=True)
    client = Client()
    client.force_login(user)
    assert "ask an administrator" in client.get("/admin/").content.decode()
    assert client.get("/admin/next-hour/").content == b""
    user.user_permissions.add(Permission.objects.get(codename="view_run"))
    page = client.get("/admin/")
    assert [step.url for step in page.context["first_steps"]] == [""] * 4
    assert "heat" not in page.context
    assert 'id="next-hour"' not in page.content.decode()


def opened(browser: Browser, url: str, trouble: list[str]) -> Page:
    """The dashboard after the sign-in, with a clock that the test moves."""
    get_user_model().objects.create_superuser("admin", password="secretpw")
    page = browser.new_context(timezone_id="Asia/Shanghai").new_page()
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.clock.install()
    page.goto(f"{url}/admin/login/?next=/admin/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill("secretpw")
    page.get_by_label("Password").press("Enter")
    page.get_by_text("No enabled pipeline fires within the next hour.").wait_for()
    return page


@pytest.mark.django_db(transaction=True)
def test_it_renews_itself_and_says_when_it_cannot(live_server: Any, browser: Browser) -> None:
    trouble: list[str] = []
    page = opened(browser, live_server.url, trouble)
    page.get_by_text("(Asia/Shanghai)").wait_for()
    page.get_by_text("Nothing has run yet").wait_for()
    Pipeline.objects.create(name="soon", schedule="* * * * *", enabled=True)
    caches["process"].clear()
    runs(3, datetime.now(UTC), "failed", pipeline_name="went wrong")
    page.clock.fast_forward(16_000)
    page.get_by_role("link", name="went wrong").first.wait_for()
    page.get_by_role("link", name="soon").wait_for()
    assert page.get_by_text("Nothing has run yet").count() == 0
    assert trouble == []
    stale = page.get_by_text("The console does not answer")
    assert not stale.is_visible()
    page.context.set_offline(True)
    page.clock.fast_forward(16_000)
    stale.wait_for()
    page.context.set_offline(False)
    page.clock.fast_forward(16_000)
    stale.wait_for(state="hidden")


@pytest.mark.django_db(transaction=True)
def test_a_tab_that_nobody_sees_asks_for_nothing(live_server: Any, browser: Browser) -> None:
    page = opened(browser, live_server.url, [])
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.fast_forward(600_000)
    page.evaluate("1")
    assert asked == []
    with page.expect_response("**/admin/next-hour/"):
        page.evaluate(
            "Object.defineProperty(document, 'visibilityState', {value: 'visible'});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    assert sorted(asked) == [f"{live_server.url}/admin/", f"{live_server.url}/admin/next-hour/"]
