"""A document's schedule as the plan reads it: the fires, and beside them the instants that a blackout suppresses."""

from datetime import datetime

from coordination.documents import PipelineDocument
from workers.engine.calendars import Blackout
from workers.engine.schedule import Schedule


class Occasions:
    """Every instant that needs a decision. Without calendars these are the schedule's fires."""

    __slots__ = ("_schedule",)

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    @property
    def is_reboot(self) -> bool:
        """Fires when the worker starts."""
        return self._schedule.is_reboot

    def next(self, after: datetime) -> datetime | None:
        """The first instant after ``after`` that fires or is suppressed."""
        return self._schedule.next(after)

    def previous(self, before: datetime) -> datetime | None:
        """The last instant before ``before`` that fires."""
        return self._schedule.previous(before)

    def between(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        """The instants after ``start`` up to ``end``, oldest first."""
        return self._schedule.between(start, end, limit)

    def jittered(self, instant: datetime) -> datetime:
        """When to start the fire of this instant."""
        return self._schedule.jittered(instant)

    def blacked_out(self, instant: datetime) -> str | None:
        """Which calendar suppresses this instant."""
        return None


class OccasionsWithBlackouts(Occasions):
    """The fires (those moved to the end of a blackout included) merged with the suppressed instants."""

    __slots__ = ()

    def next(self, after: datetime) -> datetime | None:
        found = [i for i in (self._schedule.next(after), self._schedule.raw_next(after)) if i is not None]
        return min(found, default=None)

    def between(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        fires = self._schedule.between(start, end, limit)
        raw = self._schedule.raw_between(start, end, limit)
        return sorted({*fires, *raw})[:limit]

    def blacked_out(self, instant: datetime) -> str | None:
        return self._schedule.blacked_out(instant)


def occasions(document: PipelineDocument) -> Occasions:
    """Compiles a document's schedule. Raises ScheduleError, or ValueError for a malformed calendar."""
    blackouts = tuple(Blackout.from_dict(blackout) for blackout in document.blackouts)
    schedule = Schedule.parse(
        document.schedule,
        timezone=document.timezone,
        key=document.pipeline,
        dst_gap=document.dst_gap,
        dst_repeat=document.dst_repeat,
        start=document.starts_at,
        end=document.ends_at,
        jitter=document.jitter,
        calendars=blackouts,
    )
    return OccasionsWithBlackouts(schedule) if blackouts else Occasions(schedule)
