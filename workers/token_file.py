"""The file with an enrolment token for hosts that are set up together with the console, such as a compose file's.

Whoever can read it can have a host join, so a token is in it only while hosts are missing.
"""

import os
from datetime import datetime
from pathlib import Path

from workers.enrolment import PREFIX, digest_of, make_token
from workers.models import EnrolmentToken, Node


class Unusable(Exception):
    """The file cannot be read or written, or is not ours."""


def offer(path: Path, now: datetime, *, hosts: int, expires_in: float) -> EnrolmentToken | None:
    """Has the file hold a token for as many of ``hosts`` as have not joined yet: its row, or None when none is missing
    and there is no file any more. What was in it before is good no longer. ``expires_in`` is in seconds.

    Raises Unusable, and then nothing was changed.
    """
    try:
        _withdraw(path)
        return _write(path, now, hosts, expires_in)
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or error}") from None


def _write(path: Path, now: datetime, hosts: int, expires_in: float) -> EnrolmentToken | None:
    missing = hosts - len(Node.objects.serving().filter(enrolled_at__isnull=False)[:hosts])
    if missing <= 0:
        return None
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        token, row = make_token(now=now, uses=missing, expires_in=expires_in)
        file.write(token)
    return row


def _withdraw(path: Path) -> None:
    """Takes back the token in the file. Raises Unusable for a file that holds something else."""
    try:
        held = path.read_text(errors="replace")
    except FileNotFoundError:
        return
    version, _dot, rest = held.partition(".")
    # An empty one was left by somebody who was interrupted here.
    if held and version != PREFIX:
        raise Unusable(f"{path} is there and holds no enrolment token: name another file, or move it away")
    secret = rest.rpartition(".")[0]
    for row in EnrolmentToken.objects.filter(digest=digest_of(secret)):
        row.delete()
    path.unlink()
