"""The worker's durable memory: what happened and is not delivered yet, how far each pipeline is decided, what it knows.

SQLite in WAL mode with ``synchronous=FULL``; one writer thread takes whatever has gathered into one transaction
(group commit), so that the price of an fsync is shared. A damaged file is moved aside. While the disk is full,
states wait in memory, within bounds, until they can be written; output is given up first, and counted.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from coordination.records import GapRecord, IngestBatch, OutputRecord, Record, RunRecord, StepRecord, StreamKind
from workers.engine.clock import Clock
from workers.engine.journal_store import BATCH_RECORDS, CachedDocument, Store

log = logging.getLogger(__name__)

T = TypeVar("T")

GROUP = 512
"""The most writes in one transaction."""

CROWD = 8
"""Writes in one transaction from which on it counts as busy; a few parts that each wait for their own stay below."""

LINGER = 0.005
"""Seconds for more writes to gather after a busy transaction: many at a time cost a third of what they cost by twos
and threes."""

QUEUE = 20_000
"""The most writes that wait; whoever brings more waits too."""

RESERVE = 4 << 20
"""Bytes set aside on disk, given up when the disk is full so that states can still be written."""

KEEP = timedelta(hours=24)
"""How long delivered records are kept for a server that was restored from a backup."""

KEEP_BYTES = 256 << 20
"""A journal larger than this drops delivered records earlier."""

PRUNE_EVERY = 1000
"""Deliveries between two looks at what may be dropped."""

RETRY = 1.0
"""Seconds between two tries to write while the disk refuses."""


@dataclass(slots=True)
class _Write:
    work: Callable[[Store], Any]
    done: Callable[[Any, BaseException | None], None]
    durable: bool = True
    """False: may be given up, counted, when the disk is full (output)."""


class Journal:
    """One worker's journal. Open it, use it from one event loop, close it."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(QUEUE)
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._store: Store
        self._loop: asyncio.AbstractEventLoop
        self._records = asyncio.Event()
        self._left: list[tuple[RunRecord, list[StepRecord]]] = []
        self._backlog = 0
        self._deliveries = 0
        self._trouble = ""
        self._damage = ""
        self._dropped = 0
        self.born: datetime
        """When this journal began: nothing before it was this node's to fire."""

    async def open(self) -> None:
        """Opens the file, or begins a new one beside a damaged one. Raises OSError when neither can be done."""
        self._loop = asyncio.get_running_loop()
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._move_aside(error)
            self._prepare()
        self._keep_reserve()
        self._thread.start()
        if self._backlog:
            self._records.set()

    async def close(self) -> None:
        """Writes what has gathered and closes the file."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._store.close()

    def incidents(self) -> tuple[str, ...]:
        """What is wrong with the journal now, a sentence each."""
        dropped = f"{self._dropped} pieces of output could not be kept" if self._dropped else ""
        return tuple(filter(None, (self._trouble, self._damage, dropped)))

    def backlog(self) -> int:
        """Records not delivered yet."""
        return self._backlog

    # -- what happens -------------------------------------------------------------------------------------------

    async def state(self, *added: Record) -> None:
        """Returns when the records are durable, all of them or none."""
        if added:
            now = self._clock.now()
            self._added(await self._do(lambda store: store.append("state", now, added)))

    async def output(self, record: OutputRecord) -> None:
        """Takes a piece of output; waits only when too much of it is waiting."""
        now = self._clock.now()
        await self._room.acquire()
        self._queue.put(
            _Write(lambda store: store.append("output", now, [record]), self._finish(self._output_done), durable=False)
        )

    async def open_runs(self) -> list[tuple[RunRecord, list[StepRecord]]]:
        """Runs that an earlier life of this worker left without an end, with their steps without an end."""
        return self._left

    # -- what is known ------------------------------------------------------------------------------------------

    async def cursors(self) -> dict[str, datetime]:
        """The last instant decided of each pipeline."""
        return await self._do(lambda store: store.cursors())

    async def documents(self) -> list[CachedDocument]:
        """The documents that this node holds."""
        return await self._do(lambda store: store.documents())

    async def generations(self) -> dict[str, int]:
        """The newest generation seen of each pipeline, of removed ones too: an older one is a replay."""
        return await self._do(lambda store: store.generations())

    async def put_document(self, pipeline: str, generation: int, envelope: bytes) -> None:
        """Keeps a document for the time without etcd."""
        await self._do(lambda store: store.put_document(pipeline, generation, envelope))

    async def put_ahead(self, pipeline: str, generation: int, envelope: bytes) -> None:
        """Keeps a document that holds from a later instant on, beside the one that holds until then."""
        await self._do(lambda store: store.put_ahead(pipeline, generation, envelope))

    async def ahead(self) -> list[bytes]:
        """What ``put_ahead`` has kept and ``put_document`` has not replaced yet."""
        return await self._do(lambda store: store.ahead())

    async def remember(self, pipeline: str, record: bytes) -> None:
        """Keeps the latest record known of a shared pipeline; durable when it returns."""
        await self._do(lambda store: store.remember(pipeline, record))

    async def remembered(self) -> dict[str, bytes]:
        """The latest records known of shared pipelines."""
        return await self._do(lambda store: store.remembered())

    async def forget(self, pipeline: str, generation: int) -> None:
        """Drops a removed pipeline's document; its cursor and generation stay."""
        await self._do(lambda store: store.put_document(pipeline, generation, None))

    async def put_config(self, envelope: bytes) -> None:
        """Keeps the shared settings."""
        await self._do(lambda store: store.put_meta("config", envelope))

    async def config(self) -> bytes | None:
        """The shared settings as last seen."""
        return await self._do(lambda store: store.meta("config"))

    async def take_command(self, command: str, expires_at: datetime) -> bool:
        """Whether the command is new; durable before it is acted on."""
        now = self._clock.now()
        return await self._do(lambda store: store.take_command(command, expires_at, now))

    # -- delivery -----------------------------------------------------------------------------------------------

    async def next_batch(self, kind: StreamKind, most: int = BATCH_RECORDS) -> IngestBatch | None:
        """What is to be delivered next, ``most`` records at the most; None when everything is."""
        return await self._do(lambda store: store.next_batch(kind, most))

    async def acknowledge(self, stream: str, sequence: int) -> None:
        """The server has the stream up to ``sequence``; less than before means: it was restored, deliver again."""
        self._backlog -= await self._do(lambda store: store.acknowledge(stream, sequence))
        self._deliveries += 1
        if self._deliveries % PRUNE_EVERY == 0:
            before = self._clock.now() - KEEP
            await self._do(lambda store: store.prune(before, KEEP_BYTES))

    async def set_aside(self, stream: str, sequence: int, reason: str) -> None:
        """The server refuses this record: something that says so takes its place."""
        await self._do(lambda store: store.set_aside(stream, sequence, reason))

    async def wait_for_records(self) -> None:
        """Returns when records have been added since the last call."""
        await self._records.wait()
        self._records.clear()

    # -- the event loop's side ----------------------------------------------------------------------------------

    async def _do(self, work: Callable[[Store], T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()

        def done(result: T, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        await self._room.acquire()
        self._queue.put(_Write(work, self._finish(done)))
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

    def _added(self, number: int) -> None:
        self._backlog += number
        self._records.set()

    # -- the writer thread --------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._store = Store(self._path)
        self._store.begin()
        self.born = self._store.born(self._clock.now())
        self._left = self._store.open_runs()
        self._backlog = self._store.backlog()
        self._store.open_streams()
        self._store.commit()

    def _move_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = self._path.with_name(f"{self._path.name}.damaged-{self._clock.now():%Y%m%dT%H%M%S}")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).rename(f"{aside}{suffix}")
        self._damage = f"the journal was damaged ({error}); it is kept as {aside.name}, and a new one was begun"
        log.error("%s", self._damage)

    def _keep_reserve(self) -> None:
        with suppress(OSError):
            self._reserve.write_bytes(bytes(RESERVE))

    @property
    def _reserve(self) -> Path:
        return self._path.with_name("journal.reserve")

    def _write(self) -> None:
        while True:
            group = self._gather()
            if group is None:
                return
            self._write_group(group)
            if len(group) >= CROWD:
                time.sleep(LINGER)

    def _gather(self) -> list[_Write] | None:
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        while len(group) < GROUP:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            group.append(following)
        return group

    def _write_group(self, group: list[_Write]) -> None:
        try:
            results = self._transaction(group)
        except sqlite3.Error as error:
            self._persist(group, error)
        except Exception as error:
            # Not the disk's fault: whoever asked is told, and the thread lives on.
            self._tell([(write, None) for write in group], error)
        else:
            self._tell(list(zip(group, results, strict=True)))

    def _transaction(self, group: list[_Write]) -> list[Any]:
        try:
            self._store.begin()
            results = [write.work(self._store) for write in group]
            self._store.commit()
        except BaseException:
            with suppress(sqlite3.Error):
                self._store.rollback()
            raise
        return results

    def _persist(self, group: list[_Write], error: sqlite3.Error) -> None:
        """The disk refuses: give up the reserve, then the output, and try the rest until it is written."""
        log.error("the journal cannot be written: %s", error)
        self._reserve.unlink(missing_ok=True)
        kept = [write for write in group if write.durable]
        dropped = [write for write in group if not write.durable]
        self._tell([(write, None) for write in dropped], error)
        if dropped:
            gap = GapRecord(count=len(dropped), reason="the worker's disk was full")
            now = self._clock.now()
            kept.append(_Write(lambda store: store.append("output", now, [gap]), lambda result, error: None))
        while kept:
            try:
                results = self._transaction(kept)
            except sqlite3.Error as again:
                self._trouble = f"the journal cannot be written ({again}): free some space in {self._path.parent}"
                threading.Event().wait(RETRY)
            else:
                self._tell(list(zip(kept, results, strict=True)))
                break
        self._trouble = ""
        self._keep_reserve()

    def _tell(self, written: list[tuple[_Write, Any]], error: BaseException | None = None) -> None:
        def tell() -> None:
            for write, result in written:
                write.done(result, error)

        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(tell)
