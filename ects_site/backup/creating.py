"""Makes a backup of the running installation."""

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from ects_site import environment
from ects_site.backup import Refused, archive
from ects_site.backup.archive import DATABASE, SECRETS, SETTINGS, Manifest
from ects_site.backup.mysql import Mysql
from ects_site.backup.sqlite import Sqlite


def database() -> Sqlite | Mysql:
    """The installation's."""
    configured = settings.DATABASES["default"]
    return Mysql(configured) if connection.vendor == "mysql" else Sqlite(Path(configured["NAME"]))


def back_up(target: Path, now: datetime) -> Path:
    """Writes the archive, mode 0600, durable when this returns; in a directory, under a name with the time. The path.

    Raises Refused, or OSError.
    """
    if target.is_dir():
        target = target / f"ects-{now:%Y%m%dT%H%M%SZ}.tar"
    if target.exists():
        raise Refused(f"{target} exists: a backup is never overwritten")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            stream_backup(file, now, beside=target.parent)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def stream_backup(file: BinaryIO, now: datetime, beside: Path | None = None) -> None:
    """Writes the archive into a file that need not be seekable. ``beside``: where there is room for the dump. Raises
    Refused, also when there is nothing: whoever names another place by mistake would keep empty archives."""
    if database().is_empty():
        raise Refused("the database has no tables: is this the right ECTS_DATA_DIR or ECTS_DATABASE_URL?")
    with tempfile.TemporaryDirectory(prefix=".ects-backup-", dir=beside) as directory:
        members = dict(_members(Path(directory)))
        files = {}
        for name, path in members.items():
            with path.open("rb") as member:
                files[name] = archive.digest(member)
        manifest = Manifest(
            version=settings.VERSION,
            created=now,
            host=socket.gethostname(),
            database=database().name,
            migrations=tuple(
                sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())
            ),
            files=files,
        )
        archive.pack(file, manifest, members)


def _members(directory: Path) -> Iterator[tuple[str, Path]]:
    before = {name: environment.secret(name.upper()) for name in SECRETS}
    database().dump(dump := directory / "dump.gz")
    yield DATABASE, dump
    for name in SECRETS:
        # A key may be replaced meanwhile, and the dump be of before it or of after it.
        lines = [*environment.secret(name.upper()).splitlines(), *before[name].splitlines()]
        path = directory / name
        path.write_text("".join(f"{line}\n" for line in dict.fromkeys(lines)))
        yield f"secrets/{name}", path
    if environment.settings_file().exists():
        yield SETTINGS, Path(shutil.copy(environment.settings_file(), directory / SETTINGS))
