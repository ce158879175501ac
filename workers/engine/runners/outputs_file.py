"""The file in ``$ECTS_OUTPUT``, through which a script gives values to later steps."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from workers.engine.context import parse_outputs

LIMIT = 64 * 1024
"""Bytes that count."""


class OutputsFiles:
    """Where these files are: in ``scratch`` for the worker's own user; every other user, who cannot reach into the
    worker's directories, gets one among the temporary ones."""

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._scratch = str(scratch)
        self._of_others: dict[tuple[int, int], str] = {}

    def new(self, name: str, owner: tuple[int, int] | None) -> "OutputsFile":
        """The file for one try; ``owner`` is the user and group id of a script that runs as another user."""
        if owner is None:
            return OutputsFile(os.path.join(self._scratch, name), os.getuid())
        if not os.path.isdir(self._of_others.get(owner, "")):
            self._of_others[owner] = tempfile.mkdtemp(prefix="ects-")
            os.chown(self._of_others[owner], *owner)
        return OutputsFile(os.path.join(self._of_others[owner], name), owner[0])

    def close(self) -> None:
        """Removes the temporary directories."""
        for directory in self._of_others.values():
            shutil.rmtree(directory, ignore_errors=True)


class OutputsFile:
    """One try's file. The script makes it by writing to it; most never do, so that it costs next to nothing."""

    def __init__(self, path: str, uid: int) -> None:
        self.path = path
        self._uid = uid
        self._absent = False

    def read(self) -> tuple[dict[str, str], str]:
        """The values, and a sentence if some could not be taken."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            self._absent = True
            return {}, ""
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
        if self._absent:
            return
        try:
            os.unlink(self.path)
        except IsADirectoryError:
            shutil.rmtree(self.path, ignore_errors=True)
        except OSError:
            return

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
