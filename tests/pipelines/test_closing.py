"""The ledger of nodes that are gone: one row for each stretch, until the worker speaks for itself."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import Raw

from coordination.identity import fire_run_id, gap_run_id
from coordination.records import IngestBatch, RunRecord, encode
from logs import intake
from logs.models import Rollup, Run, StepRun
from logs.rollups import EVERY
from pipelines import closing
from pipelines.models import Pipeline, Publication
from tests.pipelines import makers
from workers.models import Node

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PATIENCE = timedelta(seconds=300)


class House:
    """A pipeline that fires each minute on one node, which is last heard of at noon."""

    def __init__(self, **fields: Any) -> None:
        self.node = makers.node(online=False, last_seen=NOON)
        self.pipeline = makers.pipeline(tasks=[makers.task()], nodes=[self.node], **fields)
        Pipeline.objects.filter(pk=self.pipeline.pk).update_quietly(not_before=NOON - timedelta(hours=1))
        Publication.objects.update(not_before=NOON - timedelta(hours=1))
        self.stream = str(uuid.uuid4())
        self.sent = 0
        self.say(self.ran(NOON))

    def ran(self, instant: datetime, state: Any = "succeeded", **more: Any) -> RunRecord:
        return RunRecord(
            run=fire_run_id(str(self.pipeline.pk), instant, str(self.node.pk), 1),
            pipeline=str(self.pipeline.pk), pipeline_name="p1", state=state, trigger="schedule", scheduled_at=instant,
            started_at=instant if state in ("succeeded", "running") else None, **more,
        )  # fmt: skip

    def missed(self, first: datetime, count: int) -> RunRecord:
        name = gap_run_id(str(self.pipeline.pk), first, str(self.node.pk), "the worker was not running")
        until = first + timedelta(minutes=count - 1)
        return RunRecord(
            run=name, pipeline=str(self.pipeline.pk), pipeline_name="p1", state="missed", trigger="schedule",
            scheduled_at=first, count=count, until=until, reason="the worker was not running",
        )  # fmt: skip

    def say(self, *records: RunRecord) -> None:
        """The worker delivers."""
        batch = IngestBatch(
            stream=self.stream, kind="state", first=self.sent + 1, records=tuple(Raw(encode(r)) for r in records)
        )
        assert intake.take(batch, self.node.pk, self.node.name, NOON).refused is None
        self.sent += len(records)

    def back(self, at: datetime) -> None:
        Node.objects.filter(pk=self.node.pk).update(online=True, last_seen=at)

    def gone(self, since: datetime) -> None:
        Node.objects.filter(pk=self.node.pk).update(online=False, last_seen=since)


def minutes(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def missed() -> list[tuple[float, float, int]]:
    """From when to when, and how many, in minutes from noon."""

    def minute(at: datetime) -> float:
        return (at - NOON) / timedelta(minutes=1)

    rows = Run.objects.filter(state="missed").order_by("scheduled_at")
    return [(minute(row.scheduled_at), minute(row.until or row.scheduled_at), row.count) for row in rows]


def counted(state: str) -> int:
    return sum(Rollup.objects.filter(pipeline=EVERY, span="hour").values_list(state, flat=True))


@pytest.fixture
def house(settings) -> House:
    settings.ECTS_NODE_GONE_SECONDS = PATIENCE.total_seconds()
    return House()


def test_one_row_grows_while_the_node_is_gone(house: House) -> None:
    closing.close(minutes(4.9))
    assert missed() == [], "it may only have been restarted"
    for now, last in ((6, 5), (7.5, 6), (60, 59)):
        closing.close(minutes(now))
        assert missed() == [(1, last, last)]
        assert counted("missed") == last
    row = Run.objects.get(state="missed")
    assert row.reason == "the node was gone: nothing has been heard of it since 2026-03-02 12:00:00 UTC"
    assert row.provisional


def test_a_million_instants_are_one_row(house: House) -> None:
    Pipeline.objects.filter(pk=house.pipeline.pk).update_quietly(schedule="* * * * * *")
    now = minutes(6) + timedelta(days=1)
    for _ in range(30):
        closing.close(now)
    [row] = Run.objects.filter(state="missed")
    assert row.count == 86_400 + 5 * 60
    assert row.until == now - timedelta(seconds=60)


@pytest.mark.parametrize("first", [1, 2, 10])
def test_the_word_of_the_worker_replaces_it(house: House, first: int) -> None:
    """It was down from some minute on, before which it fired without anybody hearing of it."""
    closing.close(minutes(30))
    house.back(minutes(31))
    closing.close(minutes(31))
    assert missed() == [(1, 29, 29)], "it has not said anything yet"
    alive = [house.ran(minutes(at)) for at in range(1, first)]
    house.say(*alive, house.missed(minutes(first), 31 - first), house.ran(minutes(31)))
    closing.close(minutes(32))
    assert missed() == [(first, 30, 31 - first)]
    assert counted("missed") == 31 - first
    assert counted("succeeded") == 1 + len(alive) + 1


def test_what_a_worker_without_memory_does_not_speak_of_stays(house: House) -> None:
    closing.close(minutes(30))
    house.back(minutes(31))
    house.say(house.ran(minutes(32)))
    closing.close(minutes(33))
    assert missed() == [(1, 29, 29)]


def test_a_gap_is_cut_where_the_worker_begins_to_speak(house: House) -> None:
    closing.close(minutes(30))
    house.back(minutes(31))
    house.say(house.missed(minutes(21), 10))
    closing.close(minutes(33))
    assert missed() == [(1, 20, 20), (21, 30, 10)]
    assert counted("missed") == 30


def test_gone_again_is_another_gap(house: House) -> None:
    closing.close(minutes(10))
    house.back(minutes(11))
    house.say(house.missed(minutes(1), 10), house.ran(minutes(11)))
    closing.close(minutes(12))
    house.gone(minutes(12))
    closing.close(minutes(20))
    assert missed() == [(1, 10, 10), (12, 19, 8)]
    closing.close(minutes(30))
    assert missed() == [(1, 10, 10), (12, 29, 18)]


def test_nothing_is_expected_from_before_an_edit(house: House) -> None:
    closing.close(minutes(10))
    Pipeline.objects.filter(pk=house.pipeline.pk).update_quietly(
        schedule="*/10 * * * *", not_before=minutes(12), enabled=True
    )
    closing.close(minutes(45))
    assert missed() == [(1, 9, 9), (20, 40, 3)]


def test_disabled_and_shared_pipelines_have_no_gaps(house: House) -> None:
    Pipeline.objects.filter(pk=house.pipeline.pk).update_quietly(enabled=False)
    closing.close(minutes(10))
    Pipeline.objects.filter(pk=house.pipeline.pk).update_quietly(enabled=True, placement="one_sticky")
    closing.close(minutes(10))
    assert missed() == []


def test_runs_of_a_node_that_is_gone_are_lost_until_it_says_otherwise(house: House) -> None:
    run = house.ran(minutes(0.5), "running")
    house.say(run)
    StepRun.objects.create(
        run_id=UUID(run.run), index=0, position=0, task=1, task_name="t", kind="shell", state="running"
    )
    closing.close(minutes(4))
    assert Run.objects.get(uuid=run.run).state == "running"
    closing.close(minutes(6))
    row = Run.objects.get(uuid=run.run)
    assert (row.state, row.finished_at) == ("lost", NOON)
    assert row.reason.startswith("the node was gone")
    assert StepRun.objects.get().state == "lost"
    house.say(house.ran(minutes(0.5), "succeeded", finished_at=minutes(3)))
    assert Run.objects.get(uuid=run.run).state == "succeeded"
    assert (counted("lost"), counted("running"), counted("succeeded")) == (0, 0, 2)


def test_a_node_that_still_delivers_is_not_gone(house: House) -> None:
    """etcd does not know it any more, the console does."""
    house.gone(minutes(30))
    closing.close(minutes(33))
    assert missed() == []


def test_a_node_that_never_joined_owes_nothing(house: House) -> None:
    Node.objects.update(last_seen=None)
    closing.close(minutes(33))
    assert missed() == []
