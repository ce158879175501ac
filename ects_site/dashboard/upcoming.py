"""The fires of the next hour, minute by minute: where they pile up."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

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
CROWD = 5
"""Fires that are many for one minute, where the others have few."""

NAMED = 5
"""Pipelines of a minute that are named."""

KEEP = 30
"""Seconds for which one answer serves all viewers."""


@dataclass(frozen=True)
class Minute:
    """How many fires, and the names of the first pipelines among them."""

    fires: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Next:
    """The next fire of a pipeline, and how many it has within the hour."""

    at: datetime
    name: str
    pipeline: UUID
    fires: int


@dataclass(frozen=True)
class Upcoming:
    """``minutes`` from ``begin`` (UTC) on; ``first``: the pipelines that fire next."""

    begin: datetime
    minutes: list[Minute]
    first: list[Next]
    is_whole: bool
    """Whether all enabled pipelines are in it."""

    @property
    def fires(self) -> int:
        """In the hour."""
        return sum(minute.fires for minute in self.minutes)

    @property
    def fullest(self) -> tuple[datetime, int]:
        """The begin of the first minute that has the most fires, and how many."""
        counts = [minute.fires for minute in self.minutes]
        most = max(counts)
        return self.begin + timedelta(minutes=counts.index(most)), most


def upcoming(now: datetime) -> Upcoming:
    """Of the pipelines that are enabled and not paused."""
    if (found := cache.get("ects-upcoming")) is None:
        found = _look_ahead(now.replace(second=0, microsecond=0), now)
        cache.set("ects-upcoming", found, KEEP)
    return found


def _look_ahead(begin: datetime, now: datetime) -> Upcoming:
    live = Pipeline.objects.filter(enabled=True, paused=False).order_by("pk").prefetch_related("calendars__entries")
    pipelines = list(live[: MOST + 1])
    counts: Counter[int] = Counter()
    names: dict[int, list[str]] = defaultdict(list)
    following = []
    for pipeline in pipelines[:MOST]:
        fires = _fires(pipeline, now, begin + timedelta(minutes=MINUTES))
        if not fires:
            continue
        by_minute = Counter((fire - begin) // timedelta(minutes=1) for fire in fires)
        counts.update(by_minute)
        for minute in by_minute:
            names[minute].append(pipeline.name)
        following.append(Next(fires[0], pipeline.name, pipeline.pk, len(fires)))
    minutes = [Minute(counts[minute], tuple(sorted(names[minute])[:NAMED])) for minute in range(MINUTES)]
    first = sorted(following, key=lambda one: (one.at, one.name))[:SHOWN]
    return Upcoming(begin, minutes, first, len(pipelines) <= MOST)


def _fires(pipeline: Pipeline, after: datetime, until: datetime) -> list[datetime]:
    try:
        return schedule_of(pipeline).between(after, until - timedelta(seconds=1), 60 * MINUTES)
    except ValueError:  # Text that is no schedule, written past the validation.
        return []


def by_minute(found: Upcoming) -> list[Column]:
    """A column a minute; the crowded ones stand out."""
    crowd = max(CROWD, 3 * found.fires / MINUTES)
    chart = []
    for number, minute in enumerate(found.minutes):
        begin = localtime(found.begin + timedelta(minutes=number))
        at = date_format(begin, "H:i")
        title = _("%(at)s: %(fires)d fires") % {"at": at, "fires": minute.fires}
        if minute.names:
            title += " · " + ", ".join(minute.names) + (" …" if minute.fires > len(minute.names) else "")
        kind = "timed_out" if minute.fires >= crowd else "running"
        chart.append(Column(at if begin.minute % 10 == 0 else "", title, ((kind, minute.fires),)))
    return chart
