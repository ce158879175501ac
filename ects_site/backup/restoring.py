"""Restores a backup: checks it, puts keys and settings in their place, loads the database, brings it up to date.

The keys and settings of the backup count from the process on that begins after they are in place, so this process only
looks; ``apply`` is the work of another one.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from ects_site import environment
from ects_site.backup import Refused
from ects_site.backup.archive import SECRETS, SETTINGS, Archive
from ects_site.backup.creating import database
from ects_site.backup.mysql import Mysql
from ects_site.backup.sqlite import Sqlite
from ects_site.single import CannotStart, sole_owner


def restore(path: Path, *, force: bool) -> int:
    """The exit status of the process that did it. Raises Refused."""
    archive = Archive(path)
    _check_version(archive)
    with TemporaryDirectory(prefix="ects-restore-") as directory:
        kept = environment.settings_file()
        if SETTINGS in archive.names() and (force or not kept.exists()):
            kept = Path(directory) / SETTINGS
            kept.write_text(archive.text(SETTINGS))
            kept.chmod(0o600)
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "restore", str(path.resolve()), "--apply"]
        old = {name: value for name, value in os.environ.items() if name not in settings.FROM_SETTINGS_FILE}
        environ = {**old, "ECTS_SETTINGS_FILE": str(kept), "ECTS_DATA_DIR": str(settings.DATA_DIR)}
        status = subprocess.run([*command, *(["--force"] if force else [])], env=environ, check=False).returncode
        if status == 0 and kept.parent == Path(directory):
            environment.replace_file(environment.settings_file(), kept.read_text())
    return status


def apply(path: Path, now: datetime, *, force: bool) -> list[str]:
    """Under the settings that will count: everything but these. What was moved aside, in sentences. Raises Refused."""
    archive = Archive(path)
    target = database()
    if archive.manifest.database != target.name:
        raise Refused(
            f"this is a backup of {archive.manifest.database}, and ECTS_DATABASE_URL names {target.name}: "
            "restore to the same kind of database"
        )
    stamp = f"{now:%Y%m%dT%H%M%SZ}"
    with _nothing_runs(target):
        if not target.is_empty() and not force:
            raise Refused("there is an installation already: --force replaces its database, keys and settings")
        _check_keys_from_outside(archive)
        target.check_can_load()
        said = _put_secrets(archive, stamp)
        with archive.database() as dump:
            said.append(target.load(dump, stamp))
        connection.close()
        call_command("migrate", verbosity=0, interactive=False)
    return [sentence for sentence in said if sentence]


def _check_version(archive: Archive) -> None:
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    if unknown := set(archive.manifest.migrations) - known:
        raise Refused(
            f"this backup was made by ECTS {archive.manifest.version}, whose tables this version "
            f"({settings.VERSION}) does not know ({min(unknown)}): install that version first"
        )


@contextmanager
def _nothing_runs(target: Sqlite | Mysql) -> Iterator[None]:
    """As far as can be seen from here."""
    if users := target.users():
        raise Refused(f"{users} other connections to the database are open: stop web processes and masters first")
    try:
        with sole_owner(settings.DATA_DIR):
            yield
    except CannotStart:
        raise Refused(f"ECTS is running on {settings.DATA_DIR}: stop it first") from None


def _check_keys_from_outside(archive: Archive) -> None:
    """Nothing that the backup's key has encrypted opens under another one."""
    given = environment.secret_from("ECTS_ENCRYPTION_KEY").split()
    if given and archive.text("secrets/encryption_key").split()[0] not in given:
        raise Refused(
            "ECTS_ENCRYPTION_KEY of this environment is not the backup's, which would open nothing: take the backup's, "
            "tar -xOf FILE secrets/encryption_key"
        )


def _put_secrets(archive: Archive, stamp: str) -> list[str]:
    said = []
    for name in SECRETS:
        if environment.secret_from(f"ECTS_{name.upper()}"):
            continue
        path, wanted = environment.secret_path(name), archive.text(f"secrets/{name}")
        if path.exists() and path.read_text().split() != wanted.split():
            aside = path.with_name(f"{name}.before-restore-{stamp}")
            path.rename(aside)
            said.append(f"the {name} that was there is in {aside}")
        environment.replace_file(path, wanted)
    return said
