"""A pipeline's schedule for people: its next fires and its meaning in words. The engine is the worker's own."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from cron_descriptor import ExpressionDescriptor, Options
from cron_descriptor.Exception import FormatError, MissingFieldException, WrongArgumentException
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from pipelines.calendars import blackouts
from pipelines.models import Calendar, Pipeline
from workers.engine.cron import ALIASES, spelled_out
from workers.engine.schedule import Schedule, ScheduleError, next_fires

PREVIEW = 5
"""Fires shown ahead."""


def schedule_of(
    pipeline: Pipeline, now: datetime | None = None, calendars: Iterable[Calendar] | None = None
) -> Schedule:
    """The schedule that a worker will follow. With ``now``, one that would never fire again is refused. Raises
    ScheduleError. ``calendars``: those of a pipeline that is not saved yet, in place of the saved ones."""
    return Schedule.parse(
        pipeline.schedule,
        timezone=pipeline.timezone,
        key=str(pipeline.pk),
        dst_gap=pipeline.dst_gap,
        dst_repeat=pipeline.dst_repeat,
        start=pipeline.starts_at,
        end=pipeline.ends_at,
        jitter=pipeline.jitter,
        calendars=blackouts(observed(pipeline) if calendars is None else calendars),
        now=now,
    )


def observed(pipeline: Pipeline) -> list[Calendar]:
    """Its saved calendars; none of one that has no id yet, as the admin's empty form has it."""
    return list(pipeline.calendars.all()) if pipeline.pk else []


def upcoming(pipeline: Pipeline, after: datetime, count: int = PREVIEW) -> list[datetime]:
    """The next instants (UTC) of the schedule, whether the pipeline is enabled or not. None for text that is no
    schedule (written past the validation)."""
    try:
        return next_fires(schedule_of(pipeline), after, count)
    except ValueError:
        return []


def is_silenced(schedule: Schedule, now: datetime) -> bool:
    """Whether its calendars take every fire that it has to come."""
    return schedule.next(now) is None and schedule.raw_next(now) is not None


def words(text: str, key: str = "") -> str:
    """The schedule in words, in the language of the request; empty where there are none. ``key``: the pipeline's id,
    from which its ``H`` follow; without it these have no words."""
    head, _space, rest = text.strip().partition(" ")
    locale = "zh_CN" if (get_language() or "").startswith("zh") else "en_US"
    if head.lower() in ALIASES:
        return _described(ALIASES[head.lower()], locale)
    if head.lower() == "@every":
        return _("Every %(interval)s") % {"interval": rest.strip()}
    if head.lower() == "@at":
        return _("Once, at %(instant)s") % {"instant": rest.strip()}
    fixed = {"@manual": _("Only by hand"), "@reboot": _("When the worker starts")}
    return fixed.get(head.lower()) or _described(_spelled_out(text, key), locale)


def _spelled_out(text: str, key: str) -> str:
    if not key or "h" not in text.lower():
        return text
    try:
        return spelled_out(text, key)
    except ScheduleError:
        return text


@lru_cache(maxsize=4096)
def _described(expression: str, locale: str) -> str:
    """Remembered: it takes a millisecond, and a list has many."""
    options: Any = Options()
    options.use_24hour_time_format = True
    options.locale_code = locale
    try:
        found = str(ExpressionDescriptor(expression.replace("?", "*"), options).get_full_description())
        return _named(found) if locale.startswith("zh") else found
    except (FormatError, MissingFieldException, WrongArgumentException, ValueError, IndexError, KeyError):
        return ""  # 5#2, LW and the like: the descriptor's grammar is smaller than ours


def _named(text: str) -> str:
    """The descriptor takes the names of days and months from the C library's locale, which is nobody's here."""
    for names in (WEEKDAYS, MONTHS):
        for number, name in names.items():
            with override("en"):
                english = str(name)
            text = text.replace(english, str(names[number]))
    return text
