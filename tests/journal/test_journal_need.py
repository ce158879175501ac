"""A disk that is full, refuses writes or has damaged the journal: SQLite's own errors, on real files."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from coordination import records
from coordination.records import GapRecord, OutputRecord
from tests.journal.test_journal import NOON, applied, delivered, reopened, run
from workers.engine import journal_writer
from workers.engine.journal import Journal
from workers.engine.journal_salvage import salvage

pytestmark = pytest.mark.anyio

REFUSALS = ("PRAGMA max_page_count = 1", "PRAGMA query_only = ON")
"""The database cannot grow any more; the file system is read-only."""

CURES = ("PRAGMA max_page_count = 1000000", "PRAGMA query_only = OFF")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Journal]:
    monkeypatch.setattr(journal_writer, "RETRY", 0.02)
    it = await reopened(tmp_path / "journal.db")
    yield it
    cure(it)
    await it.close()


async def break_disk(journal: Journal, how: str) -> None:
    """With as little room as there is; what is free inside the file is used up first."""
    db(journal).execute(how)
    await journal.state(*(run(f"filler {number}" * 20, "succeeded") for number in range(400)))
    async with asyncio.timeout(60):
        while not journal.is_in_need:
            await journal.state(run("more" * 500, "succeeded"))


def cure(journal: Journal) -> None:
    for words in CURES:
        db(journal).execute(words)


def db(journal: Journal) -> sqlite3.Connection:
    return journal._writer.store._db


async def recovered(journal: Journal) -> None:
    async with asyncio.timeout(60):
        while journal.incidents():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", REFUSALS)
async def test_states_go_on_in_memory_and_are_written_in_their_order(
    journal: Journal, tmp_path: Path, how: str
) -> None:
    await journal.state(applied(1))
    assert await delivered(journal) == [applied(1)]
    await break_disk(journal, how)
    assert any("cannot be written" in sentence for sentence in journal.incidents())
    assert not (tmp_path / "journal.reserve").exists(), "the reserve was given up first"
    for number in range(100):
        await journal.state(applied(number))
    await journal.put_document("p", 7, b"envelope")
    cure(journal)
    await recovered(journal)
    assert journal.incidents() == ()
    assert (tmp_path / "journal.reserve").exists()
    told = [record for record in await delivered(journal) if isinstance(record, records.AppliedRecord)]
    assert told == [applied(number) for number in range(100)]
    assert [cached.envelope for cached in await journal.documents()] == [b"envelope"]
    assert journal.backlog().records == 0


async def test_output_is_given_up_and_counted(journal: Journal) -> None:
    await break_disk(journal, REFUSALS[0])
    for number in range(3):
        await journal.output(OutputRecord(run="a", index=0, number=number, offset=number, data=b"x"))
    await journal.state(applied(1))
    assert any("3 pieces of output could not be kept" in sentence for sentence in journal.incidents())
    cure(journal)
    await recovered(journal)
    gaps = [record for record in await delivered(journal) if isinstance(record, GapRecord)]
    assert [(gap.count, gap.reason) for gap in gaps] == [(3, "the worker's disk was full")]


async def test_what_must_be_durable_waits(journal: Journal) -> None:
    """A shared run's beginning, and a command: after a crash nobody would know of them."""
    await break_disk(journal, REFUSALS[0])
    begun = asyncio.create_task(journal.state(replace(run("s"), shared=True)))
    later = datetime.now(UTC) + timedelta(hours=1)
    taken = asyncio.create_task(journal.take_command("c", later))
    own = asyncio.create_task(journal.state(run("e")))
    await asyncio.wait_for(own, 60)
    assert not begun.done()
    assert not taken.done()
    cure(journal)
    await asyncio.wait_for(begun, 60)
    assert await asyncio.wait_for(taken, 60)
    assert await journal.take_command("c", later) is False


async def test_deliveries_go_on(journal: Journal) -> None:
    await journal.state(applied(1))
    await break_disk(journal, REFUSALS[1])
    batch = await asyncio.wait_for(journal.next_batch("state"), 60)
    assert batch is not None
    assert records.decode_record(batch.records[0]) == applied(1)
    await asyncio.wait_for(journal.acknowledge(batch.stream, 1), 60)


async def test_too_much_is_dropped_and_counted(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    await break_disk(journal, REFUSALS[1])
    held = len(journal._writer._held)
    monkeypatch.setattr(journal_writer, "HELD", held + 10)
    for number in range(25):
        await journal.state(applied(number))
    cure(journal)
    await recovered(journal)
    told = await delivered(journal)
    assert [record for record in told if isinstance(record, records.AppliedRecord)] == [applied(n) for n in range(10)]
    assert [record.count for record in told if isinstance(record, GapRecord)] == [15]


async def test_closing_with_a_full_disk_ends(journal: Journal, tmp_path: Path) -> None:
    await break_disk(journal, REFUSALS[1])
    waiting = asyncio.create_task(journal.take_command("c", NOON))
    await journal.state(applied(1))
    await asyncio.wait_for(journal.close(), 60)
    with pytest.raises(OSError, match="cannot be written"):
        await asyncio.wait_for(waiting, 60)
    again = await reopened(tmp_path / "journal.db")
    journal._writer = again._writer  # for the fixture to close


def destroy(path: Path, pages: Iterable[int]) -> None:
    """Overwrites pages of the file."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)


def root_of(path: Path, table: str) -> int:
    """The page (from 0) on which a table begins."""
    with closing(sqlite3.connect(path)) as db:
        [(page,)] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,))
    return int(page) - 1


async def fill(journal: Journal, path: Path, number: int) -> int:
    """So many records that are not delivered; the number of pages of the file."""
    for start in range(0, number, 50):
        await journal.state(*(run(f"{n}-{'x' * 200}", "succeeded", n) for n in range(start, start + 50)))
    db(journal).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size // 4096


async def taken_in(journal: Journal, found: list[records.Record] | None = None) -> list[records.Record]:
    """All states that are to be delivered, acknowledged as a console does: a gap stands for so many."""
    found = [] if found is None else found
    while batch := await journal.next_batch("state"):
        told = [records.decode_record(body) for body in batch.records]
        assert told
        found += told
        spans = sum(record.spans if isinstance(record, GapRecord) else 1 for record in told)
        await journal.acknowledge(batch.stream, batch.first + spans - 1)
    return found


def counted(told: Iterable[records.Record]) -> int:
    """Records, each gap as many as it stands for."""
    return sum(record.count if isinstance(record, GapRecord) else 1 for record in told)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
async def test_damage_while_it_runs(journal: Journal, tmp_path: Path, share: float) -> None:
    """What can be read is carried over, what was not delivered and is lost is counted, and it goes on at once."""
    path = tmp_path / "journal.db"
    await journal.put_document("p", 7, b"envelope")
    pages = await fill(journal, path, 800)
    destroy(path, range(int(pages * share), int(pages * share) + 2))
    db(journal).execute("PRAGMA cache_size = 0")
    told: list[records.Record] = []
    async with asyncio.timeout(60):
        while not any("was damaged" in sentence for sentence in journal.incidents()):
            with suppress(sqlite3.Error):
                await taken_in(journal, told)
            await journal.state(applied(1))
        await taken_in(journal, told)
    assert list(tmp_path.glob("journal.db.damaged-*"))
    assert [cached.envelope for cached in await journal.documents()] == [b"envelope"]
    named = {record.run for record in told if isinstance(record, records.RunRecord)}
    gaps = sum(record.count for record in told if isinstance(record, GapRecord))
    assert len(named) + gaps == 800
    assert 0 < gaps < 200
    await journal.state(applied(2))
    assert counted(await taken_in(journal)) == 1
    assert journal.backlog().records == 0


async def test_nothing_is_caught_up_when_cursors_are_lost(tmp_path: Path) -> None:
    """What was fired would be fired again."""
    path = tmp_path / "journal.db"
    journal = await reopened(path)
    await journal.state(run("a", "succeeded"))
    await fill(journal, path, 50)
    born = journal.born
    assert await journal.cursors()
    await journal.close()
    destroy(path, [root_of(path, "cursors")])
    again = await reopened(path)
    assert any("was damaged" in sentence for sentence in again.incidents())
    assert await again.cursors() == {}
    assert again.born > born
    assert counted(await taken_in(again)) == 51
    await again.close()


async def test_a_replacement_that_cannot_be_made_is_tried_again(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    pages = await fill(journal, path, 400)
    destroy(path, range(pages // 2, pages))
    db(journal).execute("PRAGMA cache_size = 0")
    failures = iter([sqlite3.OperationalError("database or disk is full"), OSError("read-only")])

    def refuse(*arguments: object) -> int:
        if (failure := next(failures, None)) is not None:
            raise failure
        return salvage(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(journal_writer, "salvage", refuse)
    async with asyncio.timeout(60):
        while not any("was damaged" in sentence for sentence in journal.incidents()):
            await journal.state(applied(1))
    await journal.state(applied(2))
    assert applied(2) in await taken_in(journal)
    assert len({file.name.partition("-")[2][:15] for file in tmp_path.glob("journal.db.damaged-*")}) == 1
