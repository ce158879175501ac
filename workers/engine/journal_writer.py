"""The journal's thread: takes whatever has gathered into one transaction, and knows what to do while the disk refuses.

While it does (full, read-only, failing), the reserve is given up first, then output, which is counted. If that is not
enough, what may wait is held in memory, in its order and within bounds, and whoever wrote it goes on; what has to be
durable before it is acted on waits. Everything is tried again each second. A damaged file is moved aside, and what can
be read of it is carried over.
"""

import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordination.records import GapRecord
from workers.engine.clock import Clock
from workers.engine.journal_salvage import salvage
from workers.engine.journal_store import Load, Store

log = logging.getLogger(__name__)

GROUP = 512
"""The most writes in one transaction."""

CROWD = 8
"""Writes in one transaction from which on it counts as busy; a few parts that each wait for their own stay below."""

LINGER = 0.005
"""Seconds for more writes to gather after a busy transaction: many at a time cost a third of what they cost by twos
and threes."""

RESERVE = 4 << 20
"""Bytes set aside on disk, given up when the disk is full so that states can still be written."""

ROOM = 4 * RESERVE
"""Bytes that have to be free before the reserve is taken again."""

RETRY = 1.0
"""Seconds between two tries to write while the disk refuses."""

HELD = 100_000
"""The most writes that are held in memory meanwhile; records beyond are dropped, and counted."""

WAITS = object()
"""Instead of an answer in the meantime: this write has to be durable before anything follows from it."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Done = Callable[[Any, BaseException | None], None]


@dataclass(slots=True)
class Write:
    """Some work on the tables. ``meanwhile`` is what its author is told while the disk refuses, or ``WAITS``.

    ``is_output``: given up, counted, when the disk refuses. ``is_record``: likewise, when too many are held.
    ``is_reading``: changes nothing.
    """

    work: Callable[[Store], Any]
    done: Done
    meanwhile: Any = WAITS
    is_output: bool = False
    is_record: bool = False
    is_reading: bool = False


class Writer:
    """``tell`` runs a function on the event loop; ``on_recovered`` gets the backlog once the disk takes writes,
    ``on_room`` is called when there is room for output again."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        tell: Callable[[Callable[[], None]], None],
        on_recovered: Callable[[Load], None],
        on_room: Callable[[], None],
    ) -> None:
        self._path = path
        self._clock = clock
        self._tell_loop = tell
        self._on_recovered = on_recovered
        self._on_room = on_room
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._held: list[Write] = []
        self._is_damaged = False
        self._aside: Path | None = None
        """Where a damaged file was moved, until it is read."""
        self._next_try = self._next_look = 0.0
        self._dropped = 0
        self._is_short = False
        """The reserve is given up: states still have room, output is dropped."""
        self.store: Store
        self.trouble = ""
        """Why nothing can be written now; empty when it can."""
        self.damage = ""
        """That the file was damaged, and what became of it."""
        self.shortage = ""
        """That only states are kept now."""

    def open(self, prepare: Callable[[Store], None]) -> None:
        """Opens the file, or begins a new one in the place of a damaged one; ``prepare`` reads what the start needs.

        Raises OSError, or sqlite3.Error, when neither can be done.
        """
        try:
            self._open(prepare)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._begin_anew(error)
            self._open(prepare)
        self._keep_reserve()
        self._thread.start()

    def put(self, write: Write) -> None:
        """In its turn. Its author is told on the event loop."""
        self._queue.put(write)

    def close(self) -> None:
        """Writes what has gathered, if that can be, and closes the file. Blocks."""
        self._queue.put(None)
        self._thread.join()
        self.store.close()

    def _open(self, prepare: Callable[[Store], None]) -> None:
        self.store = Store(self._path)
        self.store.check()
        self.store.begin()
        prepare(self.store)
        self.store.open_streams(self._clock.now())
        self.store.commit()

    # -- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:
            log.exception("the journal's thread has ended")
            self.trouble = f"the journal does not work any more ({error}): restart the worker"
            while (write := self._queue.get()) is not None:
                self._fail([write], OSError(self.trouble))

    def _serve(self) -> None:
        while True:
            group, is_last = self._gather()
            if self._is_short:
                group = self._without_output(group)
            if self._held:
                self._endure(group, is_last)
            elif group:
                self._write(group)
            if is_last:
                return
            if len(group) >= CROWD:
                time.sleep(LINGER)

    def _gather(self) -> tuple[list[Write], bool]:
        """What has come, and whether nothing will follow."""
        group: list[Write] = []
        try:
            following = self._queue.get(timeout=RETRY if self._held or self._is_short else None)
            while following is not None:
                group.append(following)
                if len(group) >= GROUP:
                    return group, False
                following = self._queue.get_nowait()
        except queue.Empty:
            return group, False
        return group, True

    def _write(self, group: Sequence[Write]) -> None:
        try:
            self._tell(group, self._transaction(group))
        except sqlite3.Error as error:
            self._refused(group, error)
        except Exception as error:
            # Not the disk's fault: whoever asked is told, and the thread lives on.
            self._fail(group, error)

    def _transaction(self, group: Sequence[Write]) -> list[Any]:
        try:
            self.store.begin()
            results = [write.work(self.store) for write in group]
            self.store.commit()
        except BaseException:
            with suppress(sqlite3.Error):
                self.store.rollback()
            raise
        return results

    # -- a disk that refuses ------------------------------------------------------------------------------------

    def _refused(self, group: Sequence[Write], error: sqlite3.Error) -> None:
        log.error("the journal cannot be written: %s", error)
        if _is_damage(error):
            self._is_damaged, self.trouble = True, f"the journal is damaged ({error})"
        else:
            self._say(error)
            self._give_up_reserve()
            group = self._without_output(group)
        self._hold(group)
        self._try_again()

    def _say(self, error: Exception) -> None:
        todo = "make it writable again" if "readonly" in str(error) else "free some space"
        self.trouble = f"the journal cannot be written ({error}): {todo} in {self._path.parent}"

    def _endure(self, group: Sequence[Write], is_last: bool) -> None:
        self._hold(group)
        if is_last or self._clock.monotonic() >= self._next_try:
            self._try_again()
        if is_last and self._held:
            waiting = [write for write in self._held if write.meanwhile is WAITS]
            log.error("%d records are lost: %s", len(self._held), self.trouble)
            self._fail(waiting, OSError(self.trouble))

    def _hold(self, group: Sequence[Write]) -> None:
        for write in group:
            if write.is_reading:
                self._read(write)
            elif write.is_record and write.meanwhile is not WAITS and len(self._held) >= HELD:
                self._dropped += 1
                self._tell([write], [write.meanwhile])
            else:
                self._held.append(write)
                if write.meanwhile is not WAITS:
                    self._tell([write], [write.meanwhile])

    def _read(self, write: Write) -> None:
        try:
            self.store.begin_reading()
            try:
                result = write.work(self.store)
            finally:
                self.store.rollback()
        except Exception as error:
            self._fail([write], error)
        else:
            self._tell([write], [result])

    def _try_again(self) -> None:
        self._next_try = self._clock.monotonic() + RETRY
        held = self._held
        try:
            if self._is_damaged:
                self._replace()
            results = self._transaction(held)
        except sqlite3.Error as error:
            self._is_damaged |= _is_damage(error)
            self._say(error)
            return
        except OSError as error:
            self._say(error)
            return
        waiting = [(write, result) for write, result in zip(held, results, strict=True) if write.meanwhile is WAITS]
        self._held, self.trouble = [], ""
        log.info("the journal is written again")
        self._tell([write for write, _ in waiting], [result for _, result in waiting])
        backlog = self.store.backlog()
        self._tell_loop(lambda: self._on_recovered(backlog))

    # -- a disk with little room --------------------------------------------------------------------------------

    def _give_up_reserve(self) -> None:
        self._next_look = self._clock.monotonic() + RETRY
        if not self._is_short:
            self._is_short, self.shortage = True, f"{self._path.parent} is full: output of jobs is not kept"
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def _without_output(self, group: Sequence[Write]) -> list[Write]:
        """The room that is left is for states; once there is more, all is as before, and what was dropped is told."""
        if not self._held and self._clock.monotonic() >= self._next_look:
            self._next_look = self._clock.monotonic() + RETRY
            if self._has_room():
                self._keep_reserve()
                self._is_short, self.shortage = False, ""
                self._tell_loop(self._on_room)
                return [self._count_of_dropped(), *group] if self._dropped else [*group]
        output = [write for write in group if write.is_output]
        self._dropped += len(output)
        self._fail(output, OSError(self.shortage))
        return [write for write in group if not write.is_output]

    def _has_room(self) -> bool:
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize >= ROOM and not disk.f_flag & os.ST_RDONLY

    def _count_of_dropped(self) -> Write:
        gap = GapRecord(count=self._dropped, reason="the worker's disk was full")
        self._dropped, now = 0, self._clock.now()
        return Write(lambda store: store.append("output", now, [gap]), lambda result, error: None, meanwhile=None)

    def _replace(self) -> None:
        self._begin_anew(self.trouble)
        self._open(lambda store: None)
        self._is_damaged = False

    def _begin_anew(self, why: object) -> None:
        """Raises OSError or sqlite3.Error when that cannot be done now; it may be tried again."""
        with suppress(AttributeError, sqlite3.Error):
            self.store.close()
        files = [self._path.with_name(self._path.name + suffix) for suffix in ("", "-wal", "-shm")]
        if self._aside is None:
            self._aside = self._path.with_name(f"{self._path.name}.damaged-{self._clock.now():%Y%m%dT%H%M%S}")
            for file in files:
                with suppress(FileNotFoundError):
                    file.rename(file.with_name(file.name.replace(self._path.name, self._aside.name)))
        else:
            for file in files:
                file.unlink(missing_ok=True)  # what the last try has begun
        kept = salvage(self._aside, self._path, self._clock.now())
        self.damage = (
            f"the journal was damaged ({why}); it is kept as {self._aside.name}, and a new one was begun with what "
            f"could be read of it ({kept} rows): what was not delivered may be lost, and nothing before is caught up"
        )
        self._aside = None
        log.error("%s", self.damage)

    def _keep_reserve(self) -> None:
        with suppress(OSError):
            self._reserve.write_bytes(bytes(RESERVE))

    @property
    def _reserve(self) -> Path:
        return self._path.with_name("journal.reserve")

    # -- answers ------------------------------------------------------------------------------------------------

    def _tell(self, writes: Sequence[Write], results: Sequence[Any]) -> None:
        def tell() -> None:
            for write, result in zip(writes, results, strict=True):
                write.done(result, None)

        self._tell_loop(tell)

    def _fail(self, writes: Sequence[Write], error: BaseException) -> None:
        def tell() -> None:
            for write in writes:
                write.done(None, error)

        self._tell_loop(tell)


def _is_damage(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED
