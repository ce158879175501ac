"""The file in ``$ECTS_OUTPUT``, through which a script gives values to later steps."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from workers.engine.context import parse_outputs

LIMIT = 64 * 1024
"""Bytes that count."""


class OutputsFile:
    """One try's file. The script makes it by writing to it; most never do, so that it costs next to nothing.

    ``owner`` is the user and group id of a script that runs as another user: it gets a directory of its own among the
    temporary ones, since it cannot reach into the worker's.
    """

    def __init__(self, scratch: Path, name: str, owner: tuple[int, int] | None) -> None:
        self._directory: str | None = None
        self._uid = os.getuid()
        if owner is None:
            self.path = str(scratch / name)
        else:
            self._uid = owner[0]
            self._directory = tempfile.mkdtemp(prefix="ects-")
            os.chown(self._directory, *owner)
            self.path = os.path.join(self._directory, "output")

    def read(self) -> tuple[dict[str, str], str]:
        """The values, and a sentence if some could not be taken."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return {}, ""
        try:
            if not self._is_its_own(os.fstat(descriptor)):
                return {}, "What is at $ECTS_OUTPUT is not a file that the step wrote."
            data = os.read(descriptor, LIMIT + 1)
        finally:
            os.close(descriptor)
        return _values(data)

    def remove(self) -> None:
        """Nothing of it is left afterwards."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            return
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            shutil.rmtree(self.path, ignore_errors=True)

    def _is_its_own(self, status: os.stat_result) -> bool:
        """Not a link to what only the worker may read: its owner could have put one there."""
        return stat.S_ISREG(status.st_mode) and status.st_uid == self._uid and status.st_nlink == 1


def _values(data: bytes) -> tuple[dict[str, str], str]:
    notes = []
    if len(data) > LIMIT:
        data = data[: data.rfind(b"\n", 0, LIMIT) + 1]
        notes.append(f"Of $ECTS_OUTPUT only the first {LIMIT} bytes count.")
    outputs, ignored = parse_outputs(data)
    if ignored:
        notes.append(f"{ignored} lines of $ECTS_OUTPUT were ignored: they are not name=value, or the name is reserved.")
    return outputs, " ".join(notes)
