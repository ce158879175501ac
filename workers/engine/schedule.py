"""Schedules: text, zone, limits and calendars in; the instants at which a pipeline fires out.

The one engine behind the form's preview, the API, the ledger and the worker. Instants are aware datetimes, UTC when
they come out, in whole seconds from 1970 to 2199. Nothing here reads a clock.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from math import ceil, floor, isfinite
from typing import Literal

from workers.engine.blackouts import Filtered
from workers.engine.calendars import Blackout
from workers.engine.compiled import END, NEVER
from workers.engine.cron import ALIASES, ScheduleError, compile_cron
from workers.engine.phrases import gettext_noop
from workers.engine.recurrence import Every, Never, Once, Recurring, Rule, recurring
from workers.engine.zones import Zone, load_zone

__all__ = ["Blackout", "DstGap", "DstRepeat", "Schedule", "ScheduleError", "next_fires"]

DstGap = Literal["shift", "skip"]
DstRepeat = Literal["first", "both"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_moment = datetime.fromtimestamp
_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d{1,9}[wdhms])+", re.ASCII)
_FORMS = "@every 90s, @at 2026-05-01T12:00:00Z, @reboot, @manual, " + ", ".join(ALIASES)


class Schedule:
    """When a pipeline fires. Made by ``parse``; immutable; equal rules are shared between schedules.

    ``text`` is as given, ``timezone`` the IANA name, ``jitter`` in seconds, ``fixed_time`` tells whether the DST
    choices apply (a cron expression in which neither hour nor minute, nor second, begins with ``*``).
    """

    __slots__ = ("_calendars", "_first", "_last", "_raw", "_rule", "jitter", "key", "text", "timezone")

    text: str
    timezone: str
    key: str
    jitter: float
    _first: int
    _last: int
    _raw: Rule
    _calendars: Filtered | None
    _rule: Rule

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        timezone: str = "UTC",
        key: str = "",
        dst_gap: DstGap = "shift",
        dst_repeat: DstRepeat = "first",
        start: datetime | None = None,
        end: datetime | None = None,
        jitter: float = 0,
        calendars: Sequence[Blackout] = (),
        now: datetime | None = None,
    ) -> "Schedule":
        """Read a schedule: a cron expression (see ``cron``), ``@daily`` and its like, or one of

        - ``@every 1h30m``: units w d h m s. It fires at the multiples of the interval since 1970-01-01T00:00Z or,
          with a ``start``, at the start and every interval after it: the same instants in every process;
        - ``@at 2026-05-01T12:00``: once; without an offset the instant is taken in the zone;
        - ``@reboot`` and ``@manual``: no computed instants.

        Fires lie between ``start`` and ``end``, both included. ``key`` (the pipeline's uuid) feeds ``H`` and the
        jitter. With ``now``, a schedule that has no fire left is refused as well as one that never has any.
        Raises ScheduleError, whose ``field`` is the field of the expression or the name of the argument.
        """
        _check_choices(dst_gap, dst_repeat, jitter)
        self = cls.__new__(cls)
        self.text, self.timezone, self.key, self.jitter = text, timezone, key, jitter
        self._first = 0 if start is None else max(ceil(_epoch(start, "start")), 0)
        self._last = END - 1 if end is None else min(floor(_epoch(end, "end")), END - 1)
        if end is not None and self._last < self._first:
            allowed, advice = gettext_noop("an instant after the start"), gettext_noop("Correct start or end.")
            raise ScheduleError("end", end.isoformat(), allowed, advice)
        zone = load_zone(timezone)
        self._raw = _rule(
            text, zone, key, dst_repeat == "first", dst_gap == "shift", None if start is None else self._first
        )
        self._calendars = Filtered(self._raw, tuple(calendars), self._first) if calendars else None
        self._rule = self._calendars or self._raw
        if now is not None:
            self._refuse_spent(now)
        return self

    def next(self, after: datetime) -> datetime | None:
        """The first fire strictly after an aware instant, in UTC, or None. Raises ValueError for a naive one."""
        try:
            since = after - _EPOCH
        except TypeError:
            raise _naive("after") from None
        instant = since.days * 86_400 + since.seconds + 1
        found = self._rule.next(instant if instant > self._first else self._first)
        return _moment(found, UTC) if found <= self._last else None

    def previous(self, before: datetime) -> datetime | None:
        """The last fire strictly before an aware instant, in UTC, or None. Raises ValueError for a naive one."""
        instant = min(ceil(_epoch(before, "before")) - 1, self._last)
        found = self._rule.previous(instant) if instant >= self._first else -1
        return _moment(found, UTC) if found >= self._first else None

    def between(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        """The fires after ``start`` up to and including ``end``, oldest first, ``limit`` at most."""
        return self._collect(self._rule, start, end, limit)

    def raw_next(self, after: datetime) -> datetime | None:
        """As ``next``, as if there were no calendars: what ``blacked_out`` may then explain to the ledger."""
        found = self._raw.next(max(floor(_epoch(after, "after")) + 1, self._first))
        return _moment(found, UTC) if found <= self._last else None

    def raw_between(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        """As ``between``, as if there were no calendars."""
        return self._collect(self._raw, start, end, limit)

    def blacked_out(self, instant: datetime) -> str | None:
        """The name of the calendar (and of its entry) that suppresses a fire at this instant, or None."""
        hit = self._calendars.covering(floor(_epoch(instant, "instant"))) if self._calendars else None
        if hit is None:
            return None
        calendar, window = hit
        return f"{calendar.name}: {window.name}" if window.name else calendar.name

    def jittered(self, instant: datetime) -> datetime:
        """When to start the fire of this instant: later by less than the jitter, in whole milliseconds.

        The same in every process for the same key and instant, and always before the next fire.
        """
        if not self.jitter:
            return instant
        following = self.next(instant)
        room = self.jitter if following is None else min(self.jitter, (following - instant).total_seconds())
        seed = f"{self.key}\n{instant.astimezone(UTC).isoformat()}".encode()
        share = int.from_bytes(blake2b(seed, digest_size=6).digest()) / (1 << 48)
        return instant + timedelta(milliseconds=int(share * room * 1000))

    @property
    def is_manual(self) -> bool:
        """``@manual``: fires only by hand."""
        return self._raw is _MANUAL

    @property
    def is_reboot(self) -> bool:
        """``@reboot``: fires when the worker starts."""
        return self._raw is _REBOOT

    @property
    def fixed_time(self) -> bool:
        """Whether the DST choices apply to it."""
        return isinstance(self._raw, Recurring) and self._raw.cron.fixed_time

    def __repr__(self) -> str:
        return f"Schedule({self.text!r}, timezone={self.timezone!r})"

    def _collect(self, rule: Rule, start: datetime, end: datetime, limit: int) -> list[datetime]:
        found = rule.next(max(floor(_epoch(start, "start")) + 1, self._first))
        last = min(floor(_epoch(end, "end")), self._last)
        fires: list[datetime] = []
        while found <= last and len(fires) < limit:
            fires.append(_moment(found, UTC))
            found = rule.next(found + 1)
        return fires

    def _refuse_spent(self, now: datetime) -> None:
        if isinstance(self._raw, Never) or self.raw_next(now) is not None:
            return
        moment = now.astimezone(UTC).isoformat(timespec="seconds")
        end = _moment(self._last, UTC)
        last = gettext_noop("the year 2199") if self._last == END - 1 else gettext_noop("its end, %(end)s", end=end)
        raise ScheduleError(
            "schedule",
            self.text,
            gettext_noop("a schedule with a fire between now (%(now)s) and %(last)s", now=moment, last=last),
            gettext_noop("This one would never fire again: correct its year, its instant or its end."),
        )


def next_fires(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The first ``count`` fires strictly after an aware instant, in UTC; fewer when the schedule ends."""
    return schedule.between(after, _LATEST, count)


def _naive(name: str) -> ValueError:
    return ValueError(f"{name}: naive datetimes are not instants; give one with a time zone, such as datetime.now(UTC)")


def _epoch(instant: datetime, name: str) -> float:
    if instant.tzinfo is None:
        raise _naive(name)
    return instant.timestamp()


def _check_choices(dst_gap: str, dst_repeat: str, jitter: float) -> None:
    if dst_gap not in ("shift", "skip"):
        raise ScheduleError("dst_gap", str(dst_gap), gettext_noop("shift or skip"))
    if dst_repeat not in ("first", "both"):
        raise ScheduleError("dst_repeat", str(dst_repeat), gettext_noop("first or both"))
    if not (isfinite(jitter) and jitter >= 0):
        raise ScheduleError("jitter", str(jitter), gettext_noop("seconds, 0 or more"))


_MANUAL = Never()
_REBOOT = Never()


def _rule(text: str, zone: Zone, key: str, once: bool, shift: bool, anchor: int | None) -> Rule:
    """The rule of any schedule text; raises ScheduleError. ``anchor`` (epoch seconds) is where ``@every`` begins."""
    stripped = text.strip()
    head, _, rest = stripped.partition(" ")
    head = head.lower()
    if not head.startswith("@") or (head in ALIASES and not rest):
        rule = recurring(compile_cron(text, key), zone, once, shift)
        _refuse_never(rule, stripped)
        return rule
    if head == "@every":
        return Every(_interval(rest.strip()), anchor or 0)
    if head == "@at":
        return Once(_instant(rest.strip(), zone, shift))
    if rest or head not in ("@manual", "@reboot"):
        raise ScheduleError("schedule", stripped, gettext_noop("a cron expression or one of %(forms)s", forms=_FORMS))
    return _MANUAL if head == "@manual" else _REBOOT


@lru_cache(maxsize=1 << 12)
def _refuse_never(rule: Recurring, text: str) -> None:
    if rule.next(0) == NEVER:
        advice = gettext_noop("This schedule would never fire: its only times fall where the clock is put forward.")
        raise ScheduleError(
            "schedule", text, gettext_noop("a time that occurs in %(zone)s", zone=rule.zone.key), advice
        )


def _interval(text: str) -> int:
    """Seconds of a duration such as 90s or 1h30m."""
    seconds = 0
    if _DURATION.fullmatch(text):
        seconds = sum(int(amount) * _UNITS[unit] for amount, unit in re.findall(r"(\d+)([wdhms])", text))
    if not 1 <= seconds < END:
        allowed = gettext_noop("whole seconds, at least 1s, with the units w d h m s")
        advice = gettext_noop("Write for example %(example)s.", example="@every 1h30m")
        raise ScheduleError("interval", text, allowed, advice)
    return seconds


def _instant(text: str, zone: Zone, shift: bool) -> int:
    """Epoch second of an ISO instant, a naive one taken in the zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.microsecond or not 1970 <= moment.year <= 2199:
        allowed = gettext_noop("an ISO instant in whole seconds from 1970 to 2199")
        advice = gettext_noop("Write for example %(example)s.", example="@at 2026-05-01T12:00:00Z")
        raise ScheduleError("instant", text, allowed, advice)
    if moment.tzinfo is not None:
        return (moment - _EPOCH) // _SECOND
    local = (moment.replace(tzinfo=UTC) - _EPOCH) // _SECOND
    instant = zone.instant(local)
    if not shift and instant + zone.offset(instant) != local:
        advice = gettext_noop("This schedule would never fire: the clock is put forward over it.")
        raise ScheduleError("instant", text, gettext_noop("a time that occurs in %(zone)s", zone=zone.key), advice)
    return instant
