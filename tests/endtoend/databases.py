"""A database of its own for each installation: on SQLite by its data directory, on MariaDB made here."""

import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import MySQLdb


def own(environment: Mapping[str, str]) -> dict[str, str]:
    """What names the database of a new installation, when the environment names a server by its socket."""
    url = environment.get("ECTS_DATABASE_URL", "")
    if not url.startswith("mysql://"):
        return {}
    name = f"ects_{secrets.token_hex(4)}"
    execute(url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    parts = urlsplit(url)
    return {"ECTS_DATABASE_URL": parts._replace(path=f"/{name}").geturl()}


def execute(url: str, statement: str) -> Any:
    """One statement on the server, not in any database; its rows."""
    with _connected(url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@contextmanager
def locked(environment: Mapping[str, str], directory: Path) -> Iterator[None]:
    """Nobody else can write meanwhile."""
    url = environment.get("ECTS_DATABASE_URL", "")
    if url.startswith("mysql://"):
        with _connected(url) as connection, connection.cursor() as cursor:
            cursor.execute("FLUSH TABLES WITH READ LOCK")
            yield
        return
    with closing(sqlite3.connect(directory / "ects.sqlite3", timeout=20, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    socket = parse_qs(urlsplit(url).query)["unix_socket"][0]
    with closing(MySQLdb.connect(unix_socket=socket, user="root")) as connection:
        yield connection


def name_of(url: str) -> str:
    """The database that a URL names."""
    return urlsplit(url).path.strip("/")
