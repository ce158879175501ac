"""Random expressions against cronsim and croniter. Where they are not followed, the reason stands here.

cronsim (2.8), which models Debian's cron:

- ``a/n`` in the day of week runs to 7, so that its ``5/2`` is Friday and Sunday; croniter and we end at Saturday. Such
  items are not generated for that field.
- It leaves the fold of its start out of account, so that a fixed-time schedule asked from within the second passage of
  a repeated hour answers a time of the first, which is past. Starts in a repeated hour are not generated.
- A wildcard schedule is stepped by whole hours and set to midnight on the wall clock, which goes wrong where a clock
  changes by half an hour or at midnight. Only zones that change by an hour, in the small hours, are compared.
- Expressions with seconds never get Debian's rule (Debian has none): compared in UTC only.

croniter (7.0): knows nothing of Debian's rule, so it is compared in UTC only; ``implement_cron_bug`` gives it Vixie's
reading of ``*/n`` in the day fields; ``5L`` is spelled ``L5``. It has no ``LW``, and takes the day of month along with
``5L`` or ``5#2`` for a second condition (``0 0 13 * 5#2``: no 13th) where Vixie's rule, as cronsim has it, makes it an
alternative: these are left out.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.models import EPOCH
from workers.engine.schedule import Schedule, ScheduleError, next_fires
from workers.engine.zones import load_zone

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
ZONES = ("UTC", "Europe/Riga", "Europe/Paris", "America/New_York", "Australia/Sydney", "America/Los_Angeles")


@st.composite
def items(draw: st.DrawFn, low: int, high: int, names: list[str]) -> str:
    """One item of a field: a value, a range or a step."""

    def word(value: int) -> str:
        return names[value - low].title() if names and draw(st.booleans()) else str(value)

    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, max(last - first, 1)))
    forms = ["a", "a", "a-b", "a-b/n", "*/n"] + ["a/n"] * (names is not DAYS)
    match draw(st.sampled_from(forms)):
        case "a":
            return word(first)
        case "a-b":
            return f"{word(first)}-{word(last)}" if last > first else word(first)
        case "a-b/n":
            return f"{word(first)}-{word(last)}/{step}" if last > first else word(first)
        case "a/n":
            return f"{word(first)}/{step}" if first < high else word(first)
    return f"*/{step}"


def fields(
    low: int, high: int, names: list[str] | None = None, special: tuple[str, ...] = ()
) -> st.SearchStrategy[str]:
    """A field: mostly a star or a list of items, sometimes one of the special forms."""
    lists = st.lists(items(low, high, names or []), min_size=1, max_size=3).map(",".join)
    choices = [st.just("*"), lists, lists] + ([st.sampled_from(special)] if special else [])
    return st.one_of(choices)


FIVE = st.tuples(
    fields(0, 59),
    fields(0, 23),
    fields(1, 31, special=("L", "LW")),
    fields(1, 12, MONTHS),
    fields(0, 6, DAYS, special=("5L", "0L", "5#2", "1#5", "2#1,4L")),
).map(" ".join)
SECONDS = st.tuples(fields(0, 59), FIVE).map(" ".join)
INSTANTS = st.integers(86_400 * 10_000, 86_400 * 30_000).map(lambda second: EPOCH + timedelta(seconds=second))


def _parse(text: str, zone: str = "UTC") -> Schedule | None:
    """None for days that never come, which both oracles find out only by giving up."""
    try:
        return Schedule.parse(text, timezone=zone)
    except ScheduleError as error:
        if "never fire" not in str(error):
            raise
        return None


def _cronsim(text: str, start: datetime, count: int, reverse: bool = False) -> list[datetime]:
    walk = CronSim(text, start, reverse=reverse)
    return [fire.astimezone(UTC) for fire, _ in zip(walk, range(count), strict=False)]


def _in_repeated_hour(zone: str, start: datetime) -> bool:
    table = load_zone(zone)
    second = int(start.timestamp())
    return table.offset(second) != table.offset(second - 3 * 3600)


@settings(max_examples=400)
@given(FIVE, st.sampled_from(ZONES), INSTANTS)
def test_cronsim(text, zone, start):
    schedule = _parse(text, zone)
    if schedule is None or _in_repeated_hour(zone, start):
        return
    assert next_fires(schedule, start, 5) == _cronsim(text, start.astimezone(ZoneInfo(zone)), 5)


@settings(max_examples=200)
@given(FIVE, st.sampled_from(ZONES[1:]), st.integers(2000, 2036), st.booleans())
def test_cronsim_around_clock_changes(text, zone, year, later):
    table = load_zone(zone)
    changes = [start for start in table.starts if start > datetime(year, 1, 1, tzinfo=UTC).timestamp()]
    start = EPOCH + timedelta(seconds=changes[later] - 5 * 3600)
    schedule = _parse(text, zone)
    if schedule is not None:
        assert next_fires(schedule, start, 12) == _cronsim(text, start.astimezone(ZoneInfo(zone)), 12)


@settings(max_examples=200)
@given(SECONDS, INSTANTS)
def test_cronsim_with_seconds_and_backwards(text, start):
    schedule = _parse(text)
    if schedule is None:
        return
    assert next_fires(schedule, start, 5) == _cronsim(text, start, 5)
    back = [start]
    while len(back) < 6 and (fire := schedule.previous(back[-1])) is not None:
        back.append(fire)
    assert back[1:] == _cronsim(text, start, 5, reverse=True)[: len(back) - 1]


@settings(max_examples=300)
@given(SECONDS, INSTANTS)
def test_croniter(text, start):
    schedule = _parse(text)
    if schedule is None:
        return
    parts = text.lower().split()
    if parts[3] == "lw" or (not parts[3].startswith("*") and re.search("[l#]", parts[5])):
        return
    parts[5] = ",".join(f"l{item[0]}" if item.endswith("l") else item for item in parts[5].split(","))
    walk = croniter(" ".join(parts), start, second_at_beginning=True, implement_cron_bug=True)
    assert next_fires(schedule, start, 3) == [walk.get_next(datetime) for _ in range(3)]
