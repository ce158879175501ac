"""A console restored from a backup gets again what it lacks: of this start of the worker, of earlier ones, and of those
whose records are dropped already it is told how many."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coordination import records
from coordination.records import AppliedRecord, GapRecord, IngestReply, NodeReport
from tests.journal.test_shipper import Observed, QuickClock, Recipient, until
from workers.engine.courier import Answer
from workers.engine.journal import Journal
from workers.engine.shipper import Shipper

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Console:
    """Takes each stream in order, as ingest does; a courier at the same time."""

    streams: dict[str, list[int]] = field(default_factory=dict)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        batch = records.decode_batch(gzip.decompress(body))
        held = self.streams.setdefault(batch.stream, [])
        if batch.first == len(held) + 1:
            for record in map(records.decode_record, batch.records):
                if isinstance(record, GapRecord):
                    held += [-1] * record.spans
                elif isinstance(record, AppliedRecord):
                    held.append(record.generation)
        return Answer(200, records.encode(IngestReply(sequence=len(held), server_time=datetime.now(UTC))))

    async def aclose(self) -> None:
        """Nothing is open."""

    @property
    def taken(self) -> list[int]:
        return [generation for held in self.streams.values() for generation in held]


@asynccontextmanager
async def started(path: Path, console: Console, *generations: int) -> AsyncIterator[tuple[Journal, Shipper]]:
    """A start of the worker that has this to tell."""
    journal = Journal(path / "journal.db", clock=QuickClock())
    await journal.open()
    if generations:
        await journal.state(*(AppliedRecord(pipeline="p", generation=number) for number in generations))
    shipper = Shipper(journal, Recipient("http://c"), console, QuickClock(), NodeReport, Observed())
    running = asyncio.create_task(shipper.run())
    await until(lambda: journal.backlog().records == 0)
    yield journal, shipper
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await journal.close()


async def test_what_earlier_starts_had_delivered_comes_again(tmp_path: Path) -> None:
    console = Console()
    async with started(tmp_path, console, 0, 1, 2):
        first = next(iter(console.streams))
    async with started(tmp_path, console, 3, 4):
        pass
    assert console.taken == [0, 1, 2, 3, 4]
    console.streams = {first: [0]}
    async with started(tmp_path, console):
        await until(lambda: console.taken == [0, 1, 2, 3, 4])


async def test_a_worker_that_has_nothing_to_tell_notices_all_the_same(tmp_path: Path) -> None:
    console = Console()
    async with started(tmp_path, console, 0, 1):
        pass
    async with started(tmp_path, console, 2, 3) as (_, shipper):
        console.streams = {}
        await shipper.drain(5)  # a report, and whatever follows from its answer
        await until(lambda: sorted(console.taken) == [0, 1, 2, 3])


async def test_what_is_dropped_already_is_told_as_a_gap(tmp_path: Path) -> None:
    console = Console()
    async with started(tmp_path, console, 0, 1, 2):
        pass
    async with started(tmp_path, console, 3) as (journal, _):
        await journal._do(lambda store: store.prune(datetime.now(UTC) + timedelta(seconds=1), 1 << 40))
    console.streams = {}
    async with started(tmp_path, console):
        await until(lambda: sorted(console.taken) == [-1, -1, -1, -1])


async def test_a_stream_is_forgotten_after_some_weeks(tmp_path: Path) -> None:
    console = Console()
    async with started(tmp_path, console, 0):
        pass
    async with started(tmp_path, console, 1) as (journal, _):
        await journal._do(lambda store: store.prune(datetime.now(UTC) + timedelta(days=20, seconds=1), 1 << 40))
    console.streams = {}
    async with started(tmp_path, console):
        await until(lambda: console.taken == [-1])
