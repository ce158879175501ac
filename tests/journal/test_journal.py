"""The journal: durable first, in order, with a memory for what the next start needs."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coordination import records
from coordination.records import (
    AppliedRecord,
    GapRecord,
    OutputRecord,
    RunRecord,
    RunState,
    SetAsideRecord,
    StepRecord,
    Trigger,
)
from tests.clock import FakeClock
from workers.engine.clock import SystemClock
from workers.engine.journal import Journal
from workers.engine.journal_store import Store

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def reopened(path: Path) -> Journal:
    journal = Journal(path, clock=SystemClock())
    await journal.open()
    return journal


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    it = await reopened(tmp_path / "journal.db")
    yield it
    await it.close()


def run(name: str, state: RunState = "running", seconds: float = 0, trigger: Trigger = "schedule") -> RunRecord:
    at = NOON + timedelta(seconds=seconds)
    return RunRecord(run=name, pipeline="p", pipeline_name="p", state=state, trigger=trigger, scheduled_at=at)


def applied(generation: int) -> AppliedRecord:
    return AppliedRecord(pipeline="p", generation=generation)


async def delivered(journal: Journal) -> list[records.Record]:
    """Everything that is to be delivered, acknowledged on the way."""
    found: list[records.Record] = []
    for kind in ("state", "output"):
        while batch := await journal.next_batch(kind, 2):  # type: ignore[arg-type]
            found += map(records.decode_record, batch.records)
            await journal.acknowledge(batch.stream, batch.first + len(batch.records) - 1)
    return found


def test_what_was_told_durable_survives_a_kill(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, pathlib, sys
sys.path.insert(0, {str(ROOT)!r})
from coordination.records import AppliedRecord
from workers.engine.clock import SystemClock
from workers.engine.journal import Journal
async def main():
    journal = Journal(pathlib.Path({str(tmp_path / "journal.db")!r}), clock=SystemClock())
    await journal.open()
    await asyncio.gather(*(journal.state(AppliedRecord(pipeline="p", generation=i)) for i in range(200)))
    print("durable", flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, env=os.environ)
    assert (done.stdout, done.returncode) == ("durable\n", -9), done.stderr
    store = Store(tmp_path / "journal.db")
    assert store.backlog().records == 200
    store.close()


async def test_records_come_in_order_without_holes(journal: Journal) -> None:
    for number in range(5):
        await journal.state(applied(number))
    batch = await journal.next_batch("state", 3)
    assert batch is not None
    assert (batch.first, len(batch.records)) == (1, 3)
    await journal.acknowledge(batch.stream, 3)
    batch = await journal.next_batch("state", 3)
    assert batch is not None
    assert batch.first == 4
    assert list(map(records.decode_record, batch.records)) == [applied(3), applied(4)]
    await journal.acknowledge(batch.stream, 5)
    assert await journal.next_batch("state") is None
    assert journal.backlog().records == 0


async def test_each_start_has_streams_of_its_own_and_older_ones_go_first(tmp_path: Path) -> None:
    first = await reopened(tmp_path / "journal.db")
    await first.state(applied(1))
    await first.close()
    second = await reopened(tmp_path / "journal.db")
    await second.state(applied(2))
    older = await second.next_batch("state")
    assert older is not None
    await second.acknowledge(older.stream, 1)
    newer = await second.next_batch("state")
    assert newer is not None
    assert newer.stream != older.stream
    assert (newer.first, second.backlog().records) == (1, 1)
    await second.close()


async def test_a_server_that_fell_back_gets_it_again(journal: Journal) -> None:
    for number in range(4):
        await journal.state(applied(number))
    batch = await journal.next_batch("state")
    assert batch is not None
    await journal.acknowledge(batch.stream, 4)
    await journal.acknowledge(batch.stream, 1)
    assert journal.backlog().records == 3
    assert await delivered(journal) == [applied(1), applied(2), applied(3)]


async def test_what_is_no_longer_kept_is_named_as_a_gap(journal: Journal) -> None:
    await journal.state(*map(applied, range(5)))
    batch = await journal.next_batch("state")
    assert batch is not None
    await journal.acknowledge(batch.stream, 3)
    await journal._do(lambda store: store.prune(datetime.now(UTC) + timedelta(seconds=1), 1 << 40))
    await journal.acknowledge(batch.stream, 0)
    again = await journal.next_batch("state")
    assert again is not None
    [gap] = map(records.decode_record, again.records)
    assert gap == GapRecord(count=3, spans=3, reason="no longer kept by the worker")
    await journal.acknowledge(batch.stream, 3)
    assert await delivered(journal) == [applied(3), applied(4)]


async def test_the_backlog_is_counted_as_the_tables_have_it(tmp_path: Path) -> None:
    async def counted(journal: Journal) -> int:
        held = await journal._ask(lambda store: store.backlog())
        assert journal.backlog() == held
        return held.bytes

    journal = await reopened(tmp_path / "journal.db")
    sizes = [await counted(journal)]
    await journal.state(applied(1), applied(22), applied(333))
    await journal.output(OutputRecord(run="r", index=0, number=0, offset=0, data=b"x" * 100))
    while journal.backlog().records < 4:
        await journal.wait_for_records()
    sizes.append(await counted(journal))
    batch = await journal.next_batch("state")
    assert batch is not None
    await journal.set_aside(batch.stream, 2, "no" * 50)
    sizes.append(await counted(journal))
    await journal.acknowledge(batch.stream, 2)
    sizes.append(await counted(journal))
    await journal.acknowledge(batch.stream, 0)
    sizes.append(await counted(journal))
    await journal.close()
    journal = await reopened(tmp_path / "journal.db")
    sizes.append(await counted(journal))
    await journal.close()
    nothing, all_of_it, one_longer, delivered_two, again, reopened_with = sizes
    assert nothing == 0 < delivered_two < all_of_it < one_longer == again == reopened_with


async def test_the_oldest_that_waits(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = Journal(tmp_path / "journal.db", clock=clock)
    await journal.open()
    assert await journal.oldest() is None
    for number in range(3):
        await journal.state(applied(number))
        clock.step(10)
    assert await journal.oldest() == clock.now() - timedelta(seconds=30)
    batch = await journal.next_batch("state")
    assert batch is not None
    await journal.acknowledge(batch.stream, 2)
    assert await journal.oldest() == clock.now() - timedelta(seconds=10)
    await journal.acknowledge(batch.stream, 3)
    assert await journal.oldest() is None
    await journal.close()


async def test_a_refused_record_is_set_aside_in_its_place(journal: Journal) -> None:
    await journal.state(applied(1), applied(2))
    batch = await journal.next_batch("state")
    assert batch is not None
    await journal.set_aside(batch.stream, 1, "no good")
    assert await delivered(journal) == [SetAsideRecord(kind="applied", reason="no good"), applied(2)]


async def test_cursors_move_forward_only_and_for_scheduled_fires_only(journal: Journal) -> None:
    await journal.state(run("a", "skipped", 20))
    await journal.state(run("b", "running", 10))
    await journal.state(run("c", "running", 30, "manual"))
    assert await journal.cursors() == {"p": NOON + timedelta(seconds=20)}
    gap = run("d", "missed", 40)
    await journal.state(
        records.RunRecord(
            **{n: getattr(gap, n) for n in gap.__struct_fields__} | {"count": 3, "until": NOON + timedelta(seconds=60)}
        )
    )
    assert await journal.cursors() == {"p": NOON + timedelta(seconds=60)}


async def test_what_a_crash_left_open(tmp_path: Path) -> None:
    step = StepRecord(run="b", index=0, position=1, task=1, task_name="t", kind="shell", state="running")
    journal = await reopened(tmp_path / "journal.db")
    await journal.state(run("a"), run("b"), step, run("a", "succeeded"))
    await journal.close()
    again = await reopened(tmp_path / "journal.db")
    assert await again.open_runs() == [(run("b"), [step])]
    await again.state(run("b", "lost"))
    await again.close()
    third = await reopened(tmp_path / "journal.db")
    assert await third.open_runs() == []
    await third.close()


async def test_a_command_is_taken_once_also_after_a_restart(tmp_path: Path) -> None:
    expires = datetime.now(UTC) + timedelta(minutes=1)
    journal = await reopened(tmp_path / "journal.db")
    assert await journal.take_command("c", expires)
    assert not await journal.take_command("c", expires)
    await journal.close()
    again = await reopened(tmp_path / "journal.db")
    assert not await again.take_command("c", expires)
    await again.close()


async def test_a_removed_pipeline_keeps_its_generation_and_cursor(journal: Journal) -> None:
    await journal.put_document("p", 5, b"envelope")
    await journal.state(run("a", "skipped"))
    [cached] = await journal.documents()
    assert (cached.pipeline, cached.generation, cached.envelope) == ("p", 5, b"envelope")
    await journal.forget("p", 6)
    assert await journal.documents() == []
    assert await journal.generations() == {"p": 6}
    assert await journal.cursors() == {"p": NOON}


async def test_a_damaged_file_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"this is no database" * 100)
    journal = await reopened(path)
    await journal.state(applied(1))
    assert any("damaged" in incident for incident in journal.incidents())
    assert list(tmp_path.glob("journal.db.damaged-*"))
    assert await delivered(journal) == [applied(1)]
    await journal.close()


async def test_output_is_delivered_in_its_order(journal: Journal) -> None:
    pieces = [OutputRecord(run="a", index=0, number=i, offset=i, data=bytes([i])) for i in range(5)]
    for piece in pieces:
        await journal.output(piece)
    await journal.state(applied(1))
    assert await delivered(journal) == [applied(1), *pieces]
