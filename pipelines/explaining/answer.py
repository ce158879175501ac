"""What an explanation consists of."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

Verdict = Literal["ran", "running", "skipped", "missed", "lost", "pending", "not expected", "unknown"]


@dataclass(frozen=True, slots=True)
class Answer:
    """For one node, or for all of them together (``node`` empty). ``runs`` are the rows of the ledger it speaks of."""

    node: str
    verdict: Verdict
    sentences: tuple[str, ...]
    runs: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """``at`` is aware. ``before`` and ``after`` are the instants of the schedule around it."""

    pipeline: str
    at: datetime
    before: datetime | None
    after: datetime | None
    answers: tuple[Answer, ...]


def shown(instant: datetime, zone: str) -> str:
    """An instant for people, in the pipeline's zone, with seconds (and milliseconds, if there are any)."""
    local = instant.astimezone(ZoneInfo(zone))
    milliseconds = local.microsecond // 1000
    fraction = f".{milliseconds:03}" if milliseconds else ""
    return f"{local:%Y-%m-%d %H:%M:%S}{fraction} {local:%Z}"


def lasted(seconds: float) -> str:
    """A duration for people."""
    if seconds < 1:
        return _("%(count)d ms") % {"count": round(seconds * 1000)}
    if seconds < 120:
        return _("%(count).1f s") % {"count": seconds}
    if seconds < 7200:
        return _("%(count)d min") % {"count": seconds // 60}
    return _("%(count).1f h") % {"count": seconds / 3600}
