"""The instants of a rule as blackout calendars leave them. Epoch seconds, as in ``recurrence``.

Inside a blackout with policy ``skip`` nothing fires. Fires inside one with policy ``end`` become one fire at its end;
if that lies in another blackout, the other's policy decides again. Where blackouts overlap, ``skip`` wins.
"""

from workers.engine.calendars import Blackout, Window
from workers.engine.compiled import NEVER
from workers.engine.recurrence import Rule

MAX_WINDOWS = 4_000
"""Stretches of blackout looked at in one search (ten years of daily ones); beyond, nothing fires."""


class Filtered:
    """A rule seen through calendars; a rule itself."""

    __slots__ = ("_calendars", "_first", "_rule")

    def __init__(self, rule: Rule, calendars: tuple[Blackout, ...], first: int) -> None:
        self._rule = rule
        self._first = first  # instants of the rule before this one are not the schedule's, so none is put off
        self._calendars = sorted(calendars, key=lambda calendar: calendar.policy == "end")

    def covering(self, instant: int) -> tuple[Blackout, Window] | None:
        """The calendar that decides about an instant, and its stretch, or None."""
        for calendar in self._calendars:
            if window := calendar.window(instant):
                return calendar, window
        return None

    def next(self, instant: int) -> int:
        """The first instant from ``instant`` on, or NEVER."""
        cursor = self._owed_since(instant)
        for _ in range(MAX_WINDOWS):
            found = self._rule.next(cursor)
            if found == NEVER:
                break
            hit = self.covering(found)
            if hit is None:
                return found
            calendar, window = hit
            if calendar.policy == "end" and instant <= (moved := self._settled(window.end)) < NEVER:
                return moved
            cursor = window.end
        return NEVER

    def previous(self, instant: int) -> int:
        """The last instant up to ``instant``, or -1."""
        cursor = instant
        for _ in range(MAX_WINDOWS):
            found = self._rule.previous(cursor)
            if found < self._first:
                break
            hit = self.covering(found)
            if hit is None:
                return found
            calendar, window = hit
            if calendar.policy == "end" and (moved := self._settled(window.end)) <= instant:
                return moved
            cursor = window.start - 1
        return -1

    def _settled(self, instant: int) -> int:
        """Where a fire that was put off to ``instant`` takes place, or NEVER."""
        for _ in range(MAX_WINDOWS):
            hit = self.covering(instant)
            if hit is None:
                return instant
            if hit[0].policy == "skip":
                break
            instant = hit[1].end
        return NEVER

    def _owed_since(self, instant: int) -> int:
        """The earliest instant of which a fire may have been put off to ``instant`` or later."""
        for _ in range(MAX_WINDOWS):
            windows = [
                window
                for calendar in self._calendars
                if calendar.policy == "end" and (window := calendar.window(instant - 1))
            ]
            if not windows:
                break
            instant = min(window.start for window in windows)
        return max(instant, self._first)
