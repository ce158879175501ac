"""Ingest through its real address: exactly once, in order, a batch whole or not at all, never a 500."""

import gzip
import json
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.test import Client
from msgspec import Raw

from coordination import records
from coordination.identity import fire_run_id
from coordination.records import CutRecord, GapRecord, IngestBatch, NodeReport
from logs import history
from logs.models import Output, Run, StepRun, Stream
from logs.output import texts
from tests.logs.makers import NOON, PIPELINE, Worker, output, run, step
from workers.models import Node

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker() -> Worker:
    return Worker("one")


def states() -> dict[int, str]:
    return {row.uuid.int: row.state for row in Run.objects.all()}


def test_a_batch_is_written(worker: Worker) -> None:
    reply = worker.send(1, run(1), step(1), output(1, 0, b"\xff\x00hello", 0), run(1, "succeeded"))
    assert reply["sequence"] == 4
    assert states() == {1: "succeeded"}
    assert StepRun.objects.get().task_name == "t"
    assert bytes(Output.objects.get().data) == b"\xff\x00hello"


def test_repeating_changes_nothing_and_an_overlap_adds_what_is_new(worker: Worker) -> None:
    worker.send(1, run(1), run(2))
    assert worker.send(1, run(1), run(2))["sequence"] == 2
    assert worker.send(2, run(2), run(3))["sequence"] == 3
    assert states() == {1: "running", 2: "running", 3: "running"}


def test_a_hole_is_not_taken(worker: Worker) -> None:
    worker.send(1, run(1))
    assert worker.send(5, run(5))["sequence"] == 1
    assert states() == {1: "running"}


def test_a_restored_server_gets_it_again(worker: Worker) -> None:
    worker.send(1, run(1), run(2))
    Run.objects.all().delete()
    Stream.objects.update(sequence=0)
    assert worker.send(3, run(3))["sequence"] == 0
    assert worker.send(1, run(1), run(2), run(3))["sequence"] == 3
    assert set(states()) == {1, 2, 3}


def test_what_overlaps_a_gap_is_not_counted_twice(worker: Worker) -> None:
    worker.send(1, run(1), GapRecord(count=4, spans=4, reason="pruned"))
    assert worker.send(2, GapRecord(count=4, spans=4, reason="pruned"), run(6))["sequence"] == 6
    assert worker.send(0, run(7))["sequence"] == 6
    assert Stream.objects.get().lost == 4
    assert set(states()) == {1, 6}
    worker.send(5, GapRecord(count=3, spans=3, reason="pruned"))
    assert Stream.objects.get().lost == 7


def test_a_gap_stands_for_its_sequences(worker: Worker) -> None:
    assert worker.send(1, GapRecord(count=4, spans=4, reason="pruned"), run(5))["sequence"] == 5
    assert worker.send(6, run(6))["sequence"] == 6
    assert Stream.objects.get().lost == 4


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"nonsense"}',
        b'{"type":"run","run":"x"}',
        b'{"type":"run","run":7}',
        b"[]",
        records.encode(run(9, attempt=2**40)),
        records.encode(run(9)).replace(b"12:00:09Z", b"12:00:09"),
        records.encode(run(9)).replace(PIPELINE.encode(), b"not-a-uuid"),
        records.encode(output(9, -1, b"", 0)),
        records.encode(output(9, 0, b"", 2**63)),
        records.encode(run(9, started_at=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))),
        records.encode(run(9, finished_at=datetime(9999, 12, 31, tzinfo=timezone(-timedelta(hours=12))))),
        records.encode(GapRecord(count=1, spans=0, reason="")),
        records.encode(GapRecord(count=1, spans=-3, reason="")),
        records.encode(GapRecord(count=1, spans=2**40, reason="")),
        records.encode(records.AppliedRecord(pipeline=PIPELINE, generation=-1)),
    ],
)
def test_one_malformed_record_refuses_the_batch_by_its_sequence(worker: Worker, bad: bytes) -> None:
    raw = tuple(map(Raw, (records.encode(run(1)), bad, records.encode(run(2)))))
    batch = IngestBatch(stream=worker.stream, kind="state", first=1, records=raw)
    reply = worker.post(records.encode(batch))
    assert reply.status_code == 200
    answer = json.loads(reply.content)
    assert (answer["refused"], answer["sequence"]) == (2, 0)
    assert answer["reason"]
    assert states() == {}


def test_every_name_that_a_run_can_get_is_held(worker: Worker) -> None:
    """MariaDB's uuid column refuses some of version 8, of which no random sample would tell."""
    names = [fire_run_id(PIPELINE, NOON + timedelta(seconds=second), "n") for second in range(400)]
    assert worker.send(1, *(run(0, run=name) for name in names))["sequence"] == 400
    assert {str(row.uuid) for row in Run.objects.all()} == set(names)


@pytest.mark.parametrize(("seventh", "ninth"), [(0x80, 0x01), (0x80, 0x80), (0x8F, 0x80), (0xFF, 0x01)])
def test_a_name_that_no_database_may_refuse_is_refused_here(worker: Worker, seventh: int, ninth: int) -> None:
    data = bytearray(uuid.UUID(int=5).bytes)
    data[6], data[8] = seventh, ninth
    name = str(uuid.UUID(bytes=bytes(data)))
    assert worker.send(1, run(1, run=name))["refused"] == 1
    data[8] = 0x81 if ninth == 0x80 else 0x00
    assert worker.send(1, run(1, run=str(uuid.UUID(bytes=bytes(data)))))["sequence"] == 1


def test_another_nodes_run_is_refused(worker: Worker) -> None:
    worker.send(1, run(1))
    other = Worker("two")
    answer = other.send(1, run(2), run(1, "failed"))
    assert answer["refused"] == 2
    assert "another node" in answer["reason"]
    assert states() == {1: "running"}
    assert other.send(1, step(1))["refused"] == 1


def test_an_end_is_never_taken_back(worker: Worker) -> None:
    worker.send(1, run(1, "succeeded"))
    worker.send(2, run(1), run(2, "failed"), run(2))
    assert states() == {1: "succeeded", 2: "failed"}


def test_what_the_master_wrote_of_a_shared_fire_gives_way_to_who_ran_it(worker: Worker) -> None:
    for number in (1, 2):
        history.provide(run(number, "missed"), uuid.UUID(int=0), "", NOON)
    assert worker.send(1, step(1), run(2, "succeeded", shared=True), output(1, 0, b"x", 0))["sequence"] == 3
    assert states() == {1: "missed", 2: "succeeded"}
    assert Run.objects.get(uuid=uuid.UUID(int=2)).node == worker.node.pk
    assert Worker("two").send(1, run(2, "failed", shared=True))["refused"] == 1


def test_the_worker_has_the_last_word_over_the_console(worker: Worker) -> None:
    Run.objects.create(
        uuid=uuid.UUID(int=1),
        pipeline=uuid.UUID(PIPELINE),
        pipeline_name="p",
        node=worker.node.pk,
        node_name="one",
        trigger="manual",
        state="running",
        scheduled_at=NOON,
        provisional=True,
        expires_at=NOON,
    )
    assert history.close_untaken(NOON + timedelta(seconds=1)) == 1
    assert states() == {1: "missed"}
    worker.send(1, run(1))
    assert states() == {1: "running"}
    assert history.close_untaken(NOON + timedelta(days=1)) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"stream":1}',
        b"\x00",
        b'"\xff"',
        b"1e999",
        b'{"stream":"x","kind":"state","first":-1}',
        b'{"stream":"x","kind":"state","first":99999999999999999999}',
    ],
)
def test_what_is_no_batch_is_a_400(worker: Worker, body: bytes) -> None:
    assert worker.post(body).status_code == 400


def test_bad_and_bombing_gzip(worker: Worker) -> None:
    assert worker.post(b"not gzip", **{"Content-Encoding": "gzip"}).status_code == 400
    assert worker.post(gzip.compress(bytes(64 << 20)), **{"Content-Encoding": "gzip"}).status_code == 400


def test_a_stream_must_be_a_uuid(worker: Worker) -> None:
    worker.stream = "no uuid"
    assert worker.send(1, run(1))["refused"] == 1


def test_without_a_token_it_is_401(worker: Worker) -> None:
    worker.token = "another"
    assert worker.post(b"{}").status_code == 401
    assert Client().post("/api/v1/ingest/", b"{}", content_type="application/json").status_code == 401


def test_a_report_reaches_the_node(worker: Worker) -> None:
    report = NodeReport(version="9.9", clock=datetime.now(UTC), running=3, backlog=5, incidents=("disk full",))
    worker.send(1, run(1), report=report)
    node = Node.objects.get()
    assert (node.version, node.running, node.backlog, node.incidents) == ("9.9", 3, 5, ["disk full"])
    assert node.clock_skew is not None
    assert abs(node.clock_skew) < 5


def test_refusals_are_counted_on_the_node(worker: Worker) -> None:
    refused = records.RefusedRecord(key="/ects/pipelines/x/y", reason="it is not signed", at=NOON)
    worker.send(1, refused, refused)
    [row] = worker.node.refusals.all()
    assert (row.reason, row.count) == ("it is not signed", 2)


def _kept(number: int) -> list[tuple[int, bytes]]:
    pieces = Output.objects.filter(run=uuid.UUID(int=number), index=0).order_by("number")
    return [(piece.offset, bytes(piece.data)) for piece in pieces]


@pytest.mark.parametrize("together", [True, False])
def test_the_middle_of_too_much_output_is_taken_back(worker: Worker, together: bool) -> None:
    """Also when it comes again, as after a restore."""
    pieces = [output(1, 0, b"aaaa", 0), output(1, 1, b"bbbb", 4), output(1, 2, b"cccc", 8), output(1, 3, b"dddd", 12)]
    end = [CutRecord(run=str(uuid.UUID(int=1)), index=0, begin=4, end=14), output(1, 4, b"eeee", 20)]
    other = [output(2, 0, b"xxxx", 0), output(2, 1, b"yyyy", 4)]
    for _ in range(2):
        if together:
            worker.send(1, *other, *pieces, *end)
        else:
            for sequence, record in enumerate([*other, *pieces, *end], 1):
                worker.send(sequence, record)
        assert _kept(1) == [(0, b"aaaa"), (14, b"dd"), (20, b"eeee")]
        assert _kept(2) == [(0, b"xxxx"), (4, b"yyyy")]
        Stream.objects.update(sequence=0)
    assert "[... 10 bytes dropped ...]" in texts([uuid.UUID(int=1)])[uuid.UUID(int=1), 0]
