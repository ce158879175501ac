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
        running = _running(self._settings, DUMPERS, *DUMP, stdout=subprocess.PIPE)
        with gzip.open(target, "wb", compresslevel=6) as packed, running as process:
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

    def check_can_load(self) -> None:
        """Raises Refused unless the program that loads is there and is let in: nothing may be dropped before."""
        with _running(self._settings, CLIENTS, "-e", "SELECT 1", stdout=subprocess.DEVNULL):
            pass

    def load(self, dump: BinaryIO, stamp: str) -> str:
        """Drops every table and loads the dump. Raises Refused; the database is then neither the old nor the new."""
        names = connection.introspection.table_names()
        with connection.constraint_checks_disabled(), connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"DROP TABLE {connection.ops.quote_name(name)}")
        connection.close()
        with _running(self._settings, CLIENTS, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            try:
                shutil.copyfileobj(dump, process.stdin, archive.PIECE)
                process.stdin.close()
            except BrokenPipeError:
                pass  # it has ended, and says why
        return f"dropped {len(names)} tables that were there" if names else ""


@contextmanager
def _running(
    settings: Mapping[str, Any], programs: tuple[str, ...], *words: str, **streams: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """The first of these programs that there is, on the database. Raises Refused when there is none, and with what the
    program says when it fails."""
    program = _program(programs)
    with tempfile.TemporaryFile() as errors, _options(settings, program) as options:
        command = [program, f"--defaults-extra-file={options}", *words, str(settings["NAME"])]
        with subprocess.Popen(command, stderr=errors, **streams) as process:
            yield process
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            raise Refused(f"{program}: {said[-500:] or f'ended with status {process.returncode}'}")


def _program(names: tuple[str, ...]) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise Refused(f"{names[0]} is missing: apt-get install mariadb-client (or MySQL's own)")
    return found


@contextmanager
def _options(settings: Mapping[str, Any], program: str) -> Iterator[Path]:
    """An option file with everything that the program needs; passwords on command lines are for all to see."""
    given = settings.get("OPTIONS", {})
    ssl = given.get("ssl") or {}
    wanted = {
        "user": settings["USER"],
        "password": settings["PASSWORD"],
        "host": settings["HOST"],
        "port": settings["PORT"],
        "socket": given.get("unix_socket"),
        "ssl-ca": ssl.get("ca"),
        "ssl-cert": ssl.get("cert"),
        "ssl-key": ssl.get("key"),
        "default-character-set": "utf8mb4",
        **tls_options(Path(program).name, str(given.get("ssl_mode", ""))),
    }
    lines = ["[client]", *(f"{name}={_quoted(str(value))}" for name, value in wanted.items() if value)]
    # Made with mode 0600.
    with tempfile.NamedTemporaryFile("w", prefix="ects-", suffix=".cnf") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        yield Path(file.name)


def tls_options(program: str, mode: str) -> dict[str, str]:
    """As the driver does it. MariaDB's programs check certificates unless they are told not to, from 11.4 on."""
    if not program.startswith("mariadb"):
        return {"loose-ssl-mode": mode} if mode else {}
    verify = "1" if mode.startswith("VERIFY") else "0"
    encrypt = {"ssl": "0" if mode == "DISABLED" else "1"} if mode else {}
    return {**encrypt, "ssl-verify-server-cert": verify}


def _quoted(value: str) -> str:
    """For an option file; its only escapes are by backslash."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
