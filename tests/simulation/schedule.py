"""A schedule simple enough to be beyond doubt: every so many seconds, from an offset."""

from datetime import datetime
from functools import cache

from coordination.documents import PipelineDocument
from coordination.fires import Timing
from tests.simulation.world import seconds, wall


class Every:
    """Fires at ``offset + n * period``, in whole seconds of virtual time."""

    is_reboot = False

    def __init__(self, text: str) -> None:
        self.period, self.offset = (int(word) for word in text.split())

    def next(self, after: datetime) -> datetime | None:
        number = (seconds(after) - self.offset) // self.period + 1
        return wall(self.offset + number * self.period)

    def previous(self, before: datetime) -> datetime | None:
        number = -((self.offset - seconds(before)) // self.period) - 1
        return wall(self.offset + number * self.period)

    def between(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        first = int((seconds(start) - self.offset) // self.period) + 1
        last = int((seconds(end) - self.offset) // self.period)
        return [wall(self.offset + n * self.period) for n in range(first, min(last, first + limit - 1) + 1)]

    def jittered(self, instant: datetime) -> datetime:
        return instant

    def blacked_out(self, instant: datetime) -> str | None:
        return None


@cache
def every(text: str) -> Every:
    """Compiled once."""
    return Every(text)


def make_fires(document: PipelineDocument, timing: Timing) -> Every:
    """What a SharedPlan asks for."""
    return every(timing.schedule)
