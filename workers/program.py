"""The worker's program as an archive, for hosts that have nothing of it: what requirements-worker.txt is enough for.

It is made of this installation's own files, without dates or owners, so that every web process makes the same bytes
and the console can name their digest in the line that is pasted on the host.
"""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

FOLDERS = ("coordination", "workers/engine", "workers/host")
FILES = (
    *("LICENSE", "manage.py", "requirements-worker.txt", "workers/__init__.py"),
    *("ects_site/__init__.py", "ects_site/locations.py", "ects_site/worker_settings.py"),
    *("scripts/join", "scripts/lib/common.sh", "scripts/lib/service.sh"),
    *("systemd/ects-worker.service", "systemd/ects-worker-root.conf"),
)


class Program(NamedTuple):
    """``archive`` is a gzipped tar, ``digest`` its SHA-256 in hexadecimal."""

    archive: bytes
    digest: str


@lru_cache(maxsize=1)
def program() -> Program:
    """As the files were when this process first asked for it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(_paths(settings.BASE_DIR)):
            _add(archive, path, path.relative_to(settings.BASE_DIR).as_posix())
    data = gzip.compress(packed.getvalue(), mtime=0)
    return Program(data, hashlib.sha256(data).hexdigest())


@require_safe
def download(request: HttpRequest) -> HttpResponse:
    """``/join/worker.tar.gz``: for everybody, for it holds nothing but the program."""
    headers = {"Content-Disposition": 'attachment; filename="ects-worker.tar.gz"', "ETag": f'"{program().digest}"'}
    return HttpResponse(program().archive, content_type="application/gzip", headers=headers)


def _paths(root: Path) -> Iterator[Path]:
    yield from (root / name for name in FILES)
    for folder in FOLDERS:
        yield from (root / folder).rglob("*.py")


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    content = path.read_bytes()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o755 if content.startswith(b"#!") else 0o644
    archive.addfile(entry, io.BytesIO(content))
