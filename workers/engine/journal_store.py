"""The journal's tables, and every statement on them. Runs in the journal's writer thread; no asyncio, no clock.

Instants in columns are microseconds since the Unix epoch.
"""

import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from msgspec import Raw, json

from coordination import records
from coordination.records import (
    GapRecord,
    IngestBatch,
    Record,
    RunRecord,
    SetAsideRecord,
    StepRecord,
    StreamKind,
)
from workers.engine.journal_rows import Added, decode_instant, encode_instant

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    acknowledged INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL DEFAULT 0, opened INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS records (
    stream INTEGER NOT NULL, sequence INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (stream, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open_runs (run TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open_steps (
    run TEXT NOT NULL, step INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (pipeline TEXT PRIMARY KEY, instant INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (
    pipeline TEXT PRIMARY KEY, generation INTEGER NOT NULL, envelope BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ahead (pipeline TEXT PRIMARY KEY, envelope BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shared (pipeline TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commands (id TEXT PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
"""

COLUMNS = {"streams": {"opened": "INTEGER NOT NULL DEFAULT 0"}}
"""What tables have got since 0.1.0. Only additions with a default: an older worker opens this file, too."""

STREAMS_KEPT = timedelta(days=20)
"""How long a stream is known although its records are dropped, so that a server restored from a backup of before them
is told of the gap. A server forgets streams after 30 days."""

BATCH_RECORDS = 500
"""The most records in one batch."""

BATCH_BYTES = 1 << 20
"""A batch ends with the record that reaches this size."""


class Damaged(sqlite3.DatabaseError):
    """The file does not hold what it should."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


class Load(NamedTuple):
    """An amount of records, in number and in bytes of their bodies. Fewer than none: there are to be more again."""

    records: int
    bytes: int


@dataclass(frozen=True, slots=True)
class CachedDocument:
    """A pipeline document as it came, kept for the time without etcd."""

    pipeline: str
    generation: int
    envelope: bytes


class Store:
    """One connection. Every method is part of the transaction that the caller has begun."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.DatabaseError when the file is damaged or cannot be made."""
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(SCHEMA)
        for table, columns in COLUMNS.items():
            there = {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
            for name in columns.keys() - there:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")
        self._streams: dict[StreamKind, tuple[int, int]] = {}
        self._added = Added()

    def close(self) -> None:
        """Ends the connection."""
        self._db.close()

    def check(self) -> None:
        """Raises sqlite3.DatabaseError when the file is damaged anywhere; reads all of it."""
        [(said,)] = self._db.execute("PRAGMA quick_check(1)")
        if said != "ok":
            raise Damaged(said)

    def begin(self) -> None:
        """Opens a transaction."""
        self._db.execute("BEGIN IMMEDIATE")

    def begin_reading(self) -> None:
        """Opens one that only reads, which a full or read-only disk allows. End it by ``rollback``."""
        self._db.execute("BEGIN")

    def commit(self) -> None:
        """Writes what was added, and makes the transaction durable."""
        if self._added.records:
            self._added.write(self._db)
            lasts = [(last, stream) for stream, last in self._streams.values()]
            self._db.executemany("UPDATE streams SET last = ? WHERE id = ?", lasts)
        self._db.execute("COMMIT")
        self._added = Added()

    def rollback(self) -> None:
        """Takes the transaction back, the stream positions included."""
        self._added = Added()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        for kind, (stream, _) in self._streams.items():
            [(last,)] = self._db.execute("SELECT last FROM streams WHERE id = ?", (stream,))
            self._streams[kind] = (stream, last)

    def born(self, now: datetime) -> datetime:
        """When this journal began: ``now`` when it is new."""
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('born', ?)", (encode_instant(now),))
        [(value,)] = self._db.execute("SELECT value FROM meta WHERE name = 'born'")
        return decode_instant(value)

    def open_streams(self, now: datetime) -> None:
        """Each start of a worker writes into streams of its own."""
        for kind in ("state", "output"):
            name = str(uuid.uuid4())
            values = (name, kind, encode_instant(now))
            cursor = self._db.execute("INSERT INTO streams (stream, kind, opened) VALUES (?, ?, ?)", values)
            assert cursor.lastrowid is not None
            self._streams[kind] = (cursor.lastrowid, 0)

    # -- writing ------------------------------------------------------------------------------------------------

    def append(self, kind: StreamKind, now: datetime, added: Iterable[Record]) -> Load:
        """Adds records to this start's stream, and keeps open runs and cursors in step; what was added.

        They reach the tables with ``commit``, all of a transaction in a few statements.
        """
        stream, last = self._streams[kind]
        at = encode_instant(now)
        first, size = last + 1, 0
        for record in added:
            body = records.encode(record)
            last += 1
            size += len(body)
            self._added.records.append((stream, last, at, body))
            if isinstance(record, RunRecord):
                self._added.keep_run(record, body)
            elif isinstance(record, StepRecord):
                self._added.keep_step(record, body)
        self._streams[kind] = (stream, last)
        return Load(last - first + 1, size)

    def put_document(self, pipeline: str, generation: int, envelope: bytes | None) -> None:
        """Keeps a document, or of a removed pipeline (None) its generation, against replay."""
        self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (pipeline, generation, envelope))
        self._db.execute("DELETE FROM ahead WHERE pipeline = ?", (pipeline,))

    def put_ahead(self, pipeline: str, generation: int, envelope: bytes) -> None:
        """Keeps, beside the document that still holds, the one that will."""
        self._db.execute("UPDATE documents SET generation = ? WHERE pipeline = ?", (generation, pipeline))
        self._db.execute("INSERT OR REPLACE INTO ahead VALUES (?, ?)", (pipeline, envelope))

    def remember(self, pipeline: str, record: bytes) -> None:
        """Keeps the latest record known of a shared pipeline."""
        self._db.execute("INSERT OR REPLACE INTO shared VALUES (?, ?)", (pipeline, record))

    def put_meta(self, name: str, value: bytes) -> None:
        """Keeps one named value."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def take_command(self, command: str, expires_at: datetime, now: datetime) -> bool:
        """Whether the command is new; expired ones are forgotten."""
        self._db.execute("DELETE FROM commands WHERE expires < ?", (encode_instant(now - timedelta(hours=1)),))
        cursor = self._db.execute("INSERT OR IGNORE INTO commands VALUES (?, ?)", (command, encode_instant(expires_at)))
        return cursor.rowcount == 1

    # -- reading ------------------------------------------------------------------------------------------------

    def meta(self, name: str) -> bytes | None:
        """One named value."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    def cursors(self) -> dict[str, datetime]:
        """The last instant decided, by pipeline."""
        return {pipeline: decode_instant(value) for pipeline, value in self._db.execute("SELECT * FROM cursors")}

    def documents(self) -> list[CachedDocument]:
        """The documents kept, without the removed ones."""
        rows = self._db.execute("SELECT pipeline, generation, envelope FROM documents WHERE envelope IS NOT NULL")
        return [CachedDocument(pipeline, generation, envelope) for pipeline, generation, envelope in rows]

    def ahead(self) -> list[bytes]:
        """The documents that do not hold yet."""
        return [envelope for (envelope,) in self._db.execute("SELECT envelope FROM ahead")]

    def remembered(self) -> dict[str, bytes]:
        """The latest records known of shared pipelines."""
        return dict(self._db.execute("SELECT pipeline, record FROM shared"))

    def generations(self) -> dict[str, int]:
        """The newest generation seen, by pipeline, the removed ones included."""
        return dict(self._db.execute("SELECT pipeline, generation FROM documents"))

    def open_runs(self) -> list[tuple[RunRecord, list[StepRecord]]]:
        """Runs without an end, each with its steps without an end."""
        left = []
        for run, body in self._db.execute("SELECT run, body FROM open_runs ORDER BY run").fetchall():
            record = records.decode_record(body)
            assert isinstance(record, RunRecord)
            steps = self._db.execute("SELECT body FROM open_steps WHERE run = ? ORDER BY step", (run,))
            decoded = [records.decode_record(step) for (step,) in steps]
            left.append((record, [step for step in decoded if isinstance(step, StepRecord)]))
        return left

    # -- shipping -----------------------------------------------------------------------------------------------

    def next_batch(self, kind: StreamKind, most: int) -> IngestBatch | None:
        """What is to be delivered next: of the oldest stream first, from behind what the server has."""
        row = self._db.execute(
            "SELECT id, stream, acknowledged, last FROM streams WHERE kind = ? AND acknowledged < last "
            "ORDER BY id LIMIT 1",
            (kind,),
        ).fetchone()
        if row is None:
            return None
        stream, name, acknowledged, last = row
        bodies: list[bytes] = []
        size = 0
        first = acknowledged + 1
        found = self._db.execute(
            "SELECT sequence, body FROM records WHERE stream = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (stream, acknowledged, min(most, BATCH_RECORDS)),
        )
        for sequence, body in found:
            missing = sequence - first - len(bodies)
            if missing:
                if not bodies:
                    bodies.append(_gap(missing))
                break
            bodies.append(body)
            size += len(body)
            if size >= BATCH_BYTES:
                break
        if not bodies:
            bodies.append(_gap(last - acknowledged))
        return IngestBatch(stream=name, kind=kind, first=first, records=tuple(Raw(body) for body in bodies))

    def questions(self) -> list[IngestBatch]:
        """A batch of nothing for each stream, from behind what was delivered: the answer is what the server has. The
        last two are this start's."""
        current = tuple(stream for stream, _ in self._streams.values())
        rows = self._db.execute(
            "SELECT stream, kind, acknowledged FROM streams WHERE acknowledged > 0 OR id IN (?, ?) ORDER BY id", current
        )
        return [IngestBatch(stream=name, kind=kind, first=acknowledged + 1) for name, kind, acknowledged in rows]

    def acknowledge(self, stream: str, sequence: int) -> Load:
        """The server has this stream up to ``sequence``, which may be less than it had before it was restored. What
        was delivered thereby (negative: is to be delivered again)."""
        row = self._db.execute("SELECT id, acknowledged, last FROM streams WHERE stream = ?", (stream,)).fetchone()
        if row is None:
            return Load(0, 0)
        number, acknowledged, last = row
        sequence = max(0, min(sequence, last))
        if sequence == acknowledged:
            return Load(0, 0)
        self._db.execute("UPDATE streams SET acknowledged = ? WHERE id = ?", (sequence, number))
        size = self._bytes(number, *sorted((acknowledged, sequence)))
        return Load(sequence - acknowledged, size if sequence >= acknowledged else -size)

    def set_aside(self, stream: str, sequence: int, reason: str) -> Load:
        """Puts a stand-in where the server refused a record, so that those behind it can pass; what it adds."""
        place = "stream = (SELECT id FROM streams WHERE stream = ?) AND sequence = ?"
        row = self._db.execute(f"SELECT body FROM records WHERE {place}", (stream, sequence)).fetchone()  # noqa: S608
        if row is None:
            return Load(0, 0)
        kind = str(json.decode(row[0]).get("type", ""))
        body = records.encode(SetAsideRecord(kind=kind, reason=reason[:500]))
        self._db.execute(f"UPDATE records SET body = ? WHERE {place}", (body, stream, sequence))  # noqa: S608
        return Load(0, len(body) - len(row[0]))

    def backlog(self) -> Load:
        """What is not delivered yet. Reads the size of each record."""
        behind = self._db.execute("SELECT id, acknowledged, last FROM streams WHERE acknowledged < last").fetchall()
        size = sum(self._bytes(*row) for row in behind)
        return Load(sum(last - acknowledged for _, acknowledged, last in behind), size)

    def oldest(self) -> datetime | None:
        """When the oldest record was added that is not delivered yet."""
        behind = self._db.execute("SELECT id, acknowledged FROM streams WHERE acknowledged < last").fetchall()
        query = "SELECT at FROM records WHERE stream = ? AND sequence > ? ORDER BY sequence LIMIT 1"
        found = [row for stream in behind for row in self._db.execute(query, stream)]
        return decode_instant(min(found)[0]) if found else None

    def _bytes(self, stream: int, after: int, until: int) -> int:
        where = "stream = ? AND sequence > ? AND sequence <= ?"
        [(size,)] = self._db.execute(
            f"SELECT COALESCE(SUM(LENGTH(body)), 0) FROM records WHERE {where}",  # noqa: S608
            (stream, after, until),
        )
        return int(size)

    def prune(self, before: datetime, most_bytes: int) -> None:
        """Drops delivered records older than ``before``, and more of them while the file holds over ``most_bytes``;
        then streams of earlier starts that have nothing left."""
        delivered = "sequence <= (SELECT acknowledged FROM streams WHERE id = records.stream)"
        self._db.execute(f"DELETE FROM records WHERE at < ? AND {delivered}", (encode_instant(before),))  # noqa: S608
        if self._size() > most_bytes:
            self._db.execute(f"DELETE FROM records WHERE {delivered}")  # noqa: S608
        current = tuple(stream for stream, _ in self._streams.values())
        self._db.execute(
            "DELETE FROM streams WHERE id NOT IN (?, ?) AND acknowledged = last AND (last = 0 OR opened < ?) "
            "AND NOT EXISTS (SELECT 1 FROM records WHERE records.stream = streams.id)",
            (*current, encode_instant(before - STREAMS_KEPT)),
        )

    def _size(self) -> int:
        [(pages,)] = self._db.execute("PRAGMA page_count")
        [(free,)] = self._db.execute("PRAGMA freelist_count")
        [(size,)] = self._db.execute("PRAGMA page_size")
        return int((pages - free) * size)


def _gap(missing: int) -> bytes:
    """What the server lost and this node no longer has stays lost, and is named."""
    return records.encode(GapRecord(count=missing, spans=missing, reason="no longer kept by the worker"))
