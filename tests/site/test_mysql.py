"""How the console speaks to MySQL and MariaDB: strict, READ COMMITTED, utf8mb4; limits that a migration has not."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import MySQLdb
import pytest

from tests.site.processes import ROOT, environment

ASKED = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT @@sql_mode, @@character_set_connection, @@innodb_lock_wait_timeout")
    print(*cursor.fetchone())
    # One of them has another name from MariaDB 11 on.
    cursor.execute("SHOW VARIABLES WHERE variable_name IN ('tx_isolation', 'transaction_isolation')")
    print({value for _, value in cursor.fetchall()})
print(*(connection.settings_dict[name] for name in ("CONN_HEALTH_CHECKS", "CONN_MAX_AGE")))
print(*(connection.settings_dict["OPTIONS"][name] for name in ("connect_timeout", "read_timeout", "write_timeout")))
"""

SLOW = """
from django.core.management import call_command
from django.core.management.commands import migrate
from django.db import OperationalError, connection
def slow(self, *args, **options):
    with connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(3)")
migrate.Command.handle = slow
connection.settings_dict["OPTIONS"]["read_timeout"] = 1
call_command("migrate")
print("migrated")
try:
    slow(None)
except OperationalError as error:
    print("limited", error.args[0])
"""


@pytest.fixture(scope="module")
def url(mariadb_socket: str) -> Iterator[str]:
    with closing(MySQLdb.connect(unix_socket=mariadb_socket, user="root")) as server, server.cursor() as cursor:
        cursor.execute("CREATE DATABASE spoken CHARACTER SET utf8mb4")
        yield f"mysql://root@/spoken?unix_socket={mariadb_socket}"
        cursor.execute("DROP DATABASE spoken")


def said(url: str, directory: Path, script: str) -> list[str]:
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", script]
    env = environment(directory, ECTS_DATABASE_URL=url)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_connection_is_as_it_must_be(url: str, tmp_path: Path) -> None:
    assert said(url, tmp_path, ASKED) == [
        "STRICT_TRANS_TABLES utf8mb4 20",
        "{'READ-COMMITTED'}",
        "True 60",
        "5 60 60",
    ]


def test_a_migration_may_take_longer_than_a_request(url: str, tmp_path: Path) -> None:
    assert said(url, tmp_path, SLOW) == ["migrated", "limited 2013"]


def test_the_server_converts_no_time_zones() -> None:
    """It would need tables that MariaDB does not have after its installation, and answer NULL without them."""
    converting = re.compile(r"\bTrunc[A-Z]\w+|\bdate_hierarchy\b|__(?:date|year|month|week|day|hour|time)\b(?!_)")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for folder in ("ects_site", "logs", "pipelines", "tasks", "workers")
        for path in (ROOT / folder).rglob("*.py")
        for match in converting.finditer(path.read_text())
    ]
    assert found == []
