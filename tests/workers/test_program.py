"""The worker's program as hosts get it: the same bytes each time, nothing but the program, and enough of it."""

import hashlib
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from django.test import Client

from workers.program import program


def unpacked() -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(program().archive))


def test_it_is_the_same_each_time_and_dated_by_nothing() -> None:
    first = program()
    program.cache_clear()
    assert program() == first
    assert hashlib.sha256(first.archive).hexdigest() == first.digest
    assert {(each.mtime, each.uid, each.mode & 0o022) for each in unpacked()} == {(0, 0, 0)}


def test_it_holds_the_program_and_nothing_else() -> None:
    names = unpacked().getnames()
    files = {"LICENSE", "manage.py", "requirements-worker.txt"}
    top = files | {"coordination", "ects_site", "scripts", "systemd", "workers"}
    assert {name.partition("/")[0] for name in names} == top
    assert [name for name in names if "settings.py" in name] == ["ects_site/worker_settings.py"]
    assert [name for name in names if re.fullmatch(r"workers/[^/]+", name)] == ["workers/__init__.py"]
    assert not [each for each in unpacked() if not each.isfile()]


@pytest.mark.django_db
def test_everybody_may_have_it(client: Client) -> None:
    reply = client.get("/join/worker.tar.gz")
    assert (reply.status_code, reply["Content-Type"]) == (200, "application/gzip")
    assert reply.content == program().archive
    assert client.post("/join/worker.tar.gz").status_code == 405


def test_all_that_it_imports_is_in_it(tmp_path: Path) -> None:
    """Each module is loaded from the archive alone."""
    unpacked().extractall(tmp_path, filter="data")
    modules = sorted(
        path.relative_to(tmp_path).with_suffix("").as_posix().replace("/", ".")
        for folder in ("coordination", "workers")
        for path in (tmp_path / folder).rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    )
    code = "\n".join(
        [
            "import importlib, os, sys",
            f"sys.path.insert(0, {str(tmp_path)!r})",
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'ects_site.worker_settings'",
            "import django; django.setup()",
            *(f"importlib.import_module({name!r})" for name in modules),
        ]
    )
    loaded = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd="/", check=False)
    assert loaded.returncode == 0, loaded.stderr
