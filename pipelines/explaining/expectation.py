"""Whether an instant was expected, by the definition that held then."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from pipelines.explaining.answer import shown
from pipelines.models import Pipeline
from pipelines.schedule_errors import sentence
from pipelines.schedules import schedule_of
from workers.engine.schedule import Schedule, ScheduleError

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Expectation:
    """``against`` says why it was not expected; empty: it was. ``schedule`` None: there was none to ask."""

    against: tuple[str, ...]
    schedule: Schedule | None = None

    def around(self, at: datetime) -> tuple[datetime | None, datetime | None]:
        """The expected instants before and after."""
        return (self.schedule.previous(at), self.schedule.next(at)) if self.schedule else (None, None)


def expectation(pipeline: Pipeline, at: datetime) -> Expectation:
    """By the history of the pipeline's edits; its calendars are taken as they are now."""
    then = _as_of(pipeline, at)
    if then is None:
        born = _("The pipeline did not exist yet: it was made at %(at)s.")
        return Expectation((born % {"at": shown(pipeline.created_at, pipeline.timezone)},))
    try:
        schedule = schedule_of(_with_calendars(then, pipeline))
    except ScheduleError as error:
        return Expectation((_("Its schedule cannot be read: %(error)s") % {"error": sentence(error)},))
    reasons = [*_disabled(then, pipeline), *_unnamed(schedule, then, at)]
    return Expectation(tuple(reasons), schedule)


def _as_of(pipeline: Pipeline, at: datetime) -> Any:
    """The definition that held, an unsaved instance; None before it was made."""
    record = pipeline.history.filter(history_date__lte=at).order_by("-history_date", "-history_id").first()
    if record is None:
        # The first record is written a moment after the row itself, and older rows have none.
        return pipeline if pipeline.created_at <= at and not pipeline.history.exists() else None
    return record.instance if record.history_type != "-" else None


def _with_calendars(then: Pipeline, pipeline: Pipeline) -> Pipeline:
    then.pk = pipeline.pk  # by which its calendars are found, and H is hashed
    return then


def _disabled(then: Any, pipeline: Pipeline) -> list[str]:
    if then.enabled:
        return []
    return [_("The pipeline was disabled then.") + " " + _edited(pipeline, then)]


def _edited(pipeline: Pipeline, then: Any) -> str:
    held = getattr(then, "_history", None)
    if held is None:
        return ""
    told = {"at": shown(held.history_date, pipeline.timezone), "who": held.history_user or _("the system")}
    return _("That definition is from %(at)s, by %(who)s.") % told


def _unnamed(schedule: Schedule, then: Any, at: datetime) -> list[str]:
    if schedule.is_manual or schedule.is_reboot:
        return [_("Its schedule (%(schedule)s) names no instants.") % {"schedule": then.schedule}]
    if schedule.next(at - _TICK) == at:
        return []
    if schedule.raw_next(at - _TICK) == at and (name := schedule.blacked_out(at)):
        return [_("The calendar %(name)s covers this instant.") % {"name": name}]
    words = _("The schedule %(schedule)s (%(zone)s) does not name this instant.")
    reasons = [words % {"schedule": then.schedule, "zone": then.timezone}]
    for field, text in (
        ("starts_at", _("It begins only at %(at)s.")),
        ("ends_at", _("It ended at %(at)s.")),
    ):
        edge = getattr(then, field)
        if edge is not None and (at < edge if field == "starts_at" else at > edge):
            reasons.append(text % {"at": shown(edge, then.timezone)})
    return [*reasons, *_clock_change(schedule, then, at)]


def _clock_change(schedule: Schedule, then: Any, at: datetime) -> list[str]:
    """A change of the clock close by, which moves or removes instants."""
    zone = ZoneInfo(then.timezone)
    before, after = (at + timedelta(hours=hours) for hours in (-3, 3))
    old, new = before.astimezone(zone).utcoffset(), after.astimezone(zone).utcoffset()
    if old == new or not schedule.fixed_time:
        return []
    gap, repeat = then.get_dst_gap_display().lower(), then.get_dst_repeat_display().lower()
    text = _("The clock changed within three hours of it (in a gap: %(gap)s; in a repeated hour: %(repeat)s).")
    return [text % {"gap": gap, "repeat": repeat}]
