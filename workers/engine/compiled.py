"""Compiled schedules: bit masks of days and times of day, and the search for the next or previous match in them.

Everything here counts in *local seconds*: seconds since 1970-01-01T00:00 on the wall clock of the schedule's zone,
every day 86,400 long. What a zone does to them is the business of ``recurrence``. Equal rules are one shared object.

Bits of the day masks (see ``DayRule``):

- day of month: 1..31 the day; 32+n the n-th day before the last (``L``, ``L-n``); 63 the last weekday (``LW``);
  64+d the weekday nearest to day d (``dW``);
- day of week (0 is Sunday): 0..6 every such day; 7n+d the n-th one of the month (``d#n``, n is 1 to 5); 42+d the last.
"""

from array import array
from bisect import bisect_left, bisect_right
from functools import lru_cache

FIRST_YEAR = 1970
LAST_YEAR = 2199
DAY = 86_400

NEVER = 1 << 62
"""Later than any instant: the answer of a search forward that finds nothing. A search backward answers -1."""

LAST_DAY_BIT = 32
LAST_WEEKDAY_BIT = 63
NEAREST_BIT = 64
NTH_BITS = 7
LAST_DOW_BIT = 42

_EVERY_SEVENTH = 0b10000001000000100000010000001
_EVERY_YEAR = (1 << LAST_YEAR - FIRST_YEAR + 1) - 1


def _calendar() -> "tuple[array[int], array[int], bytes, bytes]":
    """Tables of the whole span: first day of each month (and of the one after), month of each day, shape, position.

    Days and months count from January 1970. A *shape* numbers the months that have equal days on equal weekdays: 13
    months (February of a leap year is the last) by 7 weekdays of their first day. The position in its month is from 0.
    """
    starts, months, shapes, positions = array("i", [0]), array("H"), bytearray(), bytearray()
    for month in range((LAST_YEAR - FIRST_YEAR + 1) * 12):
        year = FIRST_YEAR + month // 12
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        kind = 12 if leap and month % 12 == 1 else month % 12
        months.extend([month] * _LENGTHS[kind])
        shapes.extend([kind * 7 + (starts[-1] + 4) % 7] * _LENGTHS[kind])  # 1970-01-01 was a Thursday
        positions.extend(range(_LENGTHS[kind]))
        starts.append(starts[-1] + _LENGTHS[kind])
    return starts, months, bytes(shapes), bytes(positions)


_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 29)
MONTH_STARTS, MONTH_OF_DAY, SHAPE_OF_DAY, POSITION_OF_DAY = _calendar()
DAYS = len(MONTH_OF_DAY)
END = DAYS * DAY
"""The first local second after the last year."""


def lowest_bit(mask: int) -> int:
    """Position of the lowest set bit of a mask that is not 0."""
    return (mask & -mask).bit_length() - 1


class DayRule:
    """Which days match. ``months`` has bit 0 for January, ``years`` bit 0 for 1970; the others: see the module.

    ``either`` is Vixie's rule for two restricted day fields: one of them is enough.
    """

    __slots__ = ("_masks", "_some_years", "either", "month_days", "months", "week_days", "years")

    def __init__(self, month_days: int, months: int, week_days: int, years: int, either: bool) -> None:
        self.month_days = month_days
        self.months = months
        self.week_days = week_days
        self.years = years
        self.either = either
        self._some_years = years != _EVERY_YEAR
        self._masks: dict[int, int] = {}  # by shape, at most 91

    def next(self, day: int) -> int:
        """The first matching day from ``day`` on, or NEVER."""
        try:
            rest = self._masks[SHAPE_OF_DAY[day]] >> POSITION_OF_DAY[day]
        except LookupError:
            if day >= DAYS:
                return NEVER
            rest = self._compute(SHAPE_OF_DAY[day]) >> POSITION_OF_DAY[day]
        if rest and not (self._some_years and self._year_off(day)):
            return day + (rest & -rest).bit_length() - 1
        month = MONTH_OF_DAY[day]
        while (month := self._month_after(month)) != NEVER:
            day = MONTH_STARTS[month]
            if mask := self._masks.get(SHAPE_OF_DAY[day]) or self._compute(SHAPE_OF_DAY[day]):
                return day + (mask & -mask).bit_length() - 1
        return NEVER

    def previous(self, day: int) -> int:
        """The last matching day up to ``day``, or -1."""
        if day < 0:
            return -1
        month = MONTH_OF_DAY[day]
        rest = self._compute(SHAPE_OF_DAY[day]) & ((2 << POSITION_OF_DAY[day]) - 1)
        if self._some_years and self._year_off(day):
            rest = 0
        while not rest:
            month = self._month_before(month)
            if month < 0:
                return -1
            day = MONTH_STARTS[month]
            rest = self._compute(SHAPE_OF_DAY[day])
        return day - POSITION_OF_DAY[day] + rest.bit_length() - 1

    def _year_off(self, day: int) -> bool:
        return not self.years >> MONTH_OF_DAY[day] // 12 & 1

    def _month_after(self, month: int) -> int:
        """The next of the given months in the given years after ``month``, or NEVER."""
        year, index = divmod(month + 1, 12)
        if self.years >> year & 1 and (rest := self.months >> index):
            return month + 1 + lowest_bit(rest)
        years = self.years >> (year + 1)
        return (year + 1 + lowest_bit(years)) * 12 + lowest_bit(self.months) if years else NEVER

    def _month_before(self, month: int) -> int:
        """The last of the given months in the given years before ``month``, or -1."""
        year, index = divmod(month - 1, 12)
        if year < 0:
            return -1
        if self.years >> year & 1 and (rest := self.months & ((2 << index) - 1)):
            return year * 12 + rest.bit_length() - 1
        years = self.years & ((1 << year) - 1)
        return (years.bit_length() - 1) * 12 + self.months.bit_length() - 1 if years else -1

    def _compute(self, shape: int) -> int:
        """The matching days of a month of this shape, bit 0 for the first."""
        mask = self._masks.get(shape)
        if mask is not None:
            return mask
        kind, weekday = divmod(shape, 7)
        mask = 0
        if self.months >> (1 if kind == 12 else kind) & 1:
            by_date = _by_date(self.month_days, _LENGTHS[kind], weekday)
            by_weekday = _by_weekday(self.week_days, _LENGTHS[kind], weekday)
            mask = by_date | by_weekday if self.either else by_date & by_weekday
        self._masks[shape] = mask
        return mask


def _by_date(bits: int, length: int, weekday: int) -> int:
    """Days of a month of ``length`` days whose first has that weekday, by the day-of-month bits."""
    mask = bits >> 1 & (1 << length) - 1
    for back in _bits(bits >> LAST_DAY_BIT & (1 << 31) - 1):
        if back < length:
            mask |= 1 << (length - 1 - back)
    if bits >> LAST_WEEKDAY_BIT & 1:
        mask |= 1 << _nearest_weekday(length, length, weekday) - 1
    for day in _bits(bits >> NEAREST_BIT):
        if day <= length:
            mask |= 1 << _nearest_weekday(day, length, weekday) - 1
    return mask


def _nearest_weekday(day: int, length: int, weekday: int) -> int:
    """The Monday to Friday nearest to ``day``, never leaving the month (Quartz's rule for ``W``)."""
    of_day = (weekday + day - 1) % 7
    if of_day == 6:
        return day - 1 if day > 1 else day + 2
    if of_day == 0:
        return day + 1 if day < length else day - 2
    return day


def _by_weekday(bits: int, length: int, weekday: int) -> int:
    """Days of a month of ``length`` days whose first has that weekday, by the day-of-week bits."""
    mask = 0
    for bit in _bits(bits):
        first = (bit - weekday) % 7
        if bit < NTH_BITS:
            mask |= _EVERY_SEVENTH << first
        elif bit < LAST_DOW_BIT:
            mask |= 1 << first + bit // 7 * 7 - 7
        else:
            mask |= 1 << first + (length - 1 - first) // 7 * 7
    return mask & (1 << length) - 1


def _bits(mask: int) -> list[int]:
    return [index for index in range(mask.bit_length()) if mask >> index & 1]


_MINUTES = tuple(range(24 * 60 + 1))  # one int object for each minute, shared by all rules


class TimeRule:
    """Which seconds of a day match: in each matching minute the one ``second``. Seconds since midnight."""

    __slots__ = ("first", "last", "minutes", "second")

    def __init__(self, minutes: tuple[int, ...], second: int, last_second: int) -> None:
        self.minutes = minutes  # minutes since midnight, and 1440 at the end to stop the search
        self.second = second
        self.first = minutes[0] * 60 + second
        self.last = minutes[-2] * 60 + last_second

    def next(self, time: int) -> int:
        """The first match from ``time`` on; a day or more when the day has none left."""
        return self.minutes[bisect_left(self.minutes, (time + 59 - self.second) // 60)] * 60 + self.second

    def previous(self, time: int) -> int:
        """The last match up to ``time``; negative when the day has none before."""
        index = bisect_right(self.minutes, (time - self.second) // 60) - 1
        return self.minutes[index] * 60 + self.second if index >= 0 else -1


class SecondsRule(TimeRule):
    """A rule with several seconds in each matching minute, as a mask of 60 bits."""

    __slots__ = ("seconds",)

    def __init__(self, minutes: tuple[int, ...], seconds: int) -> None:
        super().__init__(minutes, lowest_bit(seconds), seconds.bit_length() - 1)
        self.seconds = seconds

    def next(self, time: int) -> int:
        """See ``TimeRule.next``."""
        minute, second = divmod(time, 60)
        index = bisect_left(self.minutes, minute)
        if self.minutes[index] == minute and (rest := self.seconds >> second):
            return time + lowest_bit(rest)
        if self.minutes[index] == minute:
            index += 1
        return self.minutes[index] * 60 + self.second

    def previous(self, time: int) -> int:
        """See ``TimeRule.previous``."""
        minute, second = divmod(time, 60)
        index = bisect_right(self.minutes, minute) - 1
        if index < 0:
            return -1
        if self.minutes[index] == minute:
            if rest := self.seconds & ((2 << second) - 1):
                return minute * 60 + rest.bit_length() - 1
            index -= 1
        return self.minutes[index] * 60 + self.seconds.bit_length() - 1 if index >= 0 else -1


@lru_cache(maxsize=1 << 14)
def day_rule(month_days: int, months: int, week_days: int, years: int, either: bool) -> DayRule:
    """The shared rule with these masks."""
    return DayRule(month_days, months, week_days, years, either)


@lru_cache(maxsize=1 << 17)
def time_rule(seconds: int, minutes: int, hours: int) -> TimeRule:
    """The shared rule with these masks (60, 60 and 24 bits, none of them 0)."""
    matching = _matching_minutes(minutes, hours)
    if seconds & (seconds - 1):
        return SecondsRule(matching, seconds)
    second = lowest_bit(seconds)
    return TimeRule(matching, second, second)


@lru_cache(maxsize=1 << 12)
def _matching_minutes(minutes: int, hours: int) -> tuple[int, ...]:
    chosen = _bits(minutes)
    return (*(_MINUTES[hour * 60 + minute] for hour in _bits(hours) for minute in chosen), _MINUTES[-1])


class CompiledCron:
    """A day rule and a time rule. ``fixed_time`` is Debian cron's word: neither hour nor minute begins with ``*``."""

    __slots__ = ("days", "fixed_time", "times")

    def __init__(self, days: DayRule, times: TimeRule, fixed_time: bool) -> None:
        self.days = days
        self.times = times
        self.fixed_time = fixed_time

    def next(self, local: int) -> int:
        """The first matching local second from ``local`` (0 or more) on, or NEVER."""
        day, time = divmod(local, DAY)
        found = self.days.next(day)
        if found == day:
            time = self.times.next(time)
            if time < DAY:
                return day * DAY + time
            found = self.days.next(day + 1)
        return found * DAY + self.times.first if found != NEVER else NEVER

    def previous(self, local: int) -> int:
        """The last matching local second up to ``local`` (before END), or -1."""
        day, time = divmod(local, DAY)
        found = self.days.previous(day)
        if found == day:
            time = self.times.previous(time)
            if time >= 0:
                return day * DAY + time
            found = self.days.previous(day - 1)
        return found * DAY + self.times.last if found >= 0 else -1
