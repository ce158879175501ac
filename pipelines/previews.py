"""What a pipeline's form shows while it is filled in: the next fires, what they meet, and the nodes it will run on."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from pipelines.models import Calendar, Pipeline
from pipelines.outbox import matches
from pipelines.schedule_errors import sentence
from pipelines.schedules import PREVIEW, is_silenced, schedule_of, words
from workers.engine.schedule import Schedule, ScheduleError, next_fires
from workers.models import Node

COMPARED = 500
"""Other pipelines that are looked at for clashes."""

CROWD = 3
"""So many others at the same second are worth a warning."""

NAMED = 3

SHARED = (Pipeline.Placement.ONE_STICKY, Pipeline.Placement.ONE_SPREAD)

DAYS = (
    (1, _("Mon")), (2, _("Tue")), (3, _("Wed")), (4, _("Thu")), (5, _("Fri")), (6, _("Sat")), (0, _("Sun")),
)  # fmt: skip
"""As cron numbers them, in the order of a week."""


def fires(pipeline: Pipeline, after: datetime, calendars: Iterable[Calendar] | None = None) -> SafeString:
    """The schedule in words and its next fires, in its zone and the viewer's; or what is wrong with it.
    ``calendars``: as for ``schedule_of``."""
    context: dict[str, Any]
    try:
        schedule = schedule_of(pipeline, after, calendars)
        instants = next_fires(schedule, after, PREVIEW)
        context = {
            "words": words(pipeline.schedule, str(pipeline.pk)),
            "lines": _lines(after, instants, ZoneInfo(schedule.timezone), get_current_timezone()),
            "zone": schedule.timezone,
            "silenced": is_silenced(schedule, after),
            "clash": _clash(pipeline, instants),
        }
    except ScheduleError as error:
        context = {"problem": sentence(error)}
    return render_to_string("pipelines/preview.html", context)


def _lines(after: datetime, instants: Sequence[datetime], own: ZoneInfo, viewer: tzinfo) -> list[dict[str, Any]]:
    """Each with the change of the clock between the one before it and itself, if there is one."""
    lines: list[dict[str, Any]] = []
    before = after.astimezone(own)
    for instant in instants:
        there, here = instant.astimezone(own), instant.astimezone(viewer)
        line: dict[str, Any] = {
            "there": there,
            "here": None if there.utcoffset() == here.utcoffset() else here,
            "change": None,
        }
        if before.utcoffset() != there.utcoffset():
            line["change"] = _ahead(before, there)
        lines.append(line)
        before = there
    return lines


def _ahead(before: datetime, after: datetime) -> dict[str, Any]:
    moved = (after.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
    return {"minutes": abs(moved) // timedelta(minutes=1), "forward": moved > timedelta()}


def _clash(pipeline: Pipeline, instants: Sequence[datetime]) -> dict[str, Any] | None:
    """The instant that most others share, if they are many."""
    if not instants:
        return None
    others = Pipeline.objects.filter(enabled=True, paused=False).exclude(pk=pipeline.pk).order_by("pk")
    schedules = [(other.name, _parsed(other)) for other in others.prefetch_related("calendars__entries")[:COMPARED]]
    found = [(_sharing(schedules, instant), instant) for instant in instants]
    names, instant = max(found, key=lambda pair: len(pair[0]))
    if len(names) < CROWD:
        return None
    local = instant.astimezone(ZoneInfo(pipeline.timezone))
    return {"at": local, "count": len(names), "names": names[:NAMED], "more": len(names) - NAMED}


def _parsed(pipeline: Pipeline) -> Schedule | None:
    try:
        return schedule_of(pipeline)
    except ValueError:  # Text that is no schedule, written past the validation.
        return None


def _sharing(schedules: Iterable[tuple[str, Schedule | None]], instant: datetime) -> list[str]:
    just_before = instant - timedelta(seconds=1)
    return [name for name, schedule in schedules if schedule and schedule.next(just_before) == instant]


def places(nodes: Iterable[str], labels: dict[str, str], placement: str) -> SafeString:
    """Which workers would hold the pipeline: those with these ids, and those that have all the labels."""
    named = set(nodes)
    workers = Node.objects.serving()
    held = [node for node in workers if str(node.pk) in named or matches(labels, node.labels)]
    context = {"nodes": held, "shared": placement in SHARED, "asked": bool(named or labels)}
    return render_to_string("pipelines/places.html", context | {"online": sum(node.online for node in held)})


def builder() -> SafeString:
    """Presets, and a schedule made of choices instead of signs."""
    return _builder(get_language())


@lru_cache
def _builder(language: str | None) -> SafeString:
    """Remembered for each language: it names some six hundred zones."""
    return render_to_string("pipelines/builder.html", {"days": DAYS, "zones": sorted(available_timezones())})
