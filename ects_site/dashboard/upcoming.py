"""The fires of the next hour, minute by minute: where they pile up."""

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.cache import caches
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from logs.charts import Column
from pipelines.models import TIMING, Pipeline
from pipelines.schedules import schedule_of

MINUTES = 60
MOST = 2000
"""Pipelines that are looked at."""

SHOWN = 6
CROWD = 5
"""Fires in one minute that are never a crowd are fewer than this."""

NAMED = 5
"""Pipelines of a minute that are named."""

KEEP = 30
"""Seconds for which one answer serves all viewers."""


@dataclass(frozen=True)
class Minute:
    """How many fires of how many pipelines, and the names of the first of these."""

    fires: int = 0
    pipelines: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Coming:
    """A pipeline that fires ``fires`` times within the hour, and its next instants (UTC)."""

    name: str
    pipeline: UUID
    fires: int
    instants: tuple[datetime, ...]


@dataclass(frozen=True)
class Upcoming:
    """``minutes`` from ``begin`` (UTC) on; ``coming``: the pipelines that fire next."""

    begin: datetime
    minutes: list[Minute]
    coming: list[Coming]
    is_whole: bool
    """Whether all enabled pipelines are in it."""

    @property
    def fires(self) -> int:
        """In the hour."""
        return sum(minute.fires for minute in self.minutes)

    @property
    def most(self) -> int:
        """Fires of the fullest minute."""
        return max(minute.fires for minute in self.minutes)

    @property
    def fullest(self) -> datetime:
        """Its begin; of the first such one."""
        counts = [minute.fires for minute in self.minutes]
        return self.begin + timedelta(minutes=counts.index(self.most))

    @property
    def crowd(self) -> float:
        """So many fires in one minute stand out: half as many again as in those that have any, on average."""
        busy = sum(minute.fires > 0 for minute in self.minutes)
        return max(CROWD, 1.5 * self.fires / busy) if busy else CROWD

    def first(self, now: datetime) -> list[tuple[datetime, Coming]]:
        """The pipelines that fire next after ``now``, and when."""
        found = [(at, one) for one in self.coming if (at := next((at for at in one.instants if at >= now), None))]
        return sorted(found, key=lambda pair: (pair[0], pair[1].name))[:SHOWN]


def upcoming(now: datetime) -> Upcoming:
    """Of the pipelines that are enabled and not paused."""
    cache = caches["process"]
    if (found := cache.get("ects-upcoming")) is None:
        found = _look_ahead(now.replace(second=0, microsecond=0), now)
        cache.set("ects-upcoming", found, KEEP)
    return found


def _look_ahead(begin: datetime, now: datetime) -> Upcoming:
    live = Pipeline.objects.filter(enabled=True, paused=False).order_by("name").prefetch_related("calendars__entries")
    pipelines = list(live.only("name", *TIMING)[: MOST + 1])
    alike: dict[tuple[Any, ...], list[Pipeline]] = defaultdict(list)
    for pipeline in pipelines[:MOST]:
        alike[_what_decides(pipeline)].append(pipeline)
    fires, firing, names = Counter[int](), Counter[int](), defaultdict[int, list[str]](list)
    coming: list[Coming] = []
    for group in alike.values():
        instants = _fires(group[0], now, begin + timedelta(minutes=MINUTES))
        for minute, number in Counter((instant - begin) // timedelta(minutes=1) for instant in instants).items():
            fires[minute] += number * len(group)
            firing[minute] += len(group)
            names[minute] += [pipeline.name for pipeline in group[:NAMED]]
        if instants:
            # As many as can pass while this answer serves, and the one after them.
            soon = tuple(instants[: 1 + bisect_right(instants, now + timedelta(seconds=KEEP))])
            coming += [Coming(one.name, one.pk, len(instants), soon) for one in group[: 2 * SHOWN]]
    minutes = [Minute(fires[one], firing[one], tuple(sorted(names[one])[:NAMED])) for one in range(MINUTES)]
    coming.sort(key=lambda one: (one.instants[0], one.name))
    return Upcoming(begin, minutes, coming[: 2 * SHOWN], len(pipelines) <= MOST)


def _what_decides(pipeline: Pipeline) -> tuple[Any, ...]:
    """Equal for pipelines that fire at the same instants. Calendars, and the hash of the id that ``H`` stands for,
    make one its own; an h that is none costs time only."""
    if "h" in pipeline.schedule.lower() or pipeline.calendars.all():
        return (pipeline.pk,)
    return tuple(getattr(pipeline, name) for name in TIMING if name != "jitter")


def _fires(pipeline: Pipeline, after: datetime, until: datetime) -> list[datetime]:
    try:
        return schedule_of(pipeline).between(after, until - timedelta(seconds=1), 60 * MINUTES)
    except ValueError:  # Text that is no schedule, written past the validation.
        return []


def by_minute(found: Upcoming) -> list[Column]:
    """A column a minute; the crowded ones stand out."""
    chart = []
    for number, minute in enumerate(found.minutes):
        begin = localtime(found.begin + timedelta(minutes=number))
        at = date_format(begin, "H:i")
        title = _("%(at)s: %(fires)d fires") % {"at": at, "fires": minute.fires}
        if minute.names:
            title += f" · {', '.join(minute.names)}{' …' if minute.pipelines > NAMED else ''}"
        kind = "timed_out" if minute.fires >= found.crowd else "running"
        chart.append(Column(at if begin.minute % 10 == 0 else "", title, ((kind, minute.fires),)))
    return chart
