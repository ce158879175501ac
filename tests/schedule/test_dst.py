"""Clocks put forward and back: named cases, both choices, and a plain reading of the rule over random expressions."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.models import EPOCH, Expression, by_definition, debian_cron, walls
from workers.engine.schedule import Schedule, next_fires
from workers.engine.zones import load_zone


def _fires(text: str, zone: str, after: str, count: int, **choices: str) -> list[str]:
    """The next fires after a local time, as local times with offset."""
    schedule = Schedule.parse(text, timezone=zone, **choices)
    start = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone))
    return [fire.astimezone(ZoneInfo(zone)).isoformat() for fire in next_fires(schedule, start, count)]


CASES = [
    # fixed-time, gap of an hour (02:00 to 03:00): right after it, once, whatever fell in
    ("30 2 * * *", "Europe/Paris", "2026-03-28T12:00", "2026-03-29T03:00:00+02:00 2026-03-30T02:30:00+02:00"),
    ("0,30 2 * * *", "Europe/Paris", "2026-03-28T12:00", "2026-03-29T03:00:00+02:00 2026-03-30T02:00:00+02:00"),
    ("0 2,3 * * *", "Europe/Paris", "2026-03-28T12:00", "2026-03-29T03:00:00+02:00 2026-03-30T02:00:00+02:00"),
    (
        "30 1-4 * * *",
        "Europe/Paris",
        "2026-03-29T01:00",
        "2026-03-29T01:30:00+01:00 2026-03-29T03:00:00+02:00 2026-03-29T03:30:00+02:00",
    ),
    ("15 30 2 * * *", "Europe/Paris", "2026-03-28T12:00", "2026-03-29T03:00:00+02:00 2026-03-30T02:30:15+02:00"),
    # fixed-time, repeated hour: the first passage
    ("30 2 * * *", "Europe/Paris", "2026-10-25T00:00", "2026-10-25T02:30:00+02:00 2026-10-26T02:30:00+01:00"),
    ("15 30 2 * * *", "Europe/Paris", "2026-10-25T00:00", "2026-10-25T02:30:15+02:00 2026-10-26T02:30:15+01:00"),
    # wildcard: real time
    ("30 * * * *", "Europe/Paris", "2026-03-29T01:00", "2026-03-29T01:30:00+01:00 2026-03-29T03:30:00+02:00"),
    (
        "30 * * * *",
        "Europe/Paris",
        "2026-10-25T02:00",
        "2026-10-25T02:30:00+02:00 2026-10-25T02:30:00+01:00 2026-10-25T03:30:00+01:00",
    ),
    ("*/30 2 * * *", "Europe/Paris", "2026-03-28T12:00", "2026-03-30T02:00:00+02:00 2026-03-30T02:30:00+02:00"),
    ("*/20 30 2 * * *", "Europe/Paris", "2026-03-28T12:00", "2026-03-30T02:30:00+02:00 2026-03-30T02:30:20+02:00"),
    (
        "@hourly",
        "Europe/Paris",
        "2026-10-25T01:00",
        "2026-10-25T02:00:00+02:00 2026-10-25T02:00:00+01:00 2026-10-25T03:00:00+01:00",
    ),
    (
        "@every 1h",
        "Europe/Paris",
        "2026-10-25T01:30",
        "2026-10-25T02:00:00+02:00 2026-10-25T02:00:00+01:00 2026-10-25T03:00:00+01:00",
    ),
    # half an hour
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", "2026-10-04T02:30:00+11:00 2026-10-05T02:15:00+11:00"),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", "2026-04-05T01:45:00+11:00 2026-04-06T01:45:00+10:30"),
    ("45 * * * *", "Australia/Lord_Howe", "2026-04-05T01:00", "2026-04-05T01:45:00+11:00 2026-04-05T01:45:00+10:30"),
    # gaps at midnight
    ("@daily", "Asia/Beirut", "2026-03-28T12:00", "2026-03-29T01:00:00+03:00 2026-03-30T00:00:00+03:00"),
    ("0 0 29 3 *", "Asia/Beirut", "2026-03-28T12:00", "2026-03-29T01:00:00+03:00 2027-03-29T00:00:00+03:00"),
    ("30 0 * * *", "America/Santiago", "2026-09-05T12:00", "2026-09-06T01:00:00-03:00 2026-09-07T00:30:00-03:00"),
    ("59 23 * * *", "America/Santiago", "2026-04-04T12:00", "2026-04-04T23:59:00-03:00 2026-04-05T23:59:00-04:00"),
    ("30 0 * * fri", "Africa/Cairo", "2026-04-23T12:00", "2026-04-24T01:00:00+03:00 2026-05-01T00:30:00+03:00"),
    ("30 23 * * *", "Africa/Cairo", "2026-10-29T12:00", "2026-10-29T23:30:00+03:00 2026-10-30T23:30:00+02:00"),
    # two hours, and a change that is not daylight saving
    ("30 2 * * *", "Antarctica/Troll", "2026-03-28T12:00", "2026-03-29T03:00:00+02:00 2026-03-30T02:30:00+02:00"),
    ("15 0 5 5 *", "Asia/Pyongyang", "2018-05-01T00:00", "2018-05-05T00:15:00+09:00 2019-05-05T00:15:00+09:00"),
    ("45 23 * * *", "Asia/Pyongyang", "2018-05-04T12:00", "2018-05-05T00:00:00+09:00 2018-05-05T23:45:00+09:00"),
    # Apia went from the 29th to the 31st of December 2011
    ("30 1 * * *", "Pacific/Apia", "2011-12-29T12:00", "2011-12-31T00:00:00+14:00 2011-12-31T01:30:00+14:00"),
    ("0 12 30 12 *", "Pacific/Apia", "2011-12-29T12:00", "2011-12-31T00:00:00+14:00 2012-12-30T12:00:00+14:00"),
    ("0 * 30 * *", "Pacific/Apia", "2011-12-01T00:00", "2012-01-30T00:00:00+14:00"),
    ("0 */12 * * *", "Pacific/Apia", "2011-12-29T06:00", "2011-12-29T12:00:00-10:00 2011-12-31T00:00:00+14:00"),
]


@pytest.mark.parametrize(("text", "zone", "after", "expected"), CASES)
def test_the_default_is_debian_crons_behaviour(text, zone, after, expected):
    expected = expected.split()
    assert _fires(text, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "zone", "after", "choices", "expected"),
    [
        ("30 2 * * *", "Europe/Paris", "2026-03-28T12:00", {"dst_gap": "skip"}, "2026-03-30T02:30:00+02:00"),
        ("30 1-4 * * *", "Europe/Paris", "2026-03-29T01:30", {"dst_gap": "skip"}, "2026-03-29T03:30:00+02:00"),
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-29T12:00", {"dst_gap": "skip"}, "2012-12-30T12:00:00+14:00"),
        (
            "30 2 * * *",
            "Europe/Paris",
            "2026-10-25T00:00",
            {"dst_repeat": "both"},
            "2026-10-25T02:30:00+02:00 2026-10-25T02:30:00+01:00 2026-10-26T02:30:00+01:00",
        ),
        ("30 2 * * *", "Europe/Paris", "2026-03-28T12:00", {"dst_repeat": "both"}, "2026-03-29T03:00:00+02:00"),
        (
            "30 2 * * *",
            "Europe/Paris",
            "2026-10-25T00:00",
            {"dst_gap": "skip"},
            "2026-10-25T02:30:00+02:00 2026-10-26T02:30:00+01:00",
        ),
        (
            "0 * * * *",
            "Europe/Paris",
            "2026-10-25T01:30",
            {"dst_repeat": "first"},
            "2026-10-25T02:00:00+02:00 2026-10-25T02:00:00+01:00",
        ),
    ],
)
def test_the_choices(text, zone, after, choices, expected):
    expected = expected.split()
    assert _fires(text, zone, after, len(expected), **choices) == expected


def test_asked_within_the_second_passage_a_fixed_time_schedule_looks_past_it():
    schedule = Schedule.parse("30 2 * * *", timezone="Europe/Paris")
    assert schedule.next(datetime(2026, 10, 25, 1, 10, tzinfo=UTC)) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert schedule.previous(datetime(2026, 10, 25, 1, 40, tzinfo=UTC)) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_asked_backwards_early_in_the_second_passage_both_finds_the_first():
    schedule = Schedule.parse("45 2 * * *", timezone="Europe/Paris", dst_repeat="both")
    assert schedule.previous(datetime(2026, 10, 25, 1, 10, tzinfo=UTC)) == datetime(2026, 10, 25, 0, 45, tzinfo=UTC)


def test_asked_just_before_the_gap_a_fixed_time_schedule_answers_its_end():
    schedule = Schedule.parse("30 2 * * *", timezone="Europe/Paris")
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert schedule.next(change - timedelta(seconds=1)) == change
    assert schedule.next(change) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


def test_the_three_hour_limit_of_cron_is_not_ours():
    """cron.c takes a jump of three hours or more for a correction of the clock, and so loses the day that Apia skipped.

    It has only a clock to go by. The engine knows that the zone has changed, so a daily job is not lost.
    """
    clock = walls(
        datetime(2011, 12, 29, 22, tzinfo=UTC), datetime(2011, 12, 30, 22, tzinfo=UTC), ZoneInfo("Pacific/Apia")
    )
    daily = Expression("0 12 * * *", frozenset({0}), frozenset({12}))
    ours = Schedule.parse(daily.text, timezone="Pacific/Apia").between(clock[0][0], clock[-1][0], 9)
    assert debian_cron(daily, clock) == [datetime(2011, 12, 30, 22, tzinfo=UTC)]
    assert ours == [datetime(2011, 12, 30, 10, tzinfo=UTC), datetime(2011, 12, 30, 22, tzinfo=UTC)]


# Zones whose changes are of every kind: an hour, half an hour, two hours, a day, at midnight, often, not for summer.
# Those of Monrovia and others before 1972 that are not whole minutes are left out: the models step by minutes.
KINDS = (
    "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Santiago", "Africa/Cairo",
    "Africa/Casablanca", "Antarctica/Troll", "Pacific/Apia", "Asia/Pyongyang", "America/Caracas", "Antarctica/Casey",
    "America/Havana", "Asia/Kathmandu", "Pacific/Kwajalein",
)  # fmt: skip
CHANGES = [(key, start) for key in KINDS for start in load_zone(key).starts if 86_400 * 1_000 < start < 86_400 * 30_000]


@st.composite
def expressions(draw: st.DrawFn) -> Expression:
    """A five-field expression: wildcard or fixed minutes and hours, sometimes with restricted days."""
    minute_text, minutes = draw(_field(60))
    hour_text, hours = draw(_field(24))
    days = draw(st.sampled_from([range(1, 32), range(1, 16), range(16, 32)]))
    day_text = "*" if len(days) == 31 else f"{days[0]}-{days[-1]}"
    return Expression(f"{minute_text} {hour_text} {day_text} * *", minutes, hours, frozenset(days))


@st.composite
def _field(draw: st.DrawFn, size: int) -> tuple[str, frozenset[int]]:
    if draw(st.booleans()):
        step = draw(st.integers(1, size // 2))
        return (f"*/{step}" if step > 1 else "*"), frozenset(range(0, size, step))
    values = draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=6))
    return ",".join(map(str, values)), frozenset(values)


def _clock_around(key: str, start: int) -> list[tuple[datetime, datetime]]:
    """The wall clock from ten hours before a change: long enough for no repeated time to have begun earlier."""
    change = EPOCH + timedelta(seconds=start)
    return walls(change - timedelta(hours=10), change + timedelta(hours=5), ZoneInfo(key))


@settings(max_examples=300)
@given(
    expressions(),
    st.sampled_from(CHANGES),
    st.sampled_from(["shift", "skip"]),
    st.sampled_from(["first", "both"]),
    st.lists(st.integers(400, 800), max_size=9),
)
def test_every_choice_against_its_definition(expression, change, gap, repeat, asked):
    key, start = change
    clock = _clock_around(key, start)
    schedule = Schedule.parse(expression.text, timezone=key, dst_gap=gap, dst_repeat=repeat)
    fires = schedule.between(clock[0][0] - timedelta(seconds=1), clock[-1][0], 2_000)
    assert fires == by_definition(expression, clock, gap, repeat)
    for instant in (EPOCH + timedelta(seconds=start), *(clock[index][0] for index in asked)):
        following = [fire for fire in fires if fire >= instant]
        if following:
            assert schedule.next(instant - timedelta(seconds=1)) == following[0]
    back = [clock[-1][0] + timedelta(seconds=1)]
    while (fire := schedule.previous(back[-1])) is not None and fire >= clock[0][0]:
        back.append(fire)
    assert back[:0:-1] == fires


@settings(max_examples=300)
@given(expressions(), st.sampled_from(CHANGES))
def test_the_default_against_cron_itself(expression, change):
    """Excluded: changes of three hours or more (see above)."""
    key, start = change
    zone = load_zone(key)
    if abs(zone.offset(start) - zone.offset(start - 1)) >= 3 * 3600:
        return
    clock = _clock_around(key, start)
    schedule = Schedule.parse(expression.text, timezone=key)
    assert schedule.between(clock[0][0] - timedelta(seconds=1), clock[-1][0], 2_000) == debian_cron(expression, clock)
