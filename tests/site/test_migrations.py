"""Migrations while everything goes on: none copies or locks a table of the history, and none breaks the version before,
whose processes run until the last of them is restarted."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import MySQLdb
import pytest
from django.db import migrations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from tests.site.online_migrations import online
from tests.site.processes import ROOT, environment

OURS = ("logs", "pipelines", "tasks", "workers")
FIRST_RELEASE = {"logs": 5, "pipelines": 4, "tasks": 1, "workers": 3}
"""The last migration of each app that 0.1.0 has."""

BREAKING = (migrations.RenameField, migrations.RenameModel, migrations.RemoveField, migrations.DeleteModel)
"""The version before reads and writes what these take away. Stop using it in one release, take it away in the next."""

TAKEN_AWAY: set[str] = set()
"""``app.migration`` of those that take away what the release before does not use any more."""


@pytest.fixture(scope="module")
def database(mariadb_socket: str) -> Iterator[str]:
    """An empty one; its URL."""
    with closing(MySQLdb.connect(unix_socket=mariadb_socket, user="root")) as server, server.cursor() as cursor:
        cursor.execute("CREATE DATABASE online CHARACTER SET utf8mb4")
        yield f"mysql://root@/online?unix_socket={mariadb_socket}"
        cursor.execute("DROP DATABASE online")


def test_no_migration_copies_or_locks_a_table_of_the_history(
    database: str, tmp_path: Path, mariadb_socket: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.site.online_migrations"],
        cwd=ROOT,
        env=environment(tmp_path, ECTS_DATABASE_URL=database),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-300:]}\n{done.stderr[-500:]}\nsee CONTRIBUTING.md, Migrations"
    assert len(re.findall("LOCK=NONE", done.stdout)) >= 20, "it was demanded"
    with (
        closing(MySQLdb.connect(unix_socket=mariadb_socket, user="root", database="online")) as server,
        server.cursor() as cursor,
        pytest.raises(MySQLdb.Error, match=r"ALGORITHM=NOCOPY is not supported"),
    ):
        cursor.execute(online("ALTER TABLE `logs_run` MODIFY `attempt` bigint NOT NULL"))


def later() -> list[tuple[str, Operation]]:
    """What migrations after the first release do, each with its name."""
    found = []
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app in OURS and int(name[:4]) > FIRST_RELEASE[app]:
            found += [(f"{app}.{name}", operation) for operation in migration.operations]
    return found


def test_migrations_only_add_and_what_they_add_needs_no_value_from_the_version_before() -> None:
    assert later(), os.listdir(ROOT / "workers" / "migrations")
    for name, operation in later():
        assert not isinstance(operation, BREAKING) or name in TAKEN_AWAY, f"{name}: {operation.describe()}"
        if isinstance(operation, migrations.AddField):
            field = operation.field
            is_free = field.null or field.has_db_default() or field.many_to_many
            assert is_free, f"{name}: {operation.describe()}: make it null=True, or give it a db_default"
