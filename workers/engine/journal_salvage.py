"""Carries over what can be read of a damaged journal."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from workers.engine.journal_store import SCHEMA

TABLES = {
    "meta": 2, "streams": 5, "records": 4, "open_runs": 2, "open_steps": 3, "cursors": 2, "documents": 3, "ahead": 2,
    "shared": 2, "commands": 2,
}  # fmt: skip
"""Each with the number of its columns."""


def salvage(damaged: Path, path: Path) -> int:
    """Makes a new journal at ``path``; how many rows it got. Raises sqlite3.Error when it cannot be made."""
    with closing(sqlite3.connect(path, isolation_level=None)) as new:
        new.executescript(SCHEMA)
        try:
            old = sqlite3.connect(damaged, isolation_level=None)
        except sqlite3.Error:
            return 0
        with closing(old):
            new.execute("BEGIN")
            kept = sum(_carry_over(old, new, table, columns) for table, columns in TABLES.items())
            # What a stream says of its end holds for the records that are there.
            new.execute(
                "UPDATE streams SET last = COALESCE((SELECT MAX(sequence) FROM records WHERE stream = streams.id), "
                "acknowledged)"
            )
            new.execute("COMMIT")
        return kept


def _carry_over(old: sqlite3.Connection, new: sqlite3.Connection, table: str, columns: int) -> int:
    """From both ends, for the damage may be in the middle."""
    places = ", ".join("?" * columns)
    kept = 0
    for direction in ("ASC", "DESC"):
        with suppress(sqlite3.Error):
            for row in old.execute(f"SELECT * FROM {table} ORDER BY 1 {direction}"):  # noqa: S608 - our own names
                kept += new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row).rowcount  # noqa: S608
    return kept
