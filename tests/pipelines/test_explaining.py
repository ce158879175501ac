"""Why a pipeline did or did not run: over the page's, the command's and the API's one engine, from real state."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import translation
from django.utils.timezone import now
from rest_framework.test import APIClient

from coordination import fires
from coordination.fires import Claim, Decision, FireRecord
from coordination.gateway import Put
from coordination.identity import SHARED, fire_run_id, gap_run_id
from logs.models import Run
from pipelines.explaining import Explanation, explain
from pipelines.models import Calendar, CalendarEntry, Control, Pipeline, Publication
from tests.pipelines import makers
from tests.pipelines.makers import Console
from workers.models import Node, Refusal

HOUR = timedelta(hours=1)
LATELY = now().replace(minute=0, second=0, microsecond=0) - 24 * HOUR
"""An instant that each hourly schedule names."""


class House:
    """An hourly pipeline that was made, bound and enabled a week ago."""

    def __init__(self, console: Console, **fields: Any) -> None:
        self.console = console
        self.node = makers.node("alpha", online=True, last_seen=now())
        self.pipeline = makers.pipeline(
            "hourly", tasks=[makers.task()], nodes=[self.node], **{"schedule": "@hourly", **fields}
        )
        self.age(timedelta(days=7))
        Publication.objects.update(published=1, wanted=1, applied=1, pending=False)

    def age(self, by: timedelta) -> None:
        born = now() - by
        Pipeline.objects.filter(pk=self.pipeline.pk).update_quietly(not_before=born, created_at=born)
        self.pipeline.history.update(history_date=born)
        Publication.objects.update(not_before=born)
        self.pipeline.refresh_from_db()

    def ask(self, at: datetime = LATELY, node: Node | None = None) -> Explanation:
        return explain(self.pipeline, at, node, now())

    def answer(self, at: datetime = LATELY) -> tuple[str, str]:
        [answer] = self.ask(at).answers
        return answer.verdict, " ".join(answer.sentences)

    def row(self, state: str, at: datetime = LATELY, attempt: int = 1, shared: bool = False, **fields: Any) -> Run:
        where = SHARED if shared else str(self.node.pk)
        name = fire_run_id(str(self.pipeline.pk), at, where, attempt)
        values = {"node": self.node.pk, "node_name": "alpha", "pipeline_name": "hourly", "shared": shared, **fields}
        return Run.objects.create(
            uuid=UUID(name), pipeline=self.pipeline.pk, state=state, scheduled_at=at, attempt=attempt, **values
        )


@pytest.fixture
def house(console: Console) -> House:
    return House(console)


@pytest.fixture
def shared(console: Console) -> House:
    return House(console, placement="one_sticky")


def test_it_ran(house: House) -> None:
    run = house.row(
        "failed", started_at=LATELY + timedelta(seconds=2.5), finished_at=LATELY + timedelta(seconds=64), reason="no."
    )
    [answer] = house.ask().answers
    assert (answer.node, answer.verdict, answer.runs) == ("alpha", "ran", (run.uuid,))
    said = " ".join(answer.sentences)
    assert "It started on alpha" in said
    assert "2.5 s after its instant" in said
    assert "ended as failed after 61.5 s" in said
    assert "Reason: no." in said
    Run.objects.filter(pk=run.pk).update(reason="It ended with exit code 2.")
    with translation.override("zh-hans"):
        assert "原因：以退出码 2 结束。" in " ".join(house.ask().answers[0].sentences)


def test_it_runs(house: House) -> None:
    house.row("running", started_at=LATELY)
    verdict, said = house.answer()
    assert verdict == "running"
    assert "still running" in said


def test_it_was_skipped(house: House) -> None:
    house.row("skipped", reason="the previous run was still going")
    assert house.answer() == ("skipped", "It was skipped: the previous run was still going.")


def test_it_is_one_of_a_gap(house: House) -> None:
    first, last = LATELY - 3 * HOUR, LATELY + 3 * HOUR
    Run.objects.create(
        uuid=UUID(gap_run_id(str(house.pipeline.pk), first, str(house.node.pk), "down")), pipeline=house.pipeline.pk,
        pipeline_name="hourly", node=house.node.pk, node_name="alpha", state="missed", scheduled_at=first, until=last,
        count=7, reason="the worker was not running", provisional=True,
    )  # fmt: skip
    verdict, said = house.answer()
    assert verdict == "missed"
    assert "one of 7 fires" in said
    assert "the worker was not running" in said
    assert "The console wrote this" in said
    assert house.answer(last + HOUR)[0] == "unknown"


def test_all_attempts_of_a_shared_fire_are_told(shared: House) -> None:
    shared.row(
        "lost", shared=True, reason="the node that ran it was lost", started_at=LATELY, finished_at=LATELY + HOUR
    )
    shared.row(
        "succeeded", attempt=2, shared=True, node_name="beta", started_at=LATELY + HOUR, finished_at=LATELY + HOUR
    )
    verdict, said = shared.answer()
    assert verdict == "ran"
    assert "Attempt 1:" in said
    assert "started on beta" in said


@pytest.mark.parametrize(
    ("fields", "at", "words"),
    [
        ({}, LATELY + timedelta(minutes=7), "The schedule @hourly (UTC) does not name this instant"),
        ({"schedule": "@manual"}, LATELY, "(@manual) names no instants"),
        ({"enabled": False}, LATELY, "The pipeline was disabled then"),
        ({"starts_at": LATELY + HOUR}, LATELY, "It begins only at"),
        ({"ends_at": LATELY - HOUR}, LATELY, "It ended at"),
        ({}, LATELY - timedelta(days=30), "did not exist yet"),
    ],
)
def test_it_was_not_expected(console: Console, fields: dict[str, Any], at: datetime, words: str) -> None:
    verdict, said = House(console, **fields).answer(at)
    assert verdict == "not expected"
    assert words in said


def test_the_definition_that_held_then_counts(house: House) -> None:
    house.pipeline.schedule = "@daily"
    house.pipeline.save()
    house.age(timedelta(days=7))
    record = house.pipeline.history.first()
    assert record is not None
    record.history_date = now() - timedelta(hours=2)
    record.save()
    assert house.answer(LATELY + HOUR)[0] == "unknown", "it was hourly then"
    Pipeline.objects.filter(pk=house.pipeline.pk).update_quietly(not_before=now() - timedelta(hours=2))
    house.pipeline.refresh_from_db()
    verdict, said = house.answer(LATELY + HOUR)
    assert verdict == "not expected"
    assert "Nothing from before" in said


def test_a_calendar_covered_it(house: House) -> None:
    calendar = Calendar.objects.create(name="maintenance")
    CalendarEntry.objects.create(calendar=calendar, kind="date", start=f"{LATELY:%Y-%m-%d}", name="upgrade")
    house.pipeline.calendars.add(calendar)
    house.age(timedelta(days=7))
    verdict, said = house.answer()
    assert verdict == "not expected"
    assert "maintenance: upgrade" in said


def test_a_change_of_the_clock_is_told(console: Console) -> None:
    zone = ZoneInfo("Europe/Paris")
    house = House(console, schedule="30 2 * * *", timezone="Europe/Paris")
    house.age(timedelta(days=3650))
    at = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    verdict, said = house.answer(at)
    assert verdict == "not expected"
    assert "The clock changed" in said
    found = house.ask(at)
    assert found.before == datetime(2026, 3, 29, 3, 0, tzinfo=zone)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"online": False, "last_seen": LATELY - HOUR}, "Nothing has been heard of the node since"),
        ({"online": False}, "it may go on firing"),
        ({"backlog": 70}, "70 records to deliver"),
        ({"incidents": ["the disk is full"]}, "The node says: the disk is full."),
        ({"draining": True}, "begins nothing new"),
        ({"last_seen": None}, "No worker has joined as this node"),
        ({}, "Nothing that stands in its way is known"),
    ],
)
def test_it_was_expected_and_nobody_knows(house: House, change: dict[str, Any], words: str) -> None:
    Node.objects.update(**change)
    verdict, said = house.answer()
    assert verdict == "unknown"
    assert "no word of it yet" in said
    assert words in said


def test_what_stands_in_the_way_of_the_next_fire(house: House) -> None:
    Pipeline.objects.update(paused=True)
    house.pipeline.refresh_from_db()
    Control.objects.update_or_create(pk=1, defaults={"paused": True})
    Publication.objects.update(wanted=3, published=2, error="etcd is full")
    key = house.console.keys.pipeline(str(house.node.pk), str(house.pipeline.pk))
    Refusal.objects.create(node=house.node, key=key, reason="bad signature", at=now())
    ahead = now().replace(minute=0, second=0, microsecond=0) + 2 * HOUR
    verdict, said = house.answer(ahead)
    assert verdict == "pending"
    for words in ("It is due in", "The pipeline is paused", "Everything is paused", "etcd is full", "bad signature"):
        assert words in said
    Publication.objects.update(published=3, applied=2)
    Node.objects.update(backlog=70)
    said = house.answer(ahead)[1]
    assert "has not confirmed" in said
    assert "records to deliver" not in said, "there is no word yet of what is to come"


def test_a_node_that_is_not_bound(house: House) -> None:
    other = makers.node("beta")
    [answer] = house.ask(node=other).answers
    assert answer.verdict == "not expected"
    assert "not bound to this node" in answer.sentences[0]


def test_without_any_node(console: Console) -> None:
    house = House(console)
    house.pipeline.bindings.all().delete()
    verdict, said = house.answer()
    assert verdict == "not expected"
    assert "bound to no node" in said


def test_the_record_of_a_shared_fire(shared: House) -> None:
    assert "no record of its fires yet" in shared.answer()[1]

    def write(**values: Any) -> None:
        record = FireRecord(epoch=1, version=5, **{"mark": LATELY, **values})
        key = shared.console.keys.fires(str(shared.pipeline.pk))
        shared.console.gateway.transact([], [Put(key, fires.encode(record))])

    node = str(shared.node.pk)
    write(runs=(Claim(instant=LATELY, attempt=1, node=node, session="s", nonce="n"),))
    assert "alpha is running it (attempt 1)" in shared.answer()[1]
    write(open=(LATELY,))
    assert "it is open" in shared.answer()[1]
    write(recent=(Decision(instant=LATELY, state="skipped", reason="paused", node=node),))
    assert "it ended as skipped on alpha: paused" in shared.answer()[1]
    write(mark=LATELY - HOUR)
    assert "nobody has looked at instants after" in shared.answer()[1]
    Node.objects.update(online=False)
    assert "No bound node is online" in shared.answer()[1]


def test_a_shared_fire_while_etcd_is_down(shared: House) -> None:
    shared.console.etcd.stop()
    try:
        verdict, said = shared.answer()
    finally:
        shared.console.etcd.start()
    assert verdict == "unknown"
    assert "etcd cannot be asked" in said


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("explain", *arguments, stdout=out)
    return out.getvalue()


def test_the_command(house: House) -> None:
    run = house.row("skipped", reason="busy")
    said = command("hourly", "--at", LATELY.isoformat(), "--node", "alpha")
    assert "alpha: skipped" in said
    assert "It was skipped: busy." in said
    assert str(run.uuid) in said
    assert said == command(str(house.pipeline.pk), "--at", f"{LATELY:%Y-%m-%dT%H:%M}", "--node", str(house.node.pk))
    assert "Its instants around it: before" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing", "--at", "2026-01-01"), "no pipeline"),
        (("hourly", "--at", "soon"), "is no instant"),
        (("hourly", "--at", "0001-01-01"), "is no instant"),
        (("hourly", "--at", "2026-01-01", "--node", "nobody"), "no node"),
    ],
)
def test_what_the_command_does_not_understand(house: House, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words) as caught:
        command(*arguments)
    assert caught.value.returncode == 2


def test_the_api(house: House) -> None:
    house.row("succeeded", started_at=LATELY, finished_at=LATELY)
    client = APIClient()
    client.force_authenticate(get_user_model().objects.create_superuser("admin"))
    url = f"/api/v1/pipelines/{house.pipeline.pk}/explain/"
    found = client.get(url, {"at": f"{LATELY:%Y-%m-%dT%H:%M:%SZ}"}).json()
    assert found["answers"][0]["verdict"] == "ran"
    assert found["before"] == f"{LATELY - HOUR:%Y-%m-%dT%H:%M:%SZ}"
    assert client.get(url).status_code == 400
    assert client.get(url, {"at": "x"}).json().keys() == {"at"}
    assert client.get(url, {"at": "2026-01-01", "node": "x"}).json().keys() == {"node"}


def test_the_page(house: House, client: Any) -> None:
    house.row("missed", reason="<b>bold</b>")
    url = f"/admin/pipelines/pipeline/{house.pipeline.pk}/explain/"
    assert client.get(url).status_code == 302
    client.force_login(get_user_model().objects.create_superuser("admin"))
    page = client.get(url, {"at": LATELY.isoformat()}).content.decode()
    assert "It was missed: &lt;b&gt;bold&lt;/b&gt;." in page
    assert re.search(r'href="/admin/logs/run/\d+/change/"', page)
    assert "is no instant" in client.get(url, {"at": "soon"}).content.decode()
    assert "name this instant" in client.get(url, {"at": (LATELY + timedelta(minutes=1)).isoformat()}).content.decode()
    assert url in client.get(f"/admin/pipelines/pipeline/{house.pipeline.pk}/change/").content.decode()


def test_the_page_asks_for_the_right_to_view(house: House, client: Any) -> None:
    client.force_login(get_user_model().objects.create_user("guest", is_staff=True))
    assert client.get(f"/admin/pipelines/pipeline/{house.pipeline.pk}/explain/").status_code == 403
