"""The fires of the next hour, minute by minute: where they pile up."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.cache import cache
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from logs.charts import Column
from pipelines.models import Pipeline
from pipelines.schedules import schedule_of

MINUTES = 60
MOST = 2000
"""Pipelines that are looked at."""

SHOWN = 6
KEEP = 30
"""Seconds for which one answer serves all viewers."""


@dataclass(frozen=True)
class Upcoming:
    """``minutes``: fires by minute from ``begin`` (UTC); ``first``: the next ones, (instant, pipeline's id, name)."""

    begin: datetime
    minutes: list[int]
    first: list[tuple[datetime, str, str]]
    is_whole: bool
    """Whether all enabled pipelines are in it."""

    @property
    def most(self) -> int:
        """In the fullest minute."""
        return max(self.minutes, default=0)


def upcoming(now: datetime) -> Upcoming:
    """Of the pipelines that are enabled and not paused."""
    if (found := cache.get("ects-upcoming")) is None:
        found = _look_ahead(now.replace(second=0, microsecond=0), now)
        cache.set("ects-upcoming", found, KEEP)
    return found


def _look_ahead(begin: datetime, now: datetime) -> Upcoming:
    live = Pipeline.objects.filter(enabled=True, paused=False).order_by("pk").prefetch_related("calendars__entries")
    pipelines = list(live[: MOST + 1])
    minutes: Counter[int] = Counter()
    first: list[tuple[datetime, str, str]] = []
    for pipeline in pipelines[:MOST]:
        fires = _fires(pipeline, now, begin + timedelta(minutes=MINUTES))
        minutes.update((fire - begin) // timedelta(minutes=1) for fire in fires)
        first += [(fire, str(pipeline.pk), pipeline.name) for fire in fires[:SHOWN]]
        first = sorted(first)[:SHOWN] if len(first) > 50 * SHOWN else first
    counts = [minutes[minute] for minute in range(MINUTES)]
    return Upcoming(begin, counts, sorted(first)[:SHOWN], len(pipelines) <= MOST)


def _fires(pipeline: Pipeline, after: datetime, until: datetime) -> list[datetime]:
    try:
        return schedule_of(pipeline).between(after, until - timedelta(seconds=1), 60 * MINUTES)
    except ValueError:  # Text that is no schedule, written past the validation.
        return []


def by_minute(found: Upcoming) -> list[Column]:
    """A column a minute; the crowded ones stand out."""
    average = sum(found.minutes) / MINUTES
    chart = []
    for minute, fires in enumerate(found.minutes):
        begin = localtime(found.begin + timedelta(minutes=minute))
        at = date_format(begin, "H:i")
        kind = "timed_out" if fires > 4 and fires > 3 * average else "running"
        title = _("%(at)s: %(fires)d fires") % {"at": at, "fires": fires}
        chart.append(Column(at if begin.minute % 10 == 0 else "", title, ((kind, fires),)))
    return chart
