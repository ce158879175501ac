"""Models to judge the engine by: slow, plain, and independent of it (the time zones come from zoneinfo)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Expression:
    """A five-field expression with its meaning spelled out."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    month_days: frozenset[int] = frozenset(range(1, 32))
    months: frozenset[int] = frozenset(range(1, 13))
    week_days: frozenset[int] = frozenset(range(7))

    @property
    def wild(self) -> bool:
        """cron.c's MIN_STAR | HR_STAR."""
        return any(field.startswith("*") for field in self.text.split()[:2])

    def matches(self, wall: datetime) -> bool:
        """find_jobs() of cron.c for a wall-clock minute (naive)."""
        fields = self.text.split()
        by_date = wall.day in self.month_days
        by_weekday = wall.isoweekday() % 7 in self.week_days
        both = fields[2].startswith("*") or fields[4].startswith("*")
        days = (by_date and by_weekday) if both else (by_date or by_weekday)
        return wall.minute in self.minutes and wall.hour in self.hours and wall.month in self.months and days


def walls(start: datetime, end: datetime, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """(instant, wall clock) of every whole minute after ``start`` up to ``end``."""
    minutes = int((end - start) / MINUTE)
    instants = [start + MINUTE * index for index in range(1, minutes + 1)]
    return [(instant, instant.astimezone(zone).replace(tzinfo=None)) for instant in instants]


def debian_cron(expression: Expression, clock: list[tuple[datetime, datetime]]) -> list[datetime]:
    """When Debian's cron runs a job while its host's clock goes through ``clock``: the main loop of cron.c.

    The virtual clock starts in step. A job that is due several times in one real minute counts once.
    """
    virtual = clock[0][1] - MINUTE
    fires = []
    for instant, wall in clock:
        behind = int((wall - virtual) / MINUTE)
        if behind == 1:
            due = expression.matches(wall)
            virtual = wall
        elif 1 < behind <= 5:  # woken late: every missed minute
            missed = [virtual + MINUTE * step for step in range(1, behind + 1)]
            due, virtual = any(map(expression.matches, missed)), wall
        elif 5 < behind <= 180:  # put forward: wildcard jobs now, fixed-time jobs for every missed minute
            missed = [wall] if expression.wild else [virtual + MINUTE * step for step in range(1, behind + 1)]
            due, virtual = any(map(expression.matches, missed)), wall
        elif -180 < behind <= 0:  # put back: only wildcard jobs until the virtual clock is reached
            due = expression.wild and expression.matches(wall)
        else:  # a correction of the clock
            due, virtual = expression.matches(wall), wall
        if due:
            fires.append(instant)
    return fires


def by_definition(
    expression: Expression, clock: list[tuple[datetime, datetime]], gap: str, repeat: str
) -> list[datetime]:
    """The DST choices as the product words them, by looking at every minute of the wall clock."""
    seen: set[datetime] = set()
    latest = clock[0][1] - MINUTE
    fires = []
    for instant, wall in clock:
        due = expression.matches(wall) and (expression.wild or repeat == "both" or wall not in seen)
        if not expression.wild and gap == "shift":
            due = due or any(
                expression.matches(latest + MINUTE * step) for step in range(1, int((wall - latest) / MINUTE))
            )
        seen.add(wall)
        latest = max(latest, wall)
        if due:
            fires.append(instant)
    return fires
