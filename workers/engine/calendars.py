"""Blackout calendars: times at which a schedule does not fire, as dates, date ranges and weekly windows in a zone.

The wire form is a plain dict (see ``Blackout.from_dict``); the admin, the pipeline document and the worker share it.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from workers.engine.compiled import DAY
from workers.engine.cron import ScheduleError
from workers.engine.phrases import gettext_noop
from workers.engine.zones import Zone, load_zone

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_CLOCK = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)
_YEARLY = re.compile(r"\d\d-\d\d", re.ASCII)


class Window(NamedTuple):
    """One stretch of a blackout: epoch seconds, ``end`` not included, and its name."""

    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class NamedDate:
    """A whole day: ``2026-12-25``, or ``12-25`` for every year."""

    date: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class DateRange:
    """``start`` to ``end``: dates (both whole days included) or ISO instants (``end`` not included).

    An instant without offset is taken in the calendar's zone.
    """

    start: str
    end: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class WeeklyWindow:
    """``HH:MM`` to ``HH:MM`` (up to ``24:00``) on some days, named as in WEEKDAYS.

    An end that is not after the start lies on the next day.
    """

    days: tuple[str, ...]
    start: str = "00:00"
    end: str = "24:00"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Blackout:
    """A calendar. ``policy`` says what becomes of the fires inside: ``skip``, or ``end``: one when the blackout ends.

    Raises ScheduleError, whose ``field`` is a path such as ``weekly[0].start``, for values that are not understood.
    """

    name: str
    timezone: str = "UTC"
    policy: Literal["skip", "end"] = "skip"
    dates: tuple[NamedDate, ...] = ()
    ranges: tuple[DateRange, ...] = ()
    weekly: tuple[WeeklyWindow, ...] = ()
    _zone: Zone = field(init=False, repr=False, compare=False)
    _fixed: tuple[Window, ...] = field(init=False, repr=False, compare=False)
    _reach: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _yearly: dict[str, str] = field(init=False, repr=False, compare=False)
    _clocks: tuple[tuple[int, int, int, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check every value and compile the calendar."""
        if self.policy not in ("skip", "end"):
            raise ScheduleError("policy", str(self.policy), gettext_noop("skip or end"))
        zone = load_zone(self.timezone)
        fixed = [_day_window(zone, day, index) for index, day in enumerate(self.dates) if not _is_yearly(day)]
        fixed += [_range_window(zone, span, index) for index, span in enumerate(self.ranges)]
        fixed.sort()
        reach: list[int] = []
        for window in fixed:
            reach.append(max(window.end, reach[-1] if reach else window.end))
        compiled: dict[str, Any] = {
            "_zone": zone,
            "_fixed": tuple(fixed),
            "_reach": tuple(reach),
            "_yearly": _yearly_dates(self.dates),
            "_clocks": _clocks(self.weekly),
        }
        for name, value in compiled.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Blackout":
        """Read the wire form; raises ScheduleError that names the bad field::

            {"name": "Freeze", "timezone": "Europe/Paris", "policy": "skip",
             "dates": [{"date": "12-25", "name": "Christmas"}],
             "ranges": [{"start": "2026-12-24T18:00", "end": "2027-01-02T06:00", "name": "holidays"}],
             "weekly": [{"days": ["mon", "fri"], "start": "09:00", "end": "17:30", "name": "office hours"}]}

        Only ``name`` is required.
        """
        _check_keys("calendar", data, {"name"}, {"timezone", "policy", "dates", "ranges", "weekly"})
        return cls(
            name=_text(data, "name", "name"),
            timezone=_text(data, "timezone", "timezone", "UTC"),
            policy=data.get("policy", "skip"),
            dates=tuple(_read_date(item, f"dates[{index}]") for index, item in _items(data, "dates")),
            ranges=tuple(_read_range(item, f"ranges[{index}]") for index, item in _items(data, "ranges")),
            weekly=tuple(_read_weekly(item, f"weekly[{index}]") for index, item in _items(data, "weekly")),
        )

    def to_dict(self) -> dict[str, Any]:
        """The wire form: strings, lists and dicts only."""
        return {
            "name": self.name,
            "timezone": self.timezone,
            "policy": self.policy,
            "dates": [{"date": day.date, "name": day.name} for day in self.dates],
            "ranges": [{"start": span.start, "end": span.end, "name": span.name} for span in self.ranges],
            "weekly": [
                {"days": list(week.days), "start": week.start, "end": week.end, "name": week.name}
                for week in self.weekly
            ],
        }

    def window(self, instant: int) -> Window | None:
        """A stretch of this calendar that holds the instant (epoch seconds), or None."""
        index = bisect_right(self._fixed, (instant, 1 << 62, "")) - 1
        while index >= 0 and self._reach[index] > instant:
            if self._fixed[index].end > instant:
                return self._fixed[index]
            index -= 1
        if not (self._yearly or self._clocks):
            return None
        today = (instant + self._zone.offset(instant)) // DAY
        for day in (today, today - 1, today + 1):  # windows may cross midnight, and so may a repeated hour
            for window in self._windows_of(day):
                if window.start <= instant < window.end:
                    return window
        return None

    def _windows_of(self, day: int) -> list[Window]:
        """The yearly and weekly windows that begin on a local day (days since 1970)."""
        windows = []
        if self._yearly:
            name = self._yearly.get(date.fromordinal(day + _EPOCH_DAY).isoformat()[5:])
            if name is not None:
                windows.append(_window(self._zone, day * DAY, (day + 1) * DAY, name))
        weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
        for on, start, end, name in self._clocks:
            if on == weekday:
                windows.append(_window(self._zone, day * DAY + start, day * DAY + end, name))
        return windows


def _window(zone: Zone, start: int, end: int, name: str) -> Window:
    return Window(zone.instant(start), zone.instant(end), name)


def _is_yearly(day: NamedDate) -> bool:
    return _YEARLY.fullmatch(day.date) is not None


def _yearly_dates(dates: tuple[NamedDate, ...]) -> dict[str, str]:
    yearly = {}
    for index, day in enumerate(dates):
        if _is_yearly(day):
            _date(f"2000-{day.date}", f"dates[{index}].date", day.date)
            yearly[day.date] = day.name
    return yearly


def _day_window(zone: Zone, day: NamedDate, index: int) -> Window:
    start = _date(day.date, f"dates[{index}].date", day.date) * DAY
    return _window(zone, start, start + DAY, day.name)


def _date(text: str, path: str, found: str) -> int:
    """Days since 1970 of an ISO date."""
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH_DAY
    except ValueError:
        allowed = gettext_noop("a date such as 2026-12-25, or 12-25 for every year")
        raise ScheduleError(path, found, allowed) from None


def _range_window(zone: Zone, span: DateRange, index: int) -> Window:
    start = _moment(zone, span.start, f"ranges[{index}].start", last=False)
    end = _moment(zone, span.end, f"ranges[{index}].end", last=True)
    if end <= start:
        allowed = gettext_noop("a moment after the start, %(start)s", start=span.start)
        raise ScheduleError(f"ranges[{index}].end", span.end, allowed)
    return Window(start, end, span.name)


def _moment(zone: Zone, text: str, path: str, last: bool) -> int:
    """Epoch second of a date (its end, when it is the last one) or of an ISO instant."""
    try:
        if len(text) == 10:
            return zone.instant((date.fromisoformat(text).toordinal() - _EPOCH_DAY + last) * DAY)
        moment = datetime.fromisoformat(text)
    except ValueError:
        allowed = gettext_noop("a date such as 2026-12-24 or an instant such as 2026-12-24T18:00")
        raise ScheduleError(path, text, allowed) from None
    if moment.tzinfo is None:
        return zone.instant((moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1))
    return (moment - _EPOCH) // timedelta(seconds=1)


def _clocks(weekly: tuple[WeeklyWindow, ...]) -> tuple[tuple[int, int, int, str], ...]:
    """(weekday, start, end, name) of every weekly window; Monday is 0, times are seconds after midnight."""
    clocks = []
    for index, week in enumerate(weekly):
        start = _clock(week.start, f"weekly[{index}].start")
        end = _clock(week.end, f"weekly[{index}].end")
        if end <= start:
            end += DAY
        for day in week.days:
            if day not in WEEKDAYS:
                raise ScheduleError(f"weekly[{index}].days", str(day), ", ".join(WEEKDAYS))
            clocks.append((WEEKDAYS.index(day), start, end, week.name))
        if not week.days:
            allowed = gettext_noop("one or more of %(days)s", days=", ".join(WEEKDAYS))
            raise ScheduleError(f"weekly[{index}].days", "", allowed)
    return tuple(clocks)


def _clock(text: str, path: str) -> int:
    match = _CLOCK.fullmatch(text)
    if match:
        seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0)
        if seconds <= DAY and int(match[2]) < 60 and int(match[3] or 0) < 60:
            return seconds
    raise ScheduleError(path, text, gettext_noop("a time of day from 00:00 to 24:00"))


def _items(data: Mapping[str, Any], key: str) -> "enumerate[Any]":
    items = data.get(key, ())
    if not isinstance(items, list | tuple):
        raise ScheduleError(key, str(items), gettext_noop("a list"))
    return enumerate(items)


def _check_keys(path: str, data: Any, required: set[str], optional: set[str]) -> None:
    if not isinstance(data, Mapping):
        raise ScheduleError(path, str(data), gettext_noop("an object"))
    if unknown := sorted(set(data) - required - optional):
        raise ScheduleError(f"{path}.{unknown[0]}", unknown[0], ", ".join(sorted(required | optional)))
    if missing := sorted(required - set(data)):
        advice = gettext_noop("Add %(name)s.", name=missing[0])
        raise ScheduleError(f"{path}.{missing[0]}", "", gettext_noop("a value"), advice)


def _text(data: Mapping[str, Any], key: str, path: str, default: str = "") -> str:
    value = data.get(key, default)
    if not isinstance(value, str):
        raise ScheduleError(path, str(value), gettext_noop("text"))
    return value


def _read_date(item: Any, path: str) -> NamedDate:
    _check_keys(path, item, {"date"}, {"name"})
    return NamedDate(_text(item, "date", f"{path}.date"), _text(item, "name", f"{path}.name"))


def _read_range(item: Any, path: str) -> DateRange:
    _check_keys(path, item, {"start", "end"}, {"name"})
    return DateRange(*(_text(item, key, f"{path}.{key}") for key in ("start", "end", "name")))


def _read_weekly(item: Any, path: str) -> WeeklyWindow:
    _check_keys(path, item, {"days"}, {"start", "end", "name"})
    days = tuple(str(day) for _, day in _items(item, "days"))
    start, end = _text(item, "start", f"{path}.start", "00:00"), _text(item, "end", f"{path}.end", "24:00")
    return WeeklyWindow(days, start, end, _text(item, "name", f"{path}.name"))
