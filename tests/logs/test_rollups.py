"""Statistics are what a recount of the runs says, after any history of them."""

import threading
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from coordination import records
from coordination.documents import PipelineDocument, RunCommand
from coordination.records import IngestBatch, RunRecord
from logs import history, intake
from logs.models import Rollup, Run, Stream
from tests.logs.makers import NOON, PIPELINE, Worker, run

pytestmark = pytest.mark.django_db

EVERY = uuid.UUID(int=0)
NODES = [uuid.UUID(int=101), uuid.UUID(int=102)]
ENDS = ["succeeded", "failed", "timed_out", "killed"]
SECONDS = [0.0004, 0.1, 0.1004, 0.5, 3, 10.001, 59, 60, 299, 3600, 14_400, 14_400.5, 10**6]
UPPER = {
    "up_to_100ms": 0.1,
    "up_to_500ms": 0.5,
    "up_to_1s": 1,
    "up_to_5s": 5,
    "up_to_10s": 10,
    "up_to_30s": 30,
    "up_to_1m": 60,
    "up_to_5m": 300,
    "up_to_15m": 900,
    "up_to_1h": 3600,
    "up_to_4h": 14_400,
    "over_4h": float("inf"),
}
Rows = dict[tuple[Any, ...], dict[str, Any]]


def recount(runs: Iterable[Run]) -> Rows:
    """One pass over the runs, written without a look at how it is done."""
    rows: Rows = {}
    for row in runs:
        for span, length in (("hour", 3600), ("day", 86_400)):
            begin = datetime.fromtimestamp(row.scheduled_at.timestamp() // length * length, UTC)
            for pipeline in {row.pipeline, EVERY}:
                _add(rows.setdefault((pipeline, span, begin, row.node), {}), row)
    return {key: _shown(cell) for key, cell in rows.items()}


def _add(cell: dict[str, Any], row: Run) -> None:
    cell[row.state] = cell.get(row.state, 0) + row.count
    if row.started_at and row.trigger != "manual" and row.started_at > row.scheduled_at + timedelta(seconds=1):
        cell["late"] = cell.get("late", 0) + 1
    if row.state in ENDS and row.started_at and row.finished_at:
        seconds = (row.finished_at - row.started_at) / timedelta(milliseconds=1) // 1 / 1000
        bucket = next(name for name, upper in UPPER.items() if seconds <= upper)
        cell[bucket] = cell.get(bucket, 0) + 1
        cell.setdefault("durations", []).append(round(seconds * 1000))


def _shown(cell: dict[str, Any]) -> dict[str, Any]:
    durations = cell.pop("durations", [])
    if durations:
        cell |= {"duration_sum": sum(durations), "duration_min": min(durations), "duration_max": max(durations)}
    return {name: value for name, value in cell.items() if value or name.startswith("duration_m")}


def stored() -> Rows:
    """Without the rows and columns that say nothing."""
    rows = {}
    for found in Rollup.objects.values():
        row: dict[str, Any] = dict(found)
        key = (row.pop("pipeline"), row.pop("span"), row.pop("begins_at"), row.pop("node"))
        extremes = {name: row.pop(name) for name in ("duration_min", "duration_max")}
        counts = {name: value for name, value in row.items() if value}
        if counts or extremes["duration_min"] is not None:
            rows[key] = counts | {name: value for name, value in extremes.items() if value is not None}
    return rows


class House:
    """Two nodes, two streams each, and the master. Keeps what was pruned."""

    def __init__(self) -> None:
        for model in (Run, Rollup, Stream):
            model.objects.all().delete()
        self.sent: dict[tuple[int, int], list[RunRecord]] = {}
        self.pruned: list[Run] = []

    def send(self, node: int, stream: int, batch: list[RunRecord]) -> None:
        gone = {str(row.uuid) for row in self.pruned}
        batch = [record for record in batch if record.run not in gone]
        sent = self.sent.setdefault((node, stream), [])
        if self._take(node, stream, len(sent) + 1, batch).refused is None:
            sent.extend(batch)

    def replay(self, node: int, stream: int, batch: list[RunRecord]) -> None:
        """What was sent comes again, from the beginning."""
        self._take(node, stream, 1, self.sent.get((node, stream), []))

    def rewind(self, node: int, stream: int, batch: list[RunRecord]) -> None:
        """Also what was taken, as after a restore of the stream alone."""
        if not self.pruned:
            Stream.objects.update(sequence=0)
            for (sender, name), sent in self.sent.items():
                self._take(sender, name, 1, sent)

    def announce(self, node: int, stream: int, batch: list[RunRecord]) -> None:
        for record in self._unknown(batch):
            history.announce_manual_run(order(record, NODES[node]), node_name="n")

    def withdraw(self, node: int, stream: int, batch: list[RunRecord]) -> None:
        history.withdraw([uuid.UUID(record.run) for record in batch])

    def close_untaken(self, node: int, stream: int, batch: list[RunRecord]) -> None:
        history.close_untaken(NOON + timedelta(hours=2))

    def provide(self, node: int, stream: int, batch: list[RunRecord]) -> None:
        for record in self._unknown(batch, of_any=True):
            if record.state in ("skipped", "missed", "lost"):
                history.provide(record, NODES[node], "n", NOON + timedelta(days=1))

    def close_lost(self, node: int, stream: int, batch: list[RunRecord]) -> None:
        history.close_lost([uuid.UUID(record.run) for record in batch], "gone", NOON + timedelta(days=1))

    def prune(self, node: int, stream: int, batch: list[RunRecord]) -> None:
        """Runs that are over go, the statistics stay."""
        over = Run.objects.filter(uuid__in=[uuid.UUID(record.run) for record in batch], provisional=False)
        over = over.exclude(state="running")
        self.pruned += over
        over.delete()

    def _unknown(self, batch: list[RunRecord], *, of_any: bool = False) -> list[RunRecord]:
        gone = {str(row.uuid) for row in self.pruned}
        there = set() if of_any else {str(row.uuid) for row in Run.objects.all()}
        return [record for record in {one.run: one for one in batch}.values() if record.run not in gone | there]

    def _take(self, node: int, stream: int, first: int, batch: list[RunRecord]) -> records.IngestReply:
        raw = tuple(Raw(records.encode(record)) for record in batch)
        name = str(uuid.UUID(int=1000 + 10 * node + stream))
        return intake.take(IngestBatch(stream=name, kind="state", first=first, records=raw), NODES[node], "n", NOON)


def order(record: RunRecord, node: uuid.UUID) -> RunCommand:
    document = PipelineDocument(
        pipeline=record.pipeline, node=str(node), generation=1, not_before=NOON, name="p", schedule="@manual"
    )
    return RunCommand(
        id="1",
        node=str(node),
        issued_at=record.scheduled_at,
        expires_at=NOON + timedelta(hours=1),
        run=record.run,
        document=document,
    )


@st.composite
def run_records(draw: st.DrawFn) -> RunRecord:
    number = draw(st.integers(1, 6))
    state = draw(st.sampled_from(["running", *ENDS, "skipped", "missed", "lost"]))
    begun = NOON + timedelta(minutes=25 * number)
    took = draw(st.sampled_from(SECONDS))
    return run(
        number,
        state,
        pipeline=str(uuid.UUID(int=draw(st.sampled_from([7, 7, 8])))),
        scheduled_at=draw(st.sampled_from([begun, begun + timedelta(hours=13)])),
        started_at=draw(st.sampled_from([begun, None])),
        finished_at=None if state == "running" else begun + timedelta(seconds=took),
        count=draw(st.integers(1, 5)) if state in ("skipped", "missed") else 1,
        shared=number > 4,
    )


WHAT = ["send"] * 6 + ["replay", "rewind", "announce", "withdraw", "close_untaken", "provide", "close_lost", "prune"]
ACTIONS = st.tuples(
    st.sampled_from(WHAT), st.integers(0, 1), st.integers(0, 1), st.lists(run_records(), min_size=1, max_size=4)
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTIONS, min_size=1, max_size=12))
def test_after_any_history_the_rollups_are_a_recount(history_of: list[tuple[str, int, int, list[RunRecord]]]) -> None:
    house = House()
    for name, node, stream, batch in history_of:
        getattr(house, name)(node, stream, batch)
        assert stored() == recount([*Run.objects.all(), *house.pruned]), name


def test_a_run_moves_from_state_to_state() -> None:
    worker = Worker("one")
    begun = NOON + timedelta(seconds=1)
    worker.send(1, run(1, started_at=begun))
    hour = Rollup.objects.exclude(pipeline=EVERY).get(span="hour")
    assert (hour.begins_at, hour.running, hour.duration_min) == (NOON, 1, None)
    worker.send(2, run(1, "failed", started_at=begun, finished_at=begun + timedelta(seconds=2)))
    day = Rollup.objects.exclude(pipeline=EVERY).get(span="day")
    assert (day.begins_at, day.running, day.failed) == (NOON.replace(hour=0), 0, 1)
    assert (day.duration_sum, day.duration_min, day.duration_max, day.up_to_5s) == (2000, 2000, 2000, 1)


def test_what_the_worker_saw_the_end_of_stays_as_it_ended() -> None:
    worker = Worker("one")
    worker.send(1, run(1, "succeeded", started_at=NOON, finished_at=NOON + timedelta(seconds=1)))
    worker.send(2, run(1, "lost"), run(1, "failed", started_at=NOON, finished_at=NOON + timedelta(hours=9)))
    assert Run.objects.get().state == "succeeded"
    assert Rollup.objects.exclude(pipeline=EVERY).get(span="day").duration_max == 1000


def test_absurd_durations_cannot_overflow_a_sum() -> None:
    worker = Worker("one")
    late, early = datetime(9998, 1, 1, tzinfo=UTC), datetime(1971, 1, 1, tzinfo=UTC)
    worker.send(
        1,
        *(run(number, "succeeded", started_at=early, finished_at=late) for number in range(1, 200)),
        run(200, "succeeded", started_at=late, finished_at=early),
        *(run(number, "missed", count=2**31 - 1) for number in range(201, 211)),
    )
    day = Rollup.objects.exclude(pipeline=EVERY).get(span="day")
    assert (day.over_4h, day.up_to_100ms, day.duration_min, day.missed) == (199, 1, 0, 10 * (2**31 - 1))


def test_the_migration_counts_what_was_there_before() -> None:
    worker = Worker("one")
    worker.send(
        1,
        *(run(number, state) for number, state in enumerate(["running", "skipped", "lost"])),
        *(
            run(100 * number, "succeeded", started_at=NOON, finished_at=NOON + timedelta(seconds=seconds))
            for number, seconds in enumerate(SECONDS, 1)
        ),
    )
    kept = stored()
    Rollup.objects.all().delete()
    import_module("logs.migrations.0002_rollups").count_what_is_there(apps, None)
    import_module("logs.migrations.0004_rollups_of_all_pipelines").sum_up(apps, None)
    assert stored() == kept


@pytest.mark.django_db(transaction=True)
def test_many_at_once_neither_lose_a_count_nor_each_other() -> None:
    """Nodes that run the same pipelines, and a master that gives up runs while their ends come in."""
    pipelines = [str(uuid.UUID(int=number)) for number in range(20)]
    failures: list[BaseException] = []
    together = threading.Barrier(4)

    def work(node: int) -> None:
        try:
            together.wait(20)
            for turn in range(8):
                numbers = [node * 1000 + turn * 20 + place for place in range(20)]
                mixed = numbers if turn % 2 else numbers[::-1]
                for state in ("running", "succeeded"):
                    batch = [run(n, state, pipeline=pipelines[n % 20], scheduled_at=NOON, shared=True) for n in mixed]
                    raw = tuple(Raw(records.encode(record)) for record in batch)
                    name = str(uuid.UUID(int=5000 + node * 100 + turn * 2 + (state == "running")))
                    reply = intake.take(
                        IngestBatch(stream=name, kind="state", first=1, records=raw), uuid.UUID(int=42), "n", NOON
                    )
                    assert reply.refused is None, reply.reason
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    def give_up() -> None:
        try:
            together.wait(20)
            for turn in range(16):
                known = list(Run.objects.filter(state="running").values_list("uuid", flat=True))
                history.close_lost(known, "gone", NOON)
                for number in range(10):
                    missing = run(3000 + turn + number * 20, "lost", pipeline=PIPELINE, scheduled_at=NOON)
                    history.provide(missing, uuid.UUID(int=42), "n", NOON)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[node]) for node in (1, 2, 3)] + [threading.Thread(target=give_up)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert Run.objects.filter(state="succeeded").count() == 480
    assert stored() == recount(Run.objects.all())
