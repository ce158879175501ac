"""MySQL and MariaDB: signing in, making and using tables, version and settings of the server, and what is there."""

import re
import secrets
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from ects_site import mysql
from ects_site.configuration_file import Database
from ects_site.mysql import CannotMake, MySQLdb
from ects_site.probes import contents, papers
from ects_site.probes.contents import Contents
from ects_site.probes.report import Report

OLDEST = {"MariaDB": (10, 5), "MySQL": (8, 0, 11)}
"""What Django 5.2 supports (its database notes)."""

PACKET = 32 << 20
"""Bytes of the largest statement that the server should take: batches of output are large."""

MUCH_SKEW = 2.0
"""Seconds between the server's clock and ours."""

TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"

SERVER = (
    "SELECT VERSION(), @@GLOBAL.read_only, @@GLOBAL.sql_mode, @@GLOBAL.max_allowed_packet, UTC_TIMESTAMP(6), "
    "CONVERT_TZ('2000-01-01 12:00:00', 'UTC', 'Asia/Shanghai'), @@default_storage_engine"
)

TRIAL = (
    "CREATE TABLE {one} (id BIGINT AUTO_INCREMENT PRIMARY KEY, words VARCHAR(20)) CHARACTER SET utf8mb4",
    "CREATE TABLE {two} (id BIGINT PRIMARY KEY, one_id BIGINT)",
    "ALTER TABLE {two} ADD CONSTRAINT {two}_fk FOREIGN KEY (one_id) REFERENCES {one} (id)",
    "CREATE INDEX {one}_words ON {one} (words)",
    "INSERT INTO {one} (words) VALUES ('时钟 ⏰')",
    "UPDATE {one} SET words = 'x' WHERE words = '时钟 ⏰'",
    "DELETE FROM {one}",
)
"""What migrations and the console do."""


def examine(database: Database, report: Report) -> Contents:
    """Tests it. A database that is missing is made to see whether that works, and removed again."""
    _see_papers(database, report)
    if report.wrong:
        return Contents()
    try:
        with closing(mysql.connect(database)) as connection, closing(connection.cursor()) as cursor:
            try:
                _see_server(cursor, report)
                is_new = _make(cursor, database, report)
                try:
                    cursor.execute(f"USE `{database.name}`")
                    found = contents.read([name for (name,) in _rows(cursor, TABLES)], lambda q: _rows(cursor, q))
                    _try(cursor)
                finally:
                    if is_new:
                        _remove(cursor, database)
            except MySQLdb.Error as error:
                raise mysql.in_words(error, database) from None
    except CannotMake as error:
        report.refuse(error.field, str(error))
        return Contents()
    return found


def _see_papers(database: Database, report: Report) -> None:
    if not (database.ca or database.certificate or database.key):
        return
    if database.tls == "none":
        report.refuse("tls", _("files for TLS are named: choose TLS, or leave them out"))
    else:
        papers.context(database.ca, database.certificate, database.key, report)


def _rows(cursor: Any, query: str) -> list[Any]:
    cursor.execute(query)
    return list(cursor.fetchall())


def _see_server(cursor: Any, report: Report) -> None:
    [[version, read_only, mode, packet, now, converted, engine]] = _rows(cursor, SERVER)
    kind = "MariaDB" if "mariadb" in version.lower() else "MySQL"
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    report.notes.append(_("%(kind)s %(version)s lets this user in") % {"kind": kind, "version": version})
    if numbers < OLDEST[kind]:
        facts = {"version": version, "kind": kind, "oldest": ".".join(map(str, OLDEST[kind]))}
        report.refuse("host", _("this is %(version)s: %(kind)s %(oldest)s or newer is needed") % facts)
    if str(read_only).upper() in ("1", "ON"):
        report.refuse("host", _("this server is read-only, perhaps a replica: name the one that is written to"))
    if engine != "InnoDB":
        report.refuse("host", _("the server's default_storage_engine is %(engine)s, not InnoDB") % {"engine": engine})
    report.notes += _advice(mode, packet, now, converted)


def _advice(mode: str, packet: int, now: datetime, converted: datetime | None) -> list[str]:
    """What works, but could be better."""
    said = []
    if "STRICT" not in mode:
        said.append(
            _("sql_mode of the server is not strict; ECTS asks for STRICT_TRANS_TABLES on each of its connections")
        )
    if packet < PACKET:
        size = {"size": packet >> 20}
        said.append(_("max_allowed_packet is %(size)d MB: set 64M, for large batches of output") % size)
    if converted is None:
        said.append(
            _(
                "the server has no time-zone tables; ECTS does without, reports of your own in SQL may not: "
                "mariadb-tzinfo-to-sql /usr/share/zoneinfo | mariadb mysql"
            )
        )
    skew = abs((now.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds())
    if skew > MUCH_SKEW:
        said.append(
            _("the server's clock differs from this machine's by %(skew).1f s: run NTP on both") % {"skew": skew}
        )
    return said


def _make(cursor: Any, database: Database, report: Report) -> bool:
    """Whether the database was made just now."""
    cursor.execute(mysql.CHARSET, [database.name])
    facts = {"name": database.name}
    if found := cursor.fetchone():
        mysql.check_charset(database.name, found[0])
        report.notes.append(_("the database %(name)s is there") % facts)
        return False
    cursor.execute(f"CREATE DATABASE `{database.name}` CHARACTER SET utf8mb4")
    report.notes.append(_("the database %(name)s is not there yet: it will be made") % facts)
    return True


def _try(cursor: Any) -> None:
    """Makes, fills and changes two tables, and drops them."""
    name = f"ects_trial_{secrets.token_hex(6)}"
    names = {"one": f"{name}_a", "two": f"{name}_b"}
    try:
        for statement in TRIAL:
            cursor.execute(statement.format(**names))
    finally:
        with suppress(MySQLdb.Error):
            cursor.execute("DROP TABLE IF EXISTS {two}, {one}".format(**names))


def _remove(cursor: Any, database: Database) -> None:
    """The database that ``_make`` has made, unless somebody has put something into it meanwhile."""
    with suppress(MySQLdb.Error):
        if not _rows(cursor, TABLES):
            cursor.execute(f"DROP DATABASE `{database.name}`")
