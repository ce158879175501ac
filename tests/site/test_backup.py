"""``manage.py backup`` and ``restore``: what is in the archive, and what is refused before anything is changed."""

import io
import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ects_site.backup import Refused
from ects_site.backup.archive import Archive
from ects_site.backup.mysql import _options
from tests.etcd_server import wait_until
from tests.site.processes import ROOT, environment, kill, manage, running


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with an administrator and a secret in its database, and settings."""
    var = tmp_path_factory.mktemp("installed") / "var"
    assert manage(var, "setup", ECTS_ADMIN_PASSWORD="secret-password").returncode == 0
    (var / "settings.env").write_text('ECTS_LANGUAGE="zh-hans"\n')
    made = "from tasks.models import Secret; s = Secret(name='FRUIT'); s.set_value('apple'); s.save()"
    assert manage(var, "shell", "-c", made).returncode == 0
    return var


@pytest.fixture(scope="module")
def archive(installed: Path) -> Path:
    path = installed.parent / "backup.tar"
    made = manage(installed, "backup", str(path))
    assert made.returncode == 0, made.stderr
    assert "It holds every key and secret" in made.stdout
    return path


def fruit(var: Path, **more: str) -> str:
    asked = "from tasks.models import Secret; print(Secret.objects.get().value())"
    return manage(var, "shell", "-v", "0", "-c", asked, **more).stdout.strip()


def test_the_archive_is_for_its_owner_alone_and_holds_everything(installed: Path, archive: Path) -> None:
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    with tarfile.open(archive) as tar:
        members = {entry.name: entry.mode for entry in tar}
    expected = {"manifest.json", "database.gz", "secrets/secret_key", "secrets/encryption_key", "settings.env"}
    assert set(members) == expected
    assert set(members.values()) == {0o600}
    assert not list(archive.parent.glob(".*")), "nothing is left of the making"
    again = manage(installed, "backup", str(archive))
    assert (again.returncode, "never overwritten" in again.stderr) == (1, True)


def test_a_directory_and_a_pipe_are_written_to(installed: Path, archive: Path, tmp_path: Path) -> None:
    assert manage(installed, "backup", str(tmp_path)).returncode == 0
    [made] = tmp_path.glob("ects-*Z.tar")
    piped = subprocess.run(
        [sys.executable, "manage.py", "backup", "-"],
        cwd=ROOT,
        env=environment(installed),
        capture_output=True,
        check=True,
    )
    (tmp_path / "piped.tar").write_bytes(piped.stdout)
    assert Archive(made).names() == Archive(tmp_path / "piped.tar").names() == Archive(archive).names()


def test_there_is_no_backup_of_nothing(tmp_path: Path) -> None:
    refused = manage(tmp_path / "mistaken", "backup", str(tmp_path / "backup.tar"))
    assert (refused.returncode, "has no tables" in refused.stderr) == (1, True)
    assert not (tmp_path / "backup.tar").exists()


@pytest.mark.parametrize("path", ["missing/", "missing/backup.tar"])
def test_a_directory_that_is_missing_is_named(path: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=f"there is no directory {tmp_path}/missing: make it first"):
        call_command("backup", f"{tmp_path}/{path}")


def test_a_database_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path) -> None:
    ended = manage(tmp_path, "node", "drain", "n1")
    assert ended.returncode == 1
    [said] = ended.stderr.splitlines()
    assert said.startswith("The database cannot be used: no such table")
    assert "manage.py doctor" in said


def test_it_is_restored_into_an_empty_place(archive: Path, tmp_path: Path) -> None:
    var = tmp_path / "var"
    restored = manage(var, "restore", str(archive))
    assert restored.returncode == 0, restored.stderr
    assert fruit(var) == "apple"
    assert (var / "settings.env").read_text() == 'ECTS_LANGUAGE="zh-hans"\n'
    for name in ("ects.sqlite3", "settings.env", "secrets/secret_key", "secrets/encryption_key"):
        assert stat.S_IMODE((var / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(var.stat().st_mode) == 0o700
    assert not list(var.glob("*before-restore*"))


def test_what_is_there_is_replaced_by_force_alone_and_moved_aside(archive: Path, tmp_path: Path) -> None:
    var = tmp_path / "var"
    assert manage(var, "setup", ECTS_ADMIN_PASSWORD="other-password").returncode == 0
    keys = (var / "secrets" / "encryption_key").read_text()
    refused = manage(var, "restore", str(archive))
    assert refused.returncode == 1
    assert "there is an installation already: --force" in refused.stderr
    assert (var / "secrets" / "encryption_key").read_text() == keys
    assert not (var / "settings.env").exists()
    forced = manage(var, "restore", str(archive), "--force")
    assert forced.returncode == 0, forced.stderr
    assert fruit(var) == "apple"
    [aside] = var.glob("ects.sqlite3.before-restore-*Z")
    assert str(aside) in forced.stdout
    with closing(sqlite3.connect(aside)) as database:
        assert database.execute("SELECT username FROM auth_user").fetchall() == [("admin",)]
    [key] = (var / "secrets").glob("encryption_key.before-restore-*")
    assert key.read_text() == keys


def test_nothing_is_restored_under_what_runs(archive: Path, tmp_path: Path) -> None:
    var = tmp_path / "var"
    var.mkdir()
    with running(tmp_path / "log", ["flock", str(var / "single.lock"), "sleep", "60"], dict(os.environ)) as holder:
        wait_until(lambda: "single.lock" in Path(f"/proc/{holder.pid}/cmdline").read_text(), "it runs")
        wait_until(lambda: (var / "single.lock").exists(), "it is locked")
        refused = manage(var, "restore", str(archive), "--force")
        kill(holder)
    assert refused.returncode == 1
    assert "stop it first" in refused.stderr


def test_another_encryption_key_from_outside_is_refused(archive: Path, tmp_path: Path) -> None:
    var = tmp_path / "var"
    refused = manage(var, "restore", str(archive), ECTS_ENCRYPTION_KEY=os.urandom(32).hex())
    assert refused.returncode == 1
    assert "is not the backup's" in refused.stderr
    assert not (var / "ects.sqlite3").exists()
    right = Archive(archive).text("secrets/encryption_key").strip()
    assert manage(var, "restore", str(archive), ECTS_ENCRYPTION_KEY=right).returncode == 0
    assert fruit(var, ECTS_ENCRYPTION_KEY=right) == "apple"


def altered(archive: Path, target: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """A copy in which manifest and members are changed."""
    with tarfile.open(archive) as tar:
        members = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
    manifest = json.loads(members.pop("manifest.json"))
    change(manifest, members)
    with tarfile.open(target, "w") as tar:
        for name, data in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return target


def _set(part: dict[str, Any], **values: Any) -> None:
    part.update(values)


REFUSED: dict[str, tuple[Callable[[dict[str, Any], dict[str, bytes]], None], str]] = {
    "of a newer version": (
        lambda manifest, _: _set(manifest, format=2, version="9.0"),
        "made by ECTS 9.0, a newer one",
    ),
    "newer tables": (
        lambda manifest, _: _set(manifest, version="9.0", migrations=[*manifest["migrations"], "logs.0099_moon"]),
        r"ECTS 9.0, whose tables .* does not know \(logs.0099_moon\): install that version first",
    ),
    "another database": (lambda manifest, _: _set(manifest, database="mysql"), "a backup of mysql"),
    "a changed key": (
        lambda _, members: _set(members, **{"secrets/encryption_key": b"0" * 64}),
        "secrets/encryption_key is not what was written",
    ),
    "a missing key": (lambda _, members: members.pop("secrets/encryption_key"), "secrets/encryption_key is missing"),
    "a foreign member": (
        lambda manifest, members: (
            _set(members, **{"../../etc/passwd": b"x"}),
            _set(manifest["files"], **{"../../etc/passwd": "x"}),
        ),
        "which this version does not know",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named_and_nothing_is_changed(archive: Path, tmp_path: Path, case: str) -> None:
    change, why = REFUSED[case]
    wrong, var = altered(archive, tmp_path / "wrong.tar", change), tmp_path / "var"
    refused = manage(var, "restore", str(wrong))
    assert refused.returncode == 1
    assert re.search(why, refused.stderr), refused.stderr
    assert not (var / "ects.sqlite3").exists()


@pytest.mark.parametrize("length", [0, 600, 1500, -600])
def test_a_cut_archive_is_refused(archive: Path, tmp_path: Path, length: int) -> None:
    whole = archive.read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:length] if length >= 0 else whole[: len(whole) // 2])
    with pytest.raises(Refused, match=r"no backup of ECTS|damaged"):
        Archive(tmp_path / "cut.tar")


def test_the_database_password_is_on_no_command_line_and_survives_quoting() -> None:
    settings = {"USER": "ects", "PASSWORD": 'a"b\\c#d ', "HOST": "db", "PORT": 3307, "OPTIONS": {"ssl": {"ca": "/ca"}}}
    with _options(settings, "mariadb") as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        asked = subprocess.run(
            ["mariadb", f"--defaults-extra-file={path}", "--print-defaults"], capture_output=True, text=True, check=True
        )
        text = path.read_text()
    assert 'password="a\\"b\\\\c#d "' in text
    assert "--host=db --port=3307" in asked.stdout
    assert "--ssl-ca=/ca" in asked.stdout
    assert not path.exists()
