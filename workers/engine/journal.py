"""The worker's durable memory: what happened and is not delivered yet, how far each pipeline is decided, what it knows.

SQLite in WAL mode with ``synchronous=FULL``; one writer thread takes whatever has gathered into one transaction
(group commit), so that the price of an fsync is shared. See ``journal_writer`` for disks that are full or damaged.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from coordination.records import CutRecord, IngestBatch, OutputRecord, Record, RunRecord, StepRecord, StreamKind
from workers.engine.clock import Clock
from workers.engine.journal_store import BATCH_RECORDS, CachedDocument, Load, Store
from workers.engine.journal_writer import WAITS, Write, Writer

T = TypeVar("T")

QUEUE = 20_000
"""The most writes that wait; whoever brings more waits too."""

KEEP = timedelta(hours=24)
"""How long delivered records are kept for a server that was restored from a backup."""

KEEP_BYTES = 256 << 20
"""A journal larger than this drops delivered records earlier."""

PRUNE_EVERY = 1000
"""Deliveries between two looks at what may be dropped."""


class Journal:
    """One worker's journal. Open it, use it from one event loop, close it. ``on_kept`` is told of each record that
    ``state`` has taken."""

    def __init__(self, path: Path, *, clock: Clock, on_kept: Callable[[Record], None] = lambda record: None) -> None:
        self._clock = clock
        self._on_kept = on_kept
        self._writer = Writer(
            path, clock=clock, tell=self._on_loop, on_recovered=self._set_backlog, on_room=self._forget_dropped
        )
        self._room = asyncio.Semaphore(QUEUE)
        self._loop: asyncio.AbstractEventLoop
        self._records = asyncio.Event()
        self._left: list[tuple[RunRecord, list[StepRecord]]] = []
        self._backlog = Load(0, 0)
        self._deliveries = 0
        self._dropped = 0
        self.born: datetime
        """When this journal began: nothing before it was this node's to fire."""

    async def open(self) -> None:
        """Opens the file, or begins a new one beside a damaged one. Raises OSError or sqlite3.Error when neither can
        be done."""
        self._loop = asyncio.get_running_loop()
        self._writer.open(self._prepare)
        if self._backlog.records:
            self._records.set()

    async def close(self) -> None:
        """Writes what has gathered and closes the file."""
        await asyncio.to_thread(self._writer.close)

    def incidents(self) -> tuple[str, ...]:
        """What is wrong with the journal now, a sentence each."""
        dropped = f"{self._dropped} pieces of output could not be kept" if self._dropped else ""
        return tuple(filter(None, (self._writer.trouble, self._writer.shortage, self._writer.damage, dropped)))

    @property
    def trouble(self) -> str:
        """Why records, or output, cannot be made durable now; empty when they can."""
        return self._writer.trouble or self._writer.shortage

    @property
    def is_in_need(self) -> bool:
        """Nothing can be made durable now."""
        return bool(self._writer.trouble)

    def backlog(self) -> Load:
        """What is not delivered yet."""
        return self._backlog

    # -- what happens -------------------------------------------------------------------------------------------

    async def state(self, *added: Record) -> None:
        """Returns when the records are durable, all of them or none.

        While the disk refuses they are held in memory instead, but for the beginning of a shared run: two nodes would
        do it after a crash.
        """
        if added:
            now = self._clock.now()
            meanwhile = WAITS if any(map(_must_be_durable, added)) else Load(len(added), 0)
            self._added(
                await self._do(lambda store: store.append("state", now, added), meanwhile=meanwhile, is_record=True)
            )
            for record in added:
                self._on_kept(record)

    async def output(self, record: OutputRecord | CutRecord) -> None:
        """Takes a piece of output; waits only when too much of it is waiting."""
        now = self._clock.now()
        await self._room.acquire()
        self._writer.put(
            Write(lambda store: store.append("output", now, [record]), self._finish(self._output_done), is_output=True)
        )

    async def open_runs(self) -> list[tuple[RunRecord, list[StepRecord]]]:
        """Runs that an earlier life of this worker left without an end, with their steps without an end."""
        return self._left

    # -- what is known ------------------------------------------------------------------------------------------

    async def cursors(self) -> dict[str, datetime]:
        """The last instant decided of each pipeline."""
        return await self._ask(lambda store: store.cursors())

    async def documents(self) -> list[CachedDocument]:
        """The documents that this node holds."""
        return await self._ask(lambda store: store.documents())

    async def generations(self) -> dict[str, int]:
        """The newest generation seen of each pipeline, of removed ones too: an older one is a replay."""
        return await self._ask(lambda store: store.generations())

    async def put_document(self, pipeline: str, generation: int, envelope: bytes) -> None:
        """Keeps a document for the time without etcd."""
        await self._do(lambda store: store.put_document(pipeline, generation, envelope), meanwhile=None)

    async def put_ahead(self, pipeline: str, generation: int, envelope: bytes) -> None:
        """Keeps a document that holds from a later instant on, beside the one that holds until then."""
        await self._do(lambda store: store.put_ahead(pipeline, generation, envelope), meanwhile=None)

    async def ahead(self) -> list[bytes]:
        """What ``put_ahead`` has kept and ``put_document`` has not replaced yet."""
        return await self._ask(lambda store: store.ahead())

    async def remember(self, pipeline: str, record: bytes) -> None:
        """Keeps the latest record known of a shared pipeline; durable when it returns."""
        await self._do(lambda store: store.remember(pipeline, record))

    async def remembered(self) -> dict[str, bytes]:
        """The latest records known of shared pipelines."""
        return await self._ask(lambda store: store.remembered())

    async def forget(self, pipeline: str, generation: int) -> None:
        """Drops a removed pipeline's document; its cursor and generation stay."""
        await self._do(lambda store: store.put_document(pipeline, generation, None), meanwhile=None)

    async def put_config(self, envelope: bytes) -> None:
        """Keeps the shared settings."""
        await self._do(lambda store: store.put_meta("config", envelope), meanwhile=None)

    async def config(self) -> bytes | None:
        """The shared settings as last seen."""
        return await self._ask(lambda store: store.meta("config"))

    async def take_command(self, command: str, expires_at: datetime) -> bool:
        """Whether the command is new; durable before it is acted on."""
        now = self._clock.now()
        return await self._do(lambda store: store.take_command(command, expires_at, now))

    # -- delivery -----------------------------------------------------------------------------------------------

    async def next_batch(self, kind: StreamKind, most: int = BATCH_RECORDS) -> IngestBatch | None:
        """What is to be delivered next, ``most`` records at the most; None when everything is."""
        return await self._ask(lambda store: store.next_batch(kind, most))

    async def questions(self) -> list[IngestBatch]:
        """A batch of nothing for each stream, of this start or an earlier one; the last two are this start's."""
        return await self._ask(lambda store: store.questions())

    async def acknowledge(self, stream: str, sequence: int) -> None:
        """The server has the stream up to ``sequence``; less than before means: it was restored, deliver again."""
        delivered = await self._do(lambda store: store.acknowledge(stream, sequence), meanwhile=Load(0, 0))
        self._add(Load(-delivered.records, -delivered.bytes))
        self._deliveries += 1
        if self._deliveries % PRUNE_EVERY == 0:
            before = self._clock.now() - KEEP
            await self._do(lambda store: store.prune(before, KEEP_BYTES), meanwhile=None)

    async def oldest(self) -> datetime | None:
        """When the oldest record was added that is not delivered yet."""
        return await self._ask(lambda store: store.oldest())

    async def set_aside(self, stream: str, sequence: int, reason: str) -> None:
        """The server refuses this record: something that says so takes its place."""
        self._add(await self._do(lambda store: store.set_aside(stream, sequence, reason), meanwhile=Load(0, 0)))

    async def wait_for_records(self) -> None:
        """Returns when records have been added since the last call."""
        await self._records.wait()
        self._records.clear()

    # -- the event loop's side ----------------------------------------------------------------------------------

    async def _do(self, work: Callable[[Store], T], *, meanwhile: Any = WAITS, is_record: bool = False) -> T:
        result: T = await self._put(Write(work, _nobody, meanwhile=meanwhile, is_record=is_record))
        return result

    async def _ask(self, work: Callable[[Store], T]) -> T:
        result: T = await self._put(Write(work, _nobody, is_reading=True))
        return result

    async def _put(self, write: Write) -> Any:
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        await self._room.acquire()
        write.done = self._finish(done)
        self._writer.put(write)
        return await future

    def _finish(self, done: Callable[[Any, BaseException | None], None]) -> Callable[[Any, BaseException | None], None]:
        def finish(result: Any, error: BaseException | None) -> None:
            self._room.release()
            done(result, error)

        return finish

    def _output_done(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self._added(result)
        else:
            self._dropped += 1

    def _added(self, load: Load) -> None:
        self._add(load)
        self._records.set()

    def _add(self, load: Load) -> None:
        self._backlog = Load(self._backlog.records + load.records, self._backlog.bytes + load.bytes)

    def _set_backlog(self, load: Load) -> None:
        self._backlog = load
        self._records.set()

    def _forget_dropped(self) -> None:
        """The ledger is told of them."""
        self._dropped = 0

    def _on_loop(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(call)

    def _prepare(self, store: Store) -> None:
        self.born = store.born(self._clock.now())
        self._left = store.open_runs()
        self._backlog = store.backlog()


def _must_be_durable(record: Record) -> bool:
    return isinstance(record, RunRecord) and record.shared and record.state == "running"


def _nobody(result: Any, error: BaseException | None) -> None:
    """Replaced before the write is put."""
