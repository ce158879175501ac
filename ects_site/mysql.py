"""Makes the database on a MySQL or MariaDB server."""

from contextlib import closing

from ects_site.configuration_file import Database

try:
    import MySQLdb
except ImportError:  # needed on MySQL and MariaDB only
    MySQLdb = None  # type: ignore[assignment]

CONNECT_TIMEOUT = 5
"""Seconds for the server's answer."""

CHARSET = """
SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = %s
"""


class CannotMake(Exception):
    """There is no such database and it cannot be made, or it is of no use; the sentence says what to do."""


def create_database(database: Database) -> bool:
    """Makes the database unless it exists; whether it was made. Raises CannotMake."""
    if MySQLdb is None:
        raise CannotMake(
            "the driver for MySQL is missing: apt-get install gcc pkg-config libmariadb-dev python3-dev, "
            "then .venv/bin/pip install -r requirements-mysql.txt"
        )
    try:
        with closing(_connect(database)) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(CHARSET, [database.name])
            if found := cursor.fetchone():
                _check_charset(database.name, found[0])
                return False
            cursor.execute(f"CREATE DATABASE `{database.name}` CHARACTER SET utf8mb4")
            return True
    except MySQLdb.Error as error:
        raise CannotMake(f"database: {error.args[-1]}") from None


def _connect(database: Database) -> "MySQLdb.Connection":
    place = {"unix_socket": database.host} if database.is_socket else {"host": database.address, "port": database.port}
    return MySQLdb.connect(
        **place, user=database.user, passwd=database.password, charset="utf8mb4", connect_timeout=CONNECT_TIMEOUT
    )


def _check_charset(name: str, charset: str) -> None:
    if charset != "utf8mb4":
        raise CannotMake(
            f"database.name: {name} is in {charset}, which cannot hold every text: "
            f"ALTER DATABASE `{name}` CHARACTER SET utf8mb4"
        )
