"""Blackout calendars of the database as the engine understands them, and what makes their entries usable."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from pipelines.models import Calendar, CalendarEntry
from pipelines.schedule_errors import said
from workers.engine.calendars import WEEKDAYS, Blackout
from workers.engine.schedule import ScheduleError

MAX_ENTRIES = 200
"""Entries of one calendar: a pipeline with its calendars has to fit into one etcd request."""

MAX_CALENDARS = 20
"""Calendars of one pipeline."""

WHOLE_DAY = ("00:00", "24:00")
"""What a weekly window without times means."""


def wire_form(calendar: Calendar) -> dict[str, Any]:
    """The calendar as documents carry it (``Blackout.from_dict``): equal calendars have equal forms."""
    return {
        "name": calendar.name,
        "timezone": calendar.timezone,
        "policy": calendar.policy,
        "dates": [{"date": one.start, "name": one.name} for one in calendar.dates],
        "ranges": [{"start": one.start, "end": one.end, "name": one.name} for one in calendar.ranges],
        "weekly": [{"days": one.days, "start": one.start, "end": one.end, "name": one.name} for one in calendar.weekly],
    }


def wire_forms(calendars: Iterable[Calendar]) -> tuple[dict[str, Any], ...]:
    """Those of a pipeline, in an order that does not depend on the database."""
    return tuple(wire_form(calendar) for calendar in sorted(calendars, key=lambda one: one.name))


def blackouts(calendars: Iterable[Calendar]) -> tuple[Blackout, ...]:
    """For the engine. Raises ScheduleError for what was written past the validation."""
    return tuple(Blackout.from_dict(form) for form in wire_forms(calendars))


def timezone_error(timezone: str) -> str:
    """Why this is no time zone; empty when it is."""
    try:
        Blackout("", timezone)
    except ScheduleError as error:
        return _message(error)
    return ""


def entry_error(entry: CalendarEntry, timezone: str) -> tuple[str, str] | None:
    """The field, by its name in the wire form, and what to write there; None for an entry that can be used.

    ``timezone``: the calendar's, which is known to exist.
    """
    form = {"name": "", "timezone": timezone, **_lists(entry)}
    try:
        Blackout.from_dict(form)
    except ScheduleError as error:
        return error.field.rpartition(".")[2], _message(error)
    return None


def tidied(entry: CalendarEntry) -> CalendarEntry:
    """The entry as it is stored: nothing that its kind does not have (the form hides that), weekdays in the order of
    the week, and the whole day where no times are given."""
    if entry.kind == CalendarEntry.Kind.WEEKLY:
        entry.days = [day for day in WEEKDAYS if day in entry.days]
        entry.start, entry.end = entry.start or WHOLE_DAY[0], entry.end or WHOLE_DAY[1]
    else:
        entry.days = []
    if entry.kind == CalendarEntry.Kind.DATE:
        entry.end = ""
    return entry


def _lists(entry: CalendarEntry) -> dict[str, list[dict[str, Any]]]:
    if entry.kind == CalendarEntry.Kind.DATE:
        return {"dates": [{"date": entry.start}]}
    if entry.kind == CalendarEntry.Kind.RANGE:
        return {"ranges": [{"start": entry.start, "end": entry.end}]}
    return {"weekly": [{"days": entry.days, "start": entry.start, "end": entry.end}]}


def _message(error: ScheduleError) -> str:
    if not error.found:
        return _("Give %(allowed)s.") % {"allowed": said(error.allowed)}
    return _("%(found).60r cannot be used: give %(allowed)s.") % {"found": error.found, "allowed": said(error.allowed)}
