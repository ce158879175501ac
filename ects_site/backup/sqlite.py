"""SQLite's part: a consistent copy by its backup interface, which no writer has to wait for."""

import gzip
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from ects_site.backup import Refused, archive

SIDES = ("", "-wal", "-shm")
"""What belongs to a database in write-ahead mode."""


class Sqlite:
    """The file of the installation."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path

    def check_can_load(self) -> None:
        """It can: that takes no other program."""

    def dump(self, target: Path) -> None:
        """A packed copy as of one moment."""
        copy = target.with_suffix(".copy")
        with closing(sqlite3.connect(self._path)) as source, closing(sqlite3.connect(copy)) as found:
            source.backup(found)
        with copy.open("rb") as file, gzip.open(target, "wb", compresslevel=6) as packed:
            shutil.copyfileobj(file, packed, archive.PIECE)
        copy.unlink()

    def is_empty(self) -> bool:
        """Whether there is no table."""
        if not self._path.exists():
            return True
        with closing(sqlite3.connect(self._path)) as database:
            return database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,)

    def users(self) -> int:
        """Cannot be told of a file."""
        return 0

    def load(self, dump: BinaryIO, stamp: str) -> str:
        """Puts the copy in its place, at once; what was there is moved aside, and the sentence says where to."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_name(f".{self._path.name}.restored-{stamp}")
        archive.put_away(draft, dump)
        with closing(sqlite3.connect(draft)) as database:
            [(said,)] = database.execute("PRAGMA quick_check(1)")
            if said != "ok":
                raise Refused(f"the database in the backup is damaged: {said}")
        aside = self._path.with_name(f"{self._path.name}.before-restore-{stamp}")
        was_empty = self.is_empty()
        for side in reversed(SIDES):
            old = self._path.with_name(self._path.name + side)
            if old.exists():
                old.rename(aside.with_name(aside.name + side))
        draft.rename(self._path)
        _sync(self._path.parent)
        if was_empty:
            for side in SIDES:
                aside.with_name(aside.name + side).unlink(missing_ok=True)
            return ""
        return f"what was there is in {aside}"


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
