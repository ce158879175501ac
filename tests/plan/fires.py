"""A schedule simple enough to be counted by hand: every ``period`` seconds from the epoch on."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Every:
    """Fires at each multiple of ``period`` seconds since the Unix epoch."""

    period: int
    is_reboot: bool = False
    blackouts: dict[datetime, str] = field(default_factory=dict)
    delay: float = 0

    def _index(self, instant: datetime) -> int:
        return (instant - EPOCH) // timedelta(seconds=self.period)

    def _at(self, index: int) -> datetime:
        return EPOCH + timedelta(seconds=self.period * index)

    def next(self, after: datetime) -> datetime | None:
        return None if self.is_reboot else self._at(self._index(after) + 1)

    def previous(self, before: datetime) -> datetime | None:
        return self._at(self._index(before - timedelta(microseconds=1)))

    def between(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        found: list[datetime] = []
        instant = self.next(start)
        while instant is not None and instant <= end and len(found) < limit:
            found.append(instant)
            instant = self.next(instant)
        return found

    def blacked_out(self, instant: datetime) -> str | None:
        return self.blackouts.get(instant)

    def jittered(self, instant: datetime) -> datetime:
        return instant + timedelta(seconds=self.delay)
