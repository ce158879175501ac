"""MySQL's and MariaDB's part: their own programs, which read the password from a file that only this user can read."""

import gzip
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.db import connection

from ects_site.backup import Refused, archive

DUMPERS = ("mariadb-dump", "mysqldump")
CLIENTS = ("mariadb", "mysql")

DUMP = (
    *("--single-transaction", "--quick", "--skip-lock-tables", "--skip-add-locks", "--no-tablespaces"),
    *("--hex-blob", "--skip-comments"),
)
"""One consistent snapshot that nobody has to wait for; no privilege beyond those of the installation's user."""


OTHERS = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()"


class Mysql:
    """The database of the installation; ``settings`` are Django's for it."""

    name = "mysql"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def dump(self, target: Path) -> None:
        """A packed dump as of one moment. Raises Refused."""
        with _options(self._settings) as options, gzip.open(target, "wb", compresslevel=6) as packed:
            command = [_program(DUMPERS), f"--defaults-extra-file={options}", *DUMP, str(self._settings["NAME"])]
            with _running(command, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                shutil.copyfileobj(process.stdout, packed, archive.PIECE)

    def is_empty(self) -> bool:
        """Whether there is no table."""
        return not connection.introspection.table_names()

    def users(self) -> int:
        """Other connections to it; those of other accounts may be hidden."""
        with connection.cursor() as cursor:
            cursor.execute(OTHERS, [self._settings["NAME"]])
            return int(cursor.fetchone()[0])

    def load(self, dump: BinaryIO, stamp: str) -> str:
        """Drops every table and loads the dump. Raises Refused; the database is then neither the old nor the new."""
        names = connection.introspection.table_names()
        with connection.constraint_checks_disabled(), connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"DROP TABLE {connection.ops.quote_name(name)}")
        connection.close()
        with _options(self._settings) as options:
            command = [_program(CLIENTS), f"--defaults-extra-file={options}", str(self._settings["NAME"])]
            with _running(command, stdin=subprocess.PIPE) as process:
                assert process.stdin is not None
                try:
                    shutil.copyfileobj(dump, process.stdin, archive.PIECE)
                    process.stdin.close()
                except BrokenPipeError:
                    pass  # it has ended, and says why
        return f"dropped {len(names)} tables that were there" if names else ""


@contextmanager
def _running(command: list[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Raises Refused with what the program says when it fails."""
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stderr=errors, **streams) as process:
            yield process
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            raise Refused(f"{command[0]}: {said[-500:] or f'ended with status {process.returncode}'}")


def _program(names: tuple[str, ...]) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise Refused(f"{names[0]} is missing: apt-get install mariadb-client (or MySQL's own)")
    return found


@contextmanager
def _options(settings: Mapping[str, Any]) -> Iterator[Path]:
    """An option file with everything that the programs need; passwords on command lines are for all to see."""
    given = settings.get("OPTIONS", {})
    ssl, mode = given.get("ssl") or {}, given.get("ssl_mode", "")
    wanted = {
        "user": settings["USER"],
        "password": settings["PASSWORD"],
        "host": settings["HOST"],
        "port": settings["PORT"],
        "socket": given.get("unix_socket"),
        "ssl-ca": ssl.get("ca"),
        "ssl-cert": ssl.get("cert"),
        "ssl-key": ssl.get("key"),
        # MariaDB's and MySQL's programs have no option for it in common; what one does not know it passes over.
        "loose-ssl": mode and "1",
        "loose-ssl-verify-server-cert": mode == "VERIFY_IDENTITY" and "1",
        "loose-ssl-mode": mode,
        "default-character-set": "utf8mb4",
    }
    lines = ["[client]", *(f"{name}={_quoted(str(value))}" for name, value in wanted.items() if value)]
    # Made with mode 0600.
    with tempfile.NamedTemporaryFile("w", prefix="ects-", suffix=".cnf") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        yield Path(file.name)


def _quoted(value: str) -> str:
    """For an option file; its only escapes are by backslash."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
