"""SQLite: whether its file can be used where it is to lie, and what is in it."""

import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from django.utils.translation import gettext as _

from ects_site.probes import contents
from ects_site.probes.contents import Contents
from ects_site.probes.report import Report

FIELD = "choice"
"""The choice of the database in a form: SQLite has no field of its own."""


def examine(file: Path, report: Report) -> Contents:
    """Tests the directory by a database that is deleted again, and reads the file if it is there."""
    trial = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _try(trial, report)
        found = _read(file) if file.exists() else Contents()
    except (OSError, sqlite3.Error) as error:
        facts = {"path": str(file), "reason": str(error)}
        report.refuse(FIELD, _("%(path)s cannot be used: %(reason)s") % facts)
        return Contents()
    finally:
        for leftover in file.parent.glob(f"{trial.name}*"):
            with suppress(OSError):
                leftover.unlink()
    report.notes.append(_("SQLite %(version)s in %(path)s") % {"version": sqlite3.sqlite_version, "path": str(file)})
    return found


def _try(trial: Path, report: Report) -> None:
    with closing(sqlite3.connect(trial)) as connection:
        [mode] = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("CREATE TABLE trial (id INTEGER)")
        connection.commit()
    if mode != "wal":
        advice = _("the data directory has no write-ahead log (a network file system?): use a local disk")
        report.refuse(FIELD, advice)


def _read(file: Path) -> Contents:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        ours = [name for name in tables if not name.startswith("sqlite_")]
        return contents.read(ours, lambda query: connection.execute(query).fetchall())
