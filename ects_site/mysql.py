"""A MySQL or MariaDB server as an administrator meets it: connecting, making the database, errors in words."""

import errno
from contextlib import closing
from typing import Any

from django.utils.translation import gettext as _

from ects_site import encryption
from ects_site.configuration_file import Database
from ects_site.environment import mysql_options
from ects_site.probes import wire

try:
    import MySQLdb
except ImportError:  # needed on MySQL and MariaDB only
    MySQLdb = None  # type: ignore[assignment]

CONNECT_TIMEOUT = 5
"""Seconds for the server's answer."""

CHARSET = "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = %s"

NO_DATABASE = 1049
"""Unknown database (MySQL's error reference)."""

NO_TLS = 2026
"""The TLS connection failed, or the server has none (CR_SSL_CONNECTION_ERROR)."""

REFUSED = (1045, 1698)
"""Access denied, by password, and by a plugin that asks for none."""

NO_RIGHT = (1044, 1142, 1227, 1370)
"""Access denied to a database, to a table, for want of a privilege."""

UNREACHED = (2002, 2003, 2005)
"""Cannot connect by socket, or by TCP; no such host."""


class CannotMake(Exception):
    """There is no such database and it cannot be made, or it is of no use. ``field``: of the database's section."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


def create_database(database: Database) -> bool:
    """Makes the database unless it exists; whether it was made. Raises CannotMake."""
    with closing(connect(database)) as connection, closing(connection.cursor()) as cursor:
        try:
            cursor.execute(CHARSET, [database.name])
            if found := cursor.fetchone():
                check_charset(database.name, found[0])
                return False
            cursor.execute(f"CREATE DATABASE `{database.name}` CHARACTER SET utf8mb4")
            return True
        except MySQLdb.Error as error:
            raise in_words(error, database) from None


def connect(database: Database, **more: Any) -> "MySQLdb.Connection":
    """A connection to the server, to no database unless ``more`` names one (``db``). Raises CannotMake."""
    if MySQLdb is None:
        raise CannotMake(
            "host",
            _("the driver for MySQL is missing: %(packages)s, then %(install)s")
            % {
                "packages": "apt-get install gcc pkg-config libmariadb-dev python3-dev",
                "install": ".venv/bin/pip install -r requirements-mysql.txt",
            },
        )
    options = mysql_options(database.tls_options)
    try:
        connection = _connection(database, **options, **more)
        with closing(connection.cursor()) as cursor:
            is_plain = encryption.is_plain(cursor, options)
    except MySQLdb.Error as error:
        if error.args[0] in REFUSED and not database.tls_options and _is_let_in_by_tls(database):
            sentence = _("the server lets %(user)s in over TLS only: choose TLS, or name its CA")
            raise CannotMake("tls", sentence % {"user": database.user}) from None
        raise in_words(error, database) from None
    if is_plain:
        connection.close()
        raise CannotMake("tls", _("the server has no TLS: switch it on there, or choose none"))
    return connection


def _connection(database: Database, **more: Any) -> "MySQLdb.Connection":
    place = {"unix_socket": database.host} if database.is_socket else {"host": database.address, "port": database.port}
    return MySQLdb.connect(
        **place,
        user=database.user,
        passwd=database.password,
        charset="utf8mb4",
        connect_timeout=CONNECT_TIMEOUT,
        **more,
    )


def _is_let_in_by_tls(database: Database) -> bool:
    """To a user who has to come over TLS the server says what it says of a wrong password."""
    try:
        _connection(database, ssl_mode="REQUIRED").close()
    except MySQLdb.Error:
        return False
    return True


def in_words(error: Any, database: Database) -> CannotMake:
    """The driver's error as one of ours, with the field to blame."""
    code, said = (error.args[0], str(error.args[-1])) if error.args else (0, str(error))
    if code in UNREACHED:
        return _unreached(database, said)
    facts = {"user": database.user, "name": database.name, "said": said}
    if code in REFUSED and database.tls_options and not database.certificate:
        sentence = _(
            "the server refuses %(user)s with this password and no certificate: check both, from where it may sign in, "
            "and whether it has to show one"
        )
        return CannotMake("password", f"{sentence % facts} ({said})")
    if code in REFUSED:
        sentence = _("the server refuses %(user)s with this password: check both, and from where it may sign in")
        return CannotMake("password", f"{sentence % facts} ({said})")
    if code in NO_RIGHT:
        sentence = _("%(user)s may not do this. As the server's administrator: %(grant)s")
        return CannotMake("user", f"{sentence % {**facts, 'grant': grant(database)}} ({said})")
    if code == NO_TLS:
        sentence = _(
            "no TLS to this server: %(said)s. Name the CA that signed its certificate, and the host as in it; "
            "localhost is asked as 127.0.0.1"
        )
        return CannotMake("ca" if database.ca else "tls", sentence % facts)
    if code == NO_DATABASE:
        return CannotMake("name", _("there is no database %(name)s") % facts)
    if code == 1130:
        return CannotMake("user", _("the server lets nobody in from this machine: %(said)s") % facts)
    return CannotMake("host", said)


def grant(database: Database) -> str:
    """The statements with which an administrator lets the user in."""
    return (
        f"CREATE DATABASE IF NOT EXISTS `{database.name}` CHARACTER SET utf8mb4; "
        f"GRANT ALL PRIVILEGES ON `{database.name}`.* TO '{database.user}'@'%';"
    )


def _unreached(database: Database, said: str) -> CannotMake:
    if database.is_socket:
        return CannotMake("host", _("no server listens at the socket %(path)s: %(said)s") % _socket(database, said))
    try:
        wire.connect(database.address, database.port).close()
    except OSError as error:
        blamed = "port" if error.errno == errno.ECONNREFUSED else "host"
        return CannotMake(blamed, f"{database.address}:{database.port}: {wire.why(error)}")
    return CannotMake("host", said)


def _socket(database: Database, said: str) -> dict[str, str]:
    return {"path": database.host, "said": said}


def check_charset(name: str, charset: str) -> None:
    """Raises CannotMake unless every text can be held."""
    if charset != "utf8mb4":
        raise CannotMake(
            "name",
            _("%(name)s is in %(charset)s, which cannot hold every text: %(statement)s")
            % {
                "name": name,
                "charset": charset,
                "statement": f"ALTER DATABASE `{name}` CHARACTER SET utf8mb4",
            },
        )
