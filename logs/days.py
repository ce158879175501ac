"""Days as they are in the viewer's zone, for filters."""

from datetime import date, datetime, time, timedelta

from django.utils.timezone import make_aware


def parsed(text: str) -> date | None:
    """None for what is no day, or one at an end of the calendar, of which no zone can tell."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1 < day.year < 9999 else None


def bounds(day: date) -> tuple[datetime, datetime]:
    """When the day begins and ends where the viewer is; it may have 23 or 25 hours."""
    return make_aware(datetime.combine(day, time())), make_aware(datetime.combine(day + timedelta(days=1), time()))


def moved(day: date | None, days: int) -> str:
    """ISO of the day so many later; empty beyond the calendar."""
    try:
        return (day + timedelta(days=days)).isoformat() if day else ""
    except OverflowError:
        return ""
