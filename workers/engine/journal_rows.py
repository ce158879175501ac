"""What one transaction of the journal adds, gathered in memory, and written with as few statements as can be.

Each statement lets go of the interpreter's lock and has to wait for it afterwards, for up to a switch interval while
the event loop is busy (PEP 703 tells why; ``sys.setswitchinterval``). A row to a statement would make the writer the
slowest part of a busy worker; with many rows to a statement it runs beside the event loop.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

from coordination.records import TERMINAL, RunRecord, StepRecord

ROWS = 100
"""The most rows in one statement: at most 400 parameters, of the 999 that any SQLite takes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode_instant(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return (instant - _EPOCH) // _MICROSECOND


def decode_instant(value: int) -> datetime:
    """Aware UTC."""
    return _EPOCH + timedelta(microseconds=value)


@dataclass(slots=True)
class Added:
    """Records as (stream, sequence, at, body); and what is to be true of open runs, open steps and cursors, of which
    only the last word of a transaction counts: None where it has ended."""

    records: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    runs: dict[str, bytes | None] = field(default_factory=dict)
    steps: dict[tuple[str, int], bytes | None] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)

    def keep_run(self, record: RunRecord, body: bytes) -> None:
        """A run now stands like this."""
        self.runs[record.run] = None if record.state in TERMINAL else body
        if record.trigger in ("schedule", "catch_up") and not record.shared:
            instant = encode_instant(record.until or record.scheduled_at)
            self.cursors[record.pipeline] = max(instant, self.cursors.get(record.pipeline, instant))

    def keep_step(self, record: StepRecord, body: bytes) -> None:
        """A step now stands like this."""
        self.steps[record.run, record.index] = None if record.state in TERMINAL else body

    def write(self, db: sqlite3.Connection) -> None:
        """Brings the tables up to date. Cursors move forward, never back."""
        ended = [(run,) for run, body in self.runs.items() if body is None]
        _each(db, "INSERT INTO records VALUES {rows}", self.records)
        _each(db, "INSERT OR REPLACE INTO open_runs VALUES {rows}", _open(self.runs.items()))
        _each(
            db,
            "INSERT OR REPLACE INTO open_steps VALUES {rows}",
            [(run, index, body) for (run, index), body in self.steps.items() if body is not None],
        )
        _each(
            db,
            "DELETE FROM open_steps WHERE (run, step) IN (VALUES {rows})",
            [step for step, body in self.steps.items() if body is None],
        )
        _each(db, "DELETE FROM open_steps WHERE run IN (VALUES {rows})", ended)
        _each(db, "DELETE FROM open_runs WHERE run IN (VALUES {rows})", ended)
        _each(
            db,
            "INSERT INTO cursors VALUES {rows} ON CONFLICT (pipeline) DO UPDATE SET instant = excluded.instant "
            "WHERE excluded.instant > instant",
            self.cursors.items(),
        )


def _open(items: Iterable[tuple[str, bytes | None]]) -> Iterator[tuple[str, bytes]]:
    return ((key, body) for key, body in items if body is not None)


def _each(db: sqlite3.Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """The statement, as often as needed, with its rows put in as ``(?, ?), (?, ?), ...``."""
    remaining = iter(rows)
    while some := list(islice(remaining, ROWS)):
        row = f"({', '.join('?' * len(some[0]))})"
        db.execute(statement.format(rows=", ".join([row] * len(some))), tuple(chain.from_iterable(some)))
