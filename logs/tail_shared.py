"""One look at the database for all in this process who follow the same run from the same place."""

import threading
import time
from typing import Any
from uuid import UUID

from django.utils.translation import get_language

from logs import tail

FRESH = 0.4
"""Seconds for which one answer serves all: less than the time between two looks of one follower."""

MOST = 64
"""Answers kept."""

_lock = threading.Lock()
_found: dict[tuple[UUID, int, str | None], tuple[float, dict[str, Any] | None]] = {}


def news(run: UUID, cursor: int) -> dict[str, Any] | None:
    """As ``tail.news``, at most ``FRESH`` seconds old. Long answers, of those who catch up, are not kept."""
    key = (run, cursor, get_language())
    now = time.monotonic()
    with _lock:
        at, told = _found.get(key, (-FRESH, None))
        if now - at < FRESH:
            return told
    told = tail.news(run, cursor)
    if told is None or not told["more"]:
        with _lock:
            _found[key] = (now, told)
            for old in list(_found)[:-MOST]:
                del _found[old]
    return told
