"""The archive: an uncompressed tar of few known members, the manifest first, which has the checksums of the others."""

import gzip
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO, cast

from msgspec import DecodeError, Struct, json

from ects_site.backup import Refused

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "database.gz"
SECRETS = ("secret_key", "encryption_key")
SETTINGS = "settings.env"
MEMBERS = frozenset({DATABASE, SETTINGS, *(f"secrets/{name}" for name in SECRETS)})

MOST_MANIFEST = 1 << 20
PIECE = 1 << 20
"""Bytes."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What the archive holds. ``files`` maps members to the SHA-256 of their bytes, ``migrations`` are ``app.name``."""

    format: int = FORMAT
    version: str
    created: datetime
    host: str
    database: str
    migrations: tuple[str, ...]
    files: dict[str, str]


def digest(file: IO[bytes]) -> str:
    """SHA-256, hexadecimal, of all that is to be read."""
    found = hashlib.sha256()
    while piece := file.read(PIECE):
        found.update(piece)
    return found.hexdigest()


def pack(target: IO[bytes], manifest: Manifest, members: Mapping[str, Path]) -> None:
    """Writes the archive; everything in it is for its owner's eyes only."""
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        body = json.format(json.encode(manifest), indent=1)
        _add(tar, MANIFEST, io.BytesIO(body), len(body), manifest.created)
        for name, path in members.items():
            with path.open("rb") as file:
                _add(tar, name, file, path.stat().st_size, manifest.created)


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int, at: datetime) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(at.timestamp())
    tar.addfile(entry, file)


class Archive:
    """An archive that is whole: opening it reads all of it once. Raises Refused for any other file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with tarfile.open(path, mode="r:") as tar:
                self.manifest = _manifest(tar)
                self._check(tar)
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror or error}") from None
        except (tarfile.TarError, EOFError, DecodeError) as error:
            raise Refused(f"{path} is no backup of ECTS, or is damaged: {error}") from None

    def names(self) -> frozenset[str]:
        """The members, but for the manifest."""
        return frozenset(self.manifest.files)

    def text(self, name: str) -> str:
        """A small member. Raises KeyError when there is none."""
        with tarfile.open(self._path, mode="r:") as tar:
            return _member(tar, name).read().decode()

    @contextmanager
    def database(self) -> Iterator[BinaryIO]:
        """The dump, unpacked as it is read."""
        with tarfile.open(self._path, mode="r:") as tar, gzip.GzipFile(fileobj=_member(tar, DATABASE)) as file:
            yield cast(BinaryIO, file)

    def _check(self, tar: tarfile.TarFile) -> None:
        files = self.manifest.files
        if unknown := files.keys() - MEMBERS:
            raise Refused(f"{self._path} holds {min(unknown)}, which this version does not know")
        for name, wanted in files.items():
            try:
                found = digest(_member(tar, name))
            except KeyError:
                raise Refused(f"{self._path} is damaged: {name} is missing") from None
            if found != wanted:
                raise Refused(f"{self._path} is damaged: {name} is not what was written")


def _manifest(tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or first.size > MOST_MANIFEST:
        raise tarfile.ReadError("it does not begin with a manifest")
    body = _member(tar, MANIFEST).read()
    written = json.decode(body, type=dict)
    if isinstance(written.get("format"), int) and written["format"] > FORMAT:
        raise Refused(f"this backup was made by ECTS {written.get('version')}, a newer one: install that version first")
    return json.decode(body, type=Manifest)


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    if file is None:
        raise tarfile.ReadError(f"{name} is no file")
    return file


def put_away(path: Path, source: IO[bytes]) -> None:
    """A new file, readable by this user only, durable when this returns. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(source, file, PIECE)
        file.flush()
        os.fsync(file.fileno())
