"""Time zones as tables of integers: when each offset begins, and what the wall clock has shown by then.

The tables are read from the TZif files (RFC 8536) where ``zoneinfo`` finds them: its search path, then the ``tzdata``
package. The rule at the end of a file (POSIX TZ, RFC 8536 section 3.3.1) is written out up to the year 2200. One table
a zone and process; a search in it costs a bisection, where zoneinfo arithmetic costs several calls for each conversion.
"""

import re
import struct
import zoneinfo
from bisect import bisect_right
from datetime import date
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from workers.engine.compiled import DAY, LAST_YEAR
from workers.engine.cron import ScheduleError
from workers.engine.phrases import gettext_noop

_BEFORE_ALL = -(1 << 61)
_AFTER_ALL = 1 << 61  # and still before compiled.NEVER, whatever the offset
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Span(NamedTuple):
    """A segment of a zone: epoch seconds ``start`` to ``end``; from ``fresh`` on its wall clock shows new times."""

    start: int
    end: int
    offset: int
    fresh: int


class Zone:
    """The offsets of one zone: segment i begins at ``starts[i]`` (epoch seconds), ``offsets[i]`` seconds east of UTC.

    ``openings[i]`` and ``closings[i]`` are the wall clock (local seconds) where segment i begins and ends;
    ``peaks[i]`` is the latest that the wall clock has shown before it: above the opening after a clock was put back
    (what lies between is repeated), below it after one was put forward (what lies between never occurs).
    """

    __slots__ = ("closings", "key", "offsets", "openings", "peaks", "recent", "spans", "starts")

    def __init__(self, key: str, starts: list[int], offsets: list[int]) -> None:
        self.key = key
        self.starts = tuple(starts)
        self.offsets = tuple(offsets)
        self.openings = tuple(start + offset for start, offset in zip(starts, offsets, strict=True))
        ends = [*starts[1:], _AFTER_ALL]
        self.closings = tuple(end + offset for end, offset in zip(ends, offsets, strict=True))
        peaks = [self.openings[0]]
        for closing in self.closings[:-1]:
            peaks.append(max(peaks[-1], closing))
        self.peaks = tuple(peaks)
        self.spans = tuple(map(Span, starts, ends, offsets, map(int.__sub__, peaks, offsets)))
        self.recent = self.spans[-1]

    def span(self, instant: int) -> "Span":
        """The segment that holds an instant (epoch seconds). It is remembered: most questions are about one season."""
        self.recent = span = self.spans[bisect_right(self.starts, instant) - 1]
        return span

    def offset(self, instant: int) -> int:
        """Seconds east of UTC at an instant (epoch seconds)."""
        return self.offsets[bisect_right(self.starts, instant) - 1]

    def instant(self, local: int) -> int:
        """The first epoch second at which the wall clock shows ``local`` (local seconds) or has skipped it."""
        segment = bisect_right(self.peaks, local) - 1
        return max(local - self.offsets[segment], self.starts[segment])


class _Change(NamedTuple):
    """One of the two yearly changes of a POSIX TZ rule: the date, and the time of day on the clock before it."""

    form: str  # M (month.week.day), J (day 1 to 365, no leap day) or "" (day 0 to 365)
    numbers: tuple[int, ...]
    time: int

    def local(self, year: int) -> int:
        """The local second, on the clock that is then put forward or back."""
        first = date(year, 1, 1).toordinal() - _EPOCH_DAY
        if self.form == "M":
            day = _nth_weekday(year, *self.numbers)
        else:
            day = first + self.numbers[0] - (self.form == "J")
            if self.form == "J" and self.numbers[0] >= 60 and date(year, 12, 31).timetuple().tm_yday == 366:
                day += 1
        return day * DAY + self.time


def _nth_weekday(year: int, month: int, week: int, weekday: int) -> int:
    """Days since 1970 of a weekday (0 is Sunday) of a month; week 5 is the last one."""
    first = date(year, month, 1).toordinal()
    day = first + (weekday - first) % 7 + (week - 1) * 7
    following = date(year + month // 12, month % 12 + 1, 1).toordinal()
    return (day if day < following else day - 7) - _EPOCH_DAY


_NAME = r"(?:[A-Za-z]+|<[^>]+>)"
_TIME = r"[+-]?\d{1,3}(?::\d\d){0,2}"
_RULE = re.compile(rf"{_NAME}({_TIME})(?:{_NAME}({_TIME})?,([^,]+),([^,]+))?")
_CHANGE = re.compile(rf"([MJ]?)(\d[\d.]*)(?:/({_TIME}))?")


def _seconds(text: str) -> int:
    parts = [int(part) for part in text.lstrip("+-").split(":")] + [0, 0]
    seconds = parts[0] * 3600 + parts[1] * 60 + parts[2]
    return -seconds if text.startswith("-") else seconds


def _change(text: str) -> _Change:
    match = _CHANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"time zone rule {text!r} is not understood")
    return _Change(match[1], tuple(map(int, match[2].split("."))), _seconds(match[3] or "2"))


def _rule_changes(rule: str, since: int) -> list[tuple[int, int]]:
    """(epoch second, new offset) of every change after ``since`` that a POSIX TZ rule makes, to the year 2200."""
    match = _RULE.fullmatch(rule)
    if match is None:
        raise ValueError(f"time zone rule {rule!r} is not understood")
    if match[3] is None:
        return []
    standard = -_seconds(match[1])
    summer = -_seconds(match[2]) if match[2] else standard + 3600
    begin, end = _change(match[3]), _change(match[4])
    changes = []
    for year in range(1970, LAST_YEAR + 2):
        changes += [(begin.local(year) - standard, summer), (end.local(year) - summer, standard)]
    return sorted((change for change in changes if change[0] > since), key=lambda change: change[0])


def _read(key: str) -> bytes:
    """The bytes of a zone's file, from where zoneinfo takes it. Raises ZoneInfoNotFoundError or ValueError."""
    zoneinfo.ZoneInfo(key)  # checks that the key is a zone and stays inside its folder
    for folder in zoneinfo.TZPATH:
        path = Path(folder, key)
        if path.is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", *key.split("/")).read_bytes()


_HEADER = struct.Struct(">4sc15x6l")


def _parse(data: bytes) -> tuple[list[int], list[int]]:
    """The starts and offsets of a TZif file: the offset before the first change, then one for each change."""
    _, version, *counts = _HEADER.unpack_from(data)
    at, width = _HEADER.size, 4
    if version != b"\0":  # from version 2 on a second block with 8-byte times follows the first
        at += _block_size(counts, width)
        _, _, *counts = _HEADER.unpack_from(data, at)
        at, width = at + _HEADER.size, 8
    _, _, _, times, types, _ = counts
    starts = list(struct.unpack_from(f">{times}{'q' if width == 8 else 'l'}", data, at))
    at_types = at + times * width
    kinds = [struct.unpack_from(">lBB", data, at_types + times + kind * 6)[0] for kind in range(types)]
    offsets = [kinds[kind] for kind in data[at_types : at_types + times]]
    if width == 8:
        rule = data[at + _block_size(counts, width) :].decode("ascii").strip("\n")
        for start, offset in _rule_changes(rule, starts[-1] if starts else _BEFORE_ALL) if rule else ():
            starts.append(start)
            offsets.append(offset)
    return [_BEFORE_ALL, *starts], [kinds[0], *offsets]


def _block_size(counts: list[int], width: int) -> int:
    utc_marks, standard_marks, leaps, times, types, characters = counts
    return times * (width + 1) + types * 6 + characters + leaps * (width + 4) + standard_marks + utc_marks


@lru_cache(maxsize=1 << 10)
def load_zone(key: str) -> Zone:
    """The table of an IANA zone from 1969 to 2200. Raises ScheduleError for a name that is not one."""
    try:
        starts, offsets = _parse(_read(key))
    except (KeyError, ValueError, OSError, ModuleNotFoundError, struct.error) as error:
        advice = gettext_noop(
            "Choose a zone of the IANA database, and install the tzdata package if this host has none."
        )
        raise ScheduleError("timezone", key, gettext_noop("a name such as UTC or Europe/Paris"), advice) from error
    kept_starts, kept_offsets = [_BEFORE_ALL], [offsets[0]]
    for start, offset in zip(starts[1:], offsets[1:], strict=True):
        if start < -365 * DAY or kept_starts[-1] == start:
            kept_offsets[-1] = offset
        elif offset != kept_offsets[-1]:
            kept_starts.append(start)
            kept_offsets.append(offset)
    return Zone(key, kept_starts, kept_offsets)
