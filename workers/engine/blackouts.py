"""The instants of a rule as blackout calendars leave them. Epoch seconds, as in ``recurrence``.

A fire inside a blackout with policy ``skip`` is dropped. Otherwise, inside one with policy ``end`` it is put off: all
those of one stretch of such blackouts, touching or overlapping, become one fire at its end, dropped if ``skip`` holds
there.
"""

from workers.engine.calendars import Blackout, Window
from workers.engine.compiled import NEVER
from workers.engine.recurrence import Rule

MAX_WINDOWS = 4_000
"""Stretches of blackout looked at in one search (ten years of daily ones); beyond, nothing fires."""


class Filtered:
    """A rule seen through calendars; a rule itself."""

    __slots__ = ("_first", "_putting_off", "_rule", "_skipping")

    def __init__(self, rule: Rule, calendars: tuple[Blackout, ...], first: int) -> None:
        self._rule = rule
        self._skipping = tuple(calendar for calendar in calendars if calendar.policy == "skip")
        self._putting_off = tuple(calendar for calendar in calendars if calendar.policy == "end")
        self._first = first  # instants of the rule before this one are not the schedule's, so none is put off

    def covering(self, instant: int) -> tuple[Blackout, Window] | None:
        """The calendar that decides about an instant, and its stretch, or None."""
        return _covering(self._skipping, instant) or _covering(self._putting_off, instant)

    def next(self, instant: int) -> int:
        """The first instant from ``instant`` on, or NEVER."""
        cursor = self._stretch_start(instant)
        for _ in range(MAX_WINDOWS):
            found = self._rule.next(cursor)
            if found == NEVER:
                break
            if hit := _covering(self._skipping, found):
                cursor = hit[1].end
                continue
            cursor = self._stretch_end(found)
            if cursor == NEVER or (cursor >= instant and not self._dropped(found, cursor)):
                return cursor
            cursor = max(cursor, found + 1)
        return NEVER

    def previous(self, instant: int) -> int:
        """The last instant up to ``instant``, or -1."""
        cursor = instant
        for _ in range(MAX_WINDOWS):
            found = self._rule.previous(cursor)
            if found < self._first:
                break
            if hit := _covering(self._skipping, found):
                cursor = hit[1].start - 1
                continue
            end = self._stretch_end(found)
            if end <= instant and not self._dropped(found, end):
                return end
            cursor = self._stretch_start(found + 1) - 1
        return -1

    def _dropped(self, found: int, end: int) -> bool:
        return end != found and _covering(self._skipping, end) is not None

    def _stretch_end(self, instant: int) -> int:
        """Where the stretch of putting-off blackouts at ``instant`` ends: ``instant`` itself outside, or NEVER."""
        for _ in range(MAX_WINDOWS):
            hit = _covering(self._putting_off, instant)
            if hit is None:
                return instant
            instant = hit[1].end
        return NEVER

    def _stretch_start(self, instant: int) -> int:
        """Where the stretch of putting-off blackouts that lasts until ``instant`` or beyond began, or ``instant``."""
        for _ in range(MAX_WINDOWS):
            hit = _covering(self._putting_off, instant - 1)
            if hit is None or instant <= self._first:
                break
            instant = hit[1].start
        return max(instant, self._first)


def _covering(calendars: tuple[Blackout, ...], instant: int) -> tuple[Blackout, Window] | None:
    for calendar in calendars:
        if window := calendar.window(instant):
            return calendar, window
    return None
