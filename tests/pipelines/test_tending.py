"""What the leading master does for the records of shared pipelines, in a real etcd."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils.timezone import now
from msgspec.structs import replace

from coordination import fires
from coordination.fires import Claim, Decision, Epoch, FireRecord
from coordination.gateway import Compare, Put
from coordination.identity import SHARED, fire_run_id
from coordination.records import IngestBatch, RunRecord, encode
from logs import intake
from logs.models import Run, StepRun
from pipelines import publishing, tending
from pipelines.models import Pipeline, Publication
from tests.pipelines import makers
from tests.pipelines.makers import Console
from workers.models import Node

LEADING = "/leading"
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = Epoch(id=1, created=CREATED, first=True)
INSTANT = datetime(2026, 1, 1, 12, tzinfo=UTC)


class House:
    """One shared pipeline on one node, with its record."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.node = makers.node()
        self.pipeline = makers.pipeline(
            "shared", tasks=[makers.task()], nodes=[self.node], placement=Pipeline.Placement.ONE_SPREAD
        )
        self.key = console.keys.fires(str(self.pipeline.pk))
        self.leadership = Compare.exists(LEADING)
        self.put(LEADING, b"")
        self.put(console.keys.epoch(), fires.encode(EPOCH))

    def put(self, key: str, value: bytes) -> None:
        self.console.gateway.transact([], [Put(key, value)])

    def write(self, **values: Any) -> None:
        self.put(self.key, fires.encode(FireRecord(epoch=EPOCH.id, version=5, mark=INSTANT, **values)))

    @property
    def record(self) -> FireRecord:
        return fires.decode(self.console.gateway.get(self.key).value)

    def claim(self) -> Claim:
        return Claim(instant=INSTANT, attempt=1, node=str(self.node.pk), session="s", nonce="n")

    def run_id(self, attempt: int = 1) -> UUID:
        return UUID(fire_run_id(str(self.pipeline.pk), INSTANT, SHARED, attempt))

    def run(self, state: str) -> RunRecord:
        return RunRecord(
            run=str(self.run_id()),
            pipeline=str(self.pipeline.pk),
            pipeline_name="shared",
            state=state,
            trigger="schedule",
            scheduled_at=INSTANT,
            shared=True,
        )

    def report(self, node: Node, record: RunRecord, stream: str = "6b7a1f0e-0000-4000-8000-000000000001") -> None:
        """A worker's own word."""
        batch = IngestBatch(stream=stream, kind="state", first=1, records=(encode(record),))
        reply = intake.take(batch, node.pk, node.name, now())
        assert reply.refused is None, reply.reason

    def tend(self, at: datetime = INSTANT + timedelta(minutes=5)) -> int:
        return tending.tend(self.leadership, at)


@pytest.fixture
def house(console) -> House:
    return House(console)


def test_a_decision_of_nobody_is_written_and_then_forgotten(house):
    house.write(recent=(Decision(instant=INSTANT, state="missed", reason="coordination data lost"),))
    house.tend()
    row = Run.objects.get()
    assert (row.uuid, row.state, row.reason) == (house.run_id(), "missed", "coordination data lost")
    assert row.provisional
    assert row.shared
    assert house.record.recent == ()


def test_a_node_gets_time_to_deliver_its_own_decisions(house):
    house.write(recent=(Decision(instant=INSTANT, state="skipped", reason="paused", node=str(house.node.pk)),))
    house.tend(INSTANT + timedelta(seconds=30))
    assert not Run.objects.exists()
    assert len(house.record.recent) == 1
    house.tend(INSTANT + timedelta(seconds=70))
    assert Run.objects.get().node == house.node.pk
    assert house.record.recent == ()


def test_a_run_of_a_dead_cluster_is_closed_as_lost_and_its_row_with_it(house):
    house.report(house.node, house.run("running"))
    StepRun.objects.create(
        run_id=house.run_id(), index=0, position=0, task=1, task_name="t", kind="shell", state="running"
    )
    house.write(runs=(house.claim(),))
    house.tend()
    house.tend()
    assert house.record.runs == ()
    assert Run.objects.get().state == "lost"
    assert StepRun.objects.get().state == "lost"
    # It lives after all: its own word counts.
    house.report(house.node, house.run("succeeded"), "6b7a1f0e-0000-4000-8000-000000000002")
    assert Run.objects.get().state == "succeeded"


@pytest.mark.parametrize("sign", ["session", "presence"])
def test_a_run_whose_session_or_node_lives_is_left_alone(house, sign):
    house.write(runs=(house.claim(),))
    keys, node = house.console.keys, str(house.node.pk)
    house.put(keys.session(node, "s") if sign == "session" else keys.node(node), b"{}")
    house.tend()
    assert house.record.runs == (house.claim(),)


def test_what_the_ledger_has_is_not_written_again(house):
    house.report(house.node, house.run("succeeded"))
    house.write(recent=(Decision(instant=INSTANT, state="lost", reason="?", node=str(house.node.pk)),))
    house.tend()
    assert Run.objects.get().state == "succeeded"
    assert house.record.recent == ()


def test_another_node_may_replace_what_the_master_wrote_and_nothing_else(house):
    other = makers.node("n2")
    house.write(recent=(Decision(instant=INSTANT, state="lost", reason="?", node=str(house.node.pk)),))
    house.tend()
    house.report(other, house.run("failed"))
    assert Run.objects.get().node == other.pk
    batch = IngestBatch(
        stream="6b7a1f0e-0000-4000-8000-000000000009", kind="state", first=1, records=(encode(house.run("lost")),)
    )
    assert intake.take(batch, house.node.pk, "n1", now()).refused == 1


def test_the_generation_is_raised_once_every_document_is_put(house):
    publishing.relay_pending(10)
    house.pipeline.refresh_from_db()
    house.write(generation=1)
    Publication.objects.update(published=0)
    house.tend()
    assert house.record.generation == 1
    Publication.objects.update(published=house.pipeline.generation)
    house.tend()
    assert house.record.generation == house.pipeline.generation


def test_who_no_longer_leads_changes_nothing(house):
    house.write(recent=(Decision(instant=INSTANT, state="missed", reason="?"),))
    house.leadership = Compare.exists("/somebody-else")
    assert house.tend() == 0
    assert len(house.record.recent) == 1


def test_a_record_of_another_epoch_is_left_to_the_workers(house):
    house.write(recent=(Decision(instant=INSTANT, state="missed", reason="?"),))
    house.put(house.key, fires.encode(replace(house.record, epoch=EPOCH.id + 1)))
    assert house.tend() == 0
    assert not Run.objects.exists()


def test_the_record_of_a_deleted_pipeline_goes_when_every_node_has_forgotten_it(house):
    publishing.relay_pending(10)
    house.write(timing=None)
    pipeline = house.pipeline.pk
    house.pipeline.delete()
    publishing.relay_pending(10)
    house.tend()
    assert house.console.gateway.get(house.key) is not None
    stone = house.console.held(house.node, pipeline)
    house.console.report_applied(house.node, pipeline, stone.generation, removed=True)
    publishing.relay_pending(10)
    house.tend()
    assert house.console.gateway.get(house.key) is None
