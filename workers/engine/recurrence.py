"""Rules that produce instants: compiled cron on the wall clock of a zone, fixed intervals, a single instant, none.

All of them count in epoch seconds (UTC). ``next(i)`` is the first instant from i on, or NEVER; ``previous(i)`` the last
one up to i, or -1.

What happens when a clock is put forward or back follows Debian's cron (cron.c, crontab(5)): cron keeps a virtual clock
that never goes back. A *fixed-time* schedule fires when that clock first reaches or passes the time: in a gap right
after it, once, however many of its times fell in; in a repeated hour the first time. Other schedules match the real
wall clock: nothing in the gap, both passages of a repeated hour. Cron does so for changes under three hours, because
it cannot tell a change of zone from a clock being corrected; this code reads the zone's own table, so the same holds
for a change of any size, the skipped day of Apia included.
"""

from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import Protocol

from workers.engine.compiled import END, NEVER, CompiledCron
from workers.engine.zones import Zone


class Rule(Protocol):
    """What a schedule needs to know of its instants."""

    def next(self, instant: int) -> int:
        """The first instant from ``instant`` (0 or later) on, or NEVER."""

    def previous(self, instant: int) -> int:
        """The last instant up to ``instant``, or -1."""


class Recurring:
    """A compiled cron expression in a zone.

    ``once``: a repeated wall-clock time counts only the first time. ``shift``: times in a gap fire at its end.
    """

    __slots__ = ("cron", "once", "shift", "zone")

    def __init__(self, cron: CompiledCron, zone: Zone, once: bool, shift: bool) -> None:
        self.cron = cron
        self.zone = zone
        self.once = once
        self.shift = shift

    def next(self, instant: int) -> int:
        """See ``Rule.next``."""
        start, end, offset, fresh = self.zone.recent
        if not start <= instant < end:
            start, end, offset, fresh = self.zone.span(instant)
        if instant == start:
            return self._next_from(bisect_left(self.zone.starts, start), 0, -1)
        if instant < fresh and self.once:
            instant = fresh
        local = instant + offset
        if local < 0:  # the evening of 1969 in the west
            local = 0
        found = self.cron.next(local)
        if found - offset < end:
            return found - offset
        return self._next_from(bisect_right(self.zone.starts, start), local, found)

    def _next_from(self, segment: int, searched: int, found: int) -> int:
        """The first instant in ``segment`` or later; ``found`` is the first match from local second ``searched`` on."""
        zone = self.zone
        for index in range(segment, len(zone.starts)):
            opening, peak = zone.openings[index], zone.peaks[index]
            if self.shift and peak < opening:
                if found < peak:
                    found = self.cron.next(max(peak, 0))
                if found < opening:
                    return zone.starts[index]
            begin = max(opening, peak, 0) if self.once else max(opening, 0)
            if found < begin or begin < searched:
                found = self.cron.next(begin)
            searched = begin
            if found < zone.closings[index]:
                return found - zone.offsets[index]
        return NEVER

    def previous(self, instant: int) -> int:
        """See ``Rule.previous``."""
        zone = self.zone
        segment = bisect_right(zone.starts, instant) - 1
        local = min(instant + zone.offsets[segment], END - 1)
        searched, found = -1, END
        while local >= 0:
            opening, peak = zone.openings[segment], zone.peaks[segment]
            begin = max(opening, peak) if self.once else opening
            if found > local or searched < local:
                found = self.cron.previous(local)
            searched = local
            if found >= max(begin, 0):
                return found - zone.offsets[segment]
            if self.shift and peak < opening and found >= max(peak, 0):
                return zone.starts[segment]
            segment -= 1
            local = zone.closings[segment] - 1 if segment >= 0 else -1
        return -1


class Every:
    """Multiples of ``interval`` seconds from ``anchor`` (epoch seconds), in real time whatever clocks do."""

    __slots__ = ("anchor", "interval")

    def __init__(self, interval: int, anchor: int) -> None:
        self.interval = interval
        self.anchor = anchor

    def next(self, instant: int) -> int:
        """See ``Rule.next``."""
        return instant + (self.anchor - instant) % self.interval

    def previous(self, instant: int) -> int:
        """See ``Rule.previous``."""
        return instant - (instant - self.anchor) % self.interval


class Once:
    """A single instant."""

    __slots__ = ("instant",)

    def __init__(self, instant: int) -> None:
        self.instant = instant

    def next(self, instant: int) -> int:
        """See ``Rule.next``."""
        return self.instant if instant <= self.instant else NEVER

    def previous(self, instant: int) -> int:
        """See ``Rule.previous``."""
        return self.instant if instant >= self.instant else -1


class Never:
    """No computed instant: ``@manual`` and ``@reboot``."""

    __slots__ = ()

    def next(self, instant: int) -> int:
        """See ``Rule.next``."""
        return NEVER

    def previous(self, instant: int) -> int:
        """See ``Rule.previous``."""
        return -1


@lru_cache(maxsize=1 << 12)
def recurring(cron: CompiledCron, zone: Zone, once: bool, shift: bool) -> Recurring:
    """The shared rule of this expression, zone and policy. Only fixed-time schedules have a policy: see the module."""
    return Recurring(cron, zone, once and cron.fixed_time, shift and cron.fixed_time)
