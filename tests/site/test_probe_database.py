"""What the set-up says of a database, each sentence beside the right field, against a real MariaDB."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import MySQLdb
import pytest
from msgspec import structs

from ects_site.configuration_file import Database
from ects_site.probes import database as probes
from ects_site.probes.contents import UNFINISHED
from tests.etcd_server import free_ports
from tests.site.processes import manage


@pytest.fixture(scope="module")
def sql(mariadb_socket: str) -> Iterator[object]:
    """Runs statements as root."""
    connection = MySQLdb.connect(unix_socket=mariadb_socket, user="root", autocommit=True)

    def run(*statements: str) -> list[str]:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return [row[0] for row in cursor.fetchall()]

    run(
        "CREATE USER ects@localhost IDENTIFIED BY 'right'",
        "GRANT ALL PRIVILEGES ON `fresh`.* TO ects@localhost",
        "CREATE DATABASE `reading` CHARACTER SET utf8mb4",
        "GRANT SELECT ON `reading`.* TO ects@localhost",
        "CREATE DATABASE `narrow` CHARACTER SET latin1",
        "GRANT ALL PRIVILEGES ON `narrow`.* TO ects@localhost",
    )
    yield run
    connection.close()


@pytest.fixture
def right(mariadb_socket: str, sql: object) -> Database:
    return Database(name="fresh", user="ects", password="right", host=mariadb_socket)


def _wrong(database: Database, tmp_path: Path, **changes: object) -> dict[str, str]:
    report = probes.probe(structs.replace(database, **changes), tmp_path / "unused")
    assert report.wrong
    return dict(report.wrong)


def test_a_missing_database_is_tried_and_left_to_be_made(right: Database, sql, tmp_path: Path) -> None:
    report = probes.probe(right, tmp_path / "unused")
    assert report.wrong == []
    assert report.holds == []
    assert "the database fresh is not there yet: it will be made" in report.notes
    assert any(note.startswith("MariaDB 1") for note in report.notes)
    assert any("time-zone tables" in note for note in report.notes)
    assert "fresh" not in sql("SHOW DATABASES")


def test_who_is_not_let_in(right: Database, tmp_path: Path) -> None:
    [port] = free_ports(1)
    assert "refuses ects" in _wrong(right, tmp_path, password="wrong")["password"]
    said = _wrong(right, tmp_path, name="forbidden")["user"]
    assert "GRANT ALL PRIVILEGES ON `forbidden`.* TO 'ects'" in said
    assert "may not do this" in _wrong(right, tmp_path, name="reading")["user"]
    assert "is refused" in _wrong(right, tmp_path, host="127.0.0.1", port=port)["port"]
    assert "no machine of this name" in _wrong(right, tmp_path, host="no-such-host.invalid")["host"]
    assert "no server listens at the socket" in _wrong(right, tmp_path, host="/nowhere/socket")["host"]
    assert "ALTER DATABASE `narrow`" in _wrong(right, tmp_path, name="narrow")["name"]


def test_tls_that_is_required_of_a_server_that_has_none(right: Database, tmp_path: Path) -> None:
    assert "has no TLS" in _wrong(right, tmp_path, tls="required")["tls"]
    url = structs.replace(right, name="reading", tls="required").url()
    refused = manage(tmp_path, "backup", str(tmp_path / "backup.tar"), ECTS_DATABASE_URL=url)
    assert refused.returncode == 1
    assert "TLS is required" in refused.stderr


def test_tables_of_something_else_are_told(mariadb_socket: str, sql, tmp_path: Path) -> None:
    sql("CREATE DATABASE shop CHARACTER SET utf8mb4", "CREATE TABLE shop.orders (id INT)")
    report = probes.probe(Database(name="shop", user="root", host=mariadb_socket), tmp_path / "unused")
    assert report.holds == ["shop holds 1 table that ECTS has not made: orders."]
    assert sql("SHOW TABLES IN shop") == ["orders"]


def test_what_was_cut_off_need_not_be_agreed_to(mariadb_socket: str, sql, tmp_path: Path) -> None:
    sql("CREATE DATABASE half CHARACTER SET utf8mb4", f"CREATE TABLE half.{UNFINISHED} (id INT)")
    report = probes.probe(Database(name="half", user="root", host=mariadb_socket), tmp_path / "unused")
    assert report.contents.is_unfinished
    assert report.holds == []


def test_sqlite_in_a_new_directory(tmp_path: Path) -> None:
    report = probes.probe(None, tmp_path / "new" / "ects.sqlite3")
    assert report.wrong == []
    assert report.holds == []
    assert list((tmp_path / "new").iterdir()) == []


def test_sqlite_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("this is no database, and no directory either")
    assert "cannot be used" in dict(probes.probe(None, tmp_path / "file" / "ects.sqlite3").wrong)["choice"]
    assert "file is not a database" in dict(probes.probe(None, tmp_path / "file").wrong)["choice"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sqlite_that_holds_something(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ects.sqlite3") as connection:
        connection.execute("CREATE TABLE notes (id INTEGER)")
    [said] = probes.probe(None, tmp_path / "ects.sqlite3").holds
    assert said.endswith("ects.sqlite3 holds 1 table that ECTS has not made: notes.")
