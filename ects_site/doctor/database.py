"""The database: reachable, of a fitting version and setting, and with all migrations."""

from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from coordination.addresses import is_loopback
from coordination.finding import Finding, fail, ok, warn

MUCH_SKEW = 2.0
"""Seconds between the database server's clock and ours."""


def check() -> Iterator[Finding]:
    """Findings on the database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sqlite_version()" if connection.vendor == "sqlite" else "SELECT VERSION()")
            version = cursor.fetchone()[0]
    except DatabaseError as error:
        advice = "Start it, or correct ECTS_DATABASE_URL; what follows may need it. See docs/how-to/mysql.md."
        if connection.vendor == "sqlite":
            advice = f"Is {connection.settings_dict['NAME']} there for this user, on a disk that works?"
        yield fail("database", f"does not answer: {error.args[-1]}", advice)
        return
    yield ok("database", f"{connection.display_name} {version} answers")
    executor = MigrationExecutor(connection)
    if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        yield fail("database", f"{len(missing)} migrations are not applied", "Run manage.py migrate.")
    if connection.vendor == "mysql":
        yield from _mysql()
    else:
        yield from _sqlite()


def _sqlite() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA quick_check(1)")
        said = cursor.fetchone()[0]
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()[0]
    if said != "ok":
        yield fail("database", f"the file is damaged: {said}", "Stop everything and restore a backup.")
    if mode != "wal":
        advice = "Move the data directory to a local disk: network file systems have no write-ahead log."
        yield warn("database", f"the journal mode is {mode}, not wal", advice)


def _mysql() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@sql_mode, @@character_set_database, @@max_allowed_packet, UTC_TIMESTAMP(6)")
        mode, charset, packet, there = cursor.fetchone()
        cursor.execute("SHOW VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')")
        isolation = cursor.fetchall()[0][1]
        cursor.execute("SELECT CONVERT_TZ('2026-01-01 00:00:00', 'UTC', 'Europe/Berlin')")
        has_zones = cursor.fetchone()[0] is not None
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        cipher = cursor.fetchone()[1]
    host = connection.settings_dict["HOST"]
    # Without a host it is a socket.
    if host and not cipher and not is_loopback(host):
        advice = "Put ?ssl_mode=VERIFY_IDENTITY&ssl_ca=FILE at the end of ECTS_DATABASE_URL: docs/how-to/mysql.md."
        yield warn("database", "the connection is not encrypted: passwords and secrets cross the network", advice)
    if isolation != "READ-COMMITTED":
        words = f"our transactions are {isolation}: they would wait for each other, and read what is outdated"
        yield fail("database", words, "Take isolation_level out of ECTS_DATABASE_URL.")
    if not has_zones:
        advice = "mariadb-tzinfo-to-sql (mysql_tzinfo_to_sql) /usr/share/zoneinfo | mariadb mysql, on the server."
        yield warn("database", "has no time-zone tables: ECTS does without, reports of your own in SQL may not", advice)
    if "STRICT" not in mode:
        words = f"sql_mode is {mode or 'empty'}: values would be cut silently"
        yield fail("database", words, "Add STRICT_TRANS_TABLES.")
    if charset != "utf8mb4":
        advice = "ALTER DATABASE … CHARACTER SET utf8mb4, and convert its tables."
        yield fail("database", f"the character set is {charset}", advice)
    if packet < 32 << 20:
        advice = "Set max_allowed_packet=64M in the server's configuration."
        yield warn("database", f"max_allowed_packet is {packet >> 20} MB: batches of output may not fit", advice)
    skew = abs((_aware(there) - timezone.now()).total_seconds())
    if skew > MUCH_SKEW:
        yield warn("database", f"the server's clock differs from this host's by {skew:.1f} s", "Run NTP on both.")


def _aware(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
