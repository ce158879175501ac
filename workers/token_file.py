"""The file with an enrolment token for hosts that are set up together with the console, such as a compose file's.

Whoever can read it can have a host join, so a token is in it only while hosts are missing.
"""

import os
from datetime import datetime
from pathlib import Path

from workers.enrolment import digest_of, make_token
from workers.models import EnrolmentToken, Node


def offer(path: Path, now: datetime, *, hosts: int, expires_in: float) -> EnrolmentToken | None:
    """Has the file hold a token for as many of ``hosts`` as have not joined yet: its row, or None when none is missing
    and there is no file any more. What was in it before is good no longer. ``expires_in`` is in seconds.

    Raises OSError.
    """
    _withdraw(path)
    missing = hosts - len(Node.objects.serving().filter(enrolled_at__isnull=False)[:hosts])
    if missing <= 0:
        return None
    token, row = make_token(now=now, uses=missing, expires_in=expires_in)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    return row


def _withdraw(path: Path) -> None:
    try:
        secret = path.read_text().partition(".")[2].rpartition(".")[0]
    except FileNotFoundError:
        return
    for row in EnrolmentToken.objects.filter(digest=digest_of(secret)):
        row.delete()
    path.unlink()
