"""Carries over what can be read of a damaged journal."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from coordination.records import GapRecord, encode
from workers.engine.journal_rows import encode_instant
from workers.engine.journal_store import SCHEMA

TABLES = {
    "meta": 2, "streams": 6, "records": 4, "open_runs": 2, "open_steps": 3, "cursors": 2, "documents": 3, "ahead": 2,
    "shared": 2, "commands": 2,
}  # fmt: skip
"""Each with the number of its columns."""


def salvage(damaged: Path, path: Path, now: datetime) -> int:
    """Makes a new journal at ``path``; how many rows it got. Raises sqlite3.Error when it cannot be made.

    It is born now: of a pipeline whose cursor is lost nobody knows what was fired, so that nothing before may be caught
    up. What was not delivered and is lost is named as a gap.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as new:
        new.executescript(SCHEMA)
        new.execute("BEGIN")
        with suppress(_Unreadable), closing(_opened(damaged)) as old:
            for table, columns in TABLES.items():
                _carry_over(old, new, table, columns)
        kept = sum(new.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in TABLES)  # noqa: S608
        _name_gaps(new, encode_instant(now))
        new.execute("INSERT OR REPLACE INTO meta VALUES ('born', ?)", (encode_instant(now),))
        new.execute("COMMIT")
        return int(kept)


class _Unreadable(Exception):
    """Nothing at all can be read."""


def _opened(damaged: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(damaged, isolation_level=None)
    except sqlite3.Error as error:
        raise _Unreadable from error


def _carry_over(old: sqlite3.Connection, new: sqlite3.Connection, table: str, columns: int) -> None:
    """From both ends, for the damage may be in the middle."""
    places = ", ".join("?" * columns)
    for direction in ("ASC", "DESC"):
        for row in _rows(old, table, direction):
            # A file of an older version lacks the last columns.
            values = (*row, *[0] * (columns - len(row)))
            new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", values)  # noqa: S608 - our own names


def _rows(old: sqlite3.Connection, table: str, direction: str) -> Iterator[tuple[Any, ...]]:
    """Until the damage."""
    try:
        yield from old.execute(f"SELECT * FROM {table} ORDER BY 1 {direction}")  # noqa: S608 - our own names
    except sqlite3.Error:
        return


def _name_gaps(new: sqlite3.Connection, at: int) -> None:
    """A record stands for those at the end of a stream that are lost; holes before them are named on delivery."""
    streams = new.execute(
        "SELECT id, acknowledged, last, (SELECT COALESCE(MAX(sequence), 0) FROM records WHERE stream = streams.id) "
        "FROM streams"
    ).fetchall()
    for stream, acknowledged, last, found in streams:
        end = max(acknowledged, found)
        if end > last:
            new.execute("UPDATE streams SET last = ? WHERE id = ?", (end, stream))
        elif end < last:
            gap = GapRecord(count=last - end, spans=last - end, reason="lost with the worker's damaged journal")
            new.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (stream, end + 1, at, encode(gap)))
