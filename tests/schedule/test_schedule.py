"""A schedule as a whole: the @ forms, limits, both directions, jitter, and what is refused."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.engine.schedule import Schedule, ScheduleError, next_fires

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_next_is_strictly_after_and_previous_strictly_before():
    schedule = Schedule.parse("0 12 * * *")
    assert schedule.next(NOON - timedelta(microseconds=1)) == NOON
    assert schedule.next(NOON) == NOON + timedelta(days=1)
    assert schedule.previous(NOON + timedelta(microseconds=1)) == NOON
    assert schedule.previous(NOON) == NOON - timedelta(days=1)


def test_instants_go_in_with_any_offset_and_come_out_in_utc():
    schedule = Schedule.parse("0 12 * * *", timezone="Asia/Tokyo")
    after = datetime(2026, 5, 1, 11, 59, tzinfo=timezone(timedelta(hours=9)))
    fire = schedule.next(after)
    assert fire == at("2026-05-01T03:00")
    assert fire.tzinfo is UTC


def test_between_leaves_out_its_start_takes_in_its_end_and_stops_at_the_limit():
    schedule = Schedule.parse("0 * * * *")
    fires = schedule.between(NOON, NOON + timedelta(hours=3), 10)
    assert fires == [NOON + timedelta(hours=hours) for hours in (1, 2, 3)]
    assert schedule.between(NOON, NOON + timedelta(hours=3), 2) == fires[:2]
    assert schedule.between(NOON, NOON + timedelta(hours=3), 0) == []
    assert schedule.between(NOON, NOON, 10) == []
    assert schedule.between(NOON, NOON + 3599.5 * SECOND, 10) == []


def test_next_fires_are_the_repeated_next():
    schedule = Schedule.parse("*/7 3-5 * * *", timezone="Europe/Riga")
    fires = next_fires(schedule, NOON, 50)
    assert len(fires) == 50
    assert fires == [schedule.next(before) for before in [NOON, *fires[:-1]]]


@pytest.mark.parametrize("call", ["next", "previous", "raw_next"])
def test_naive_datetimes_are_refused(call):
    schedule = Schedule.parse("* * * * *")
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValueError, match="naive"):
        getattr(schedule, call)(naive)


def test_naive_limits_are_refused():
    naive = NOON.replace(tzinfo=None)
    for arguments in ({"start": naive}, {"end": naive}, {"now": naive}):
        with pytest.raises(ValueError, match="naive"):
            Schedule.parse("* * * * *", **arguments)
    with pytest.raises(ValueError, match="naive"):
        Schedule.parse("* * * * *").between(NOON, naive, 1)


def test_the_span_is_1970_to_2199():
    schedule = Schedule.parse("0 0 1 1 *")
    assert schedule.next(datetime(1900, 1, 1, tzinfo=UTC)) == at("1970-01-01")
    assert schedule.previous(datetime(2500, 1, 1, tzinfo=UTC)) == at("2199-01-01")
    assert schedule.next(at("2199-01-01")) is None
    assert schedule.previous(at("1970-01-01")) is None
    for zone in ("America/New_York", "Asia/Tokyo", "Pacific/Kiritimati"):
        every_minute = Schedule.parse("* * * * *", timezone=zone)
        assert len(next_fires(every_minute, datetime(1969, 12, 1, tzinfo=UTC), 3)) == 3
        assert every_minute.previous(datetime(2300, 1, 1, tzinfo=UTC)) > at("2199-12-30")


def test_years_bound_both_directions():
    schedule = Schedule.parse("0 0 0 1 * * 2027,2031")
    assert schedule.previous(at("2029-06-15")) == at("2027-12-01")
    assert schedule.next(at("2029-06-15")) == at("2031-01-01")
    assert schedule.next(at("2029-05-31T23:59:59")) == at("2031-01-01")
    assert schedule.previous(at("2031-01-01")) == at("2027-12-01")
    assert schedule.previous(at("2027-01-01")) is None


def test_start_and_end_are_included():
    schedule = Schedule.parse("0 12 * * *", start=NOON, end=NOON + timedelta(days=2))
    assert schedule.between(at("2020-01-01"), at("2030-01-01"), 9) == [NOON + timedelta(days=day) for day in range(3)]
    assert schedule.previous(at("2030-01-01")) == NOON + timedelta(days=2)
    assert schedule.previous(NOON) is None
    late = Schedule.parse("0 12 * * *", start=NOON + timedelta(milliseconds=1))
    assert late.next(at("2020-01-01")) == NOON + timedelta(days=1)


def test_a_start_after_the_end_is_refused():
    with pytest.raises(ScheduleError) as raised:
        Schedule.parse("* * * * *", start=NOON, end=NOON - SECOND)
    assert raised.value.field == "end"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("1d", 86_400), ("2w", 1_209_600), ("1d12h", 129_600), ("1s", 1), ("5m", 300)],
)
def test_every_counts_from_1970(text, seconds):
    schedule = Schedule.parse(f"@every {text}", timezone="Europe/Paris")
    fires = next_fires(schedule, NOON, 4)
    assert all(fire.timestamp() % seconds == 0 for fire in fires)
    assert [later - earlier for earlier, later in pairwise(fires)] == [timedelta(seconds=seconds)] * 3
    assert NOON < fires[0] <= NOON + timedelta(seconds=seconds)
    assert schedule.previous(fires[1]) == fires[0]


def test_every_counts_from_its_start():
    start = NOON + 7 * SECOND
    schedule = Schedule.parse("@every 90s", start=start)
    assert next_fires(schedule, at("2020-01-01"), 2) == [start, start + 90 * SECOND]
    assert schedule.previous(start + 91 * SECOND) == start + 90 * SECOND
    assert schedule.previous(start) is None


@pytest.mark.parametrize(
    "text", ["500ms", "0s", "1500ms", "90", "", "1h-5m", "1.5h", "h", "1 h", "-5s", "1y", "9" * 30 + "s"]
)
def test_bad_intervals_are_refused(text):
    with pytest.raises(ScheduleError) as raised:
        Schedule.parse(f"@every {text}")
    assert (raised.value.field, raised.value.found) == ("interval", text)
    assert "at least 1s" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@at 2026-05-02T08:30:00Z", "2026-05-02T08:30"),
        ("@at 2026-05-02T08:30:00.000Z", "2026-05-02T08:30"),
        ("@AT 2026-05-02T08:30:00+05:30", "2026-05-02T03:00"),
        ("@at 2026-05-02T08:30", "2026-05-02T06:30"),
        ("@at 2026-05-02 08:30:15", "2026-05-02T06:30:15"),
        ("@at 2027-03-28T02:30", "2027-03-28T01:00"),  # in the gap: right after it
        ("@at 2026-10-25T02:30", "2026-10-25T00:30"),  # repeated: the first time
    ],
)
def test_at_is_once(text, expected):
    schedule = Schedule.parse(text, timezone="Europe/Paris")
    assert next_fires(schedule, NOON, 5) == [at(expected)]
    assert schedule.previous(at("2030-01-01")) == at(expected)
    assert schedule.previous(at(expected)) is None


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-13-01", "2026-05-01T25:00", "2300-01-01", "2026-05-01T12:00:00.5Z"]
)
def test_bad_instants_are_refused(text):
    with pytest.raises(ScheduleError) as raised:
        Schedule.parse(f"@at {text}")
    assert (raised.value.field, raised.value.found) == ("instant", text)


def test_at_in_a_skipped_gap_would_never_fire():
    with pytest.raises(ScheduleError, match="never fire"):
        Schedule.parse("@at 2026-03-29T02:30", timezone="Europe/Paris", dst_gap="skip")


def test_a_cron_expression_whose_only_times_fall_in_a_skipped_gap_would_never_fire():
    text = "0 30 2 29 3 * 2026"
    assert Schedule.parse(text, timezone="Europe/Paris").next(NOON - timedelta(days=99)) == at("2026-03-29T01:00")
    with pytest.raises(ScheduleError, match="never fire"):
        Schedule.parse(text, timezone="Europe/Paris", dst_gap="skip")


def test_reboot_and_manual_have_no_instants():
    for text in ("@reboot", " @Manual "):
        schedule = Schedule.parse(text, now=NOON)
        assert schedule.next(NOON) is None
        assert schedule.previous(NOON) is None
        assert next_fires(schedule, NOON, 5) == []
        assert (schedule.is_reboot, schedule.is_manual) == (text == "@reboot", text != "@reboot")
    assert not Schedule.parse("@daily").is_manual
    assert not Schedule.parse("@daily").is_reboot


@pytest.mark.parametrize(
    ("text", "fixed"),
    [("30 2 * * *", True), ("@daily", True), ("@hourly", False), ("*/5 2 * * *", False), ("5 */2 * * *", False),
     ("0-59 0-23 * * *", True), ("0 30 2 * * *", True), ("*/5 30 2 * * *", False), ("@every 60s", False)],
)  # fmt: skip
def test_fixed_time_is_debians(text, fixed):
    assert Schedule.parse(text).fixed_time is fixed


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("0 0 0 1 1 * 2025", {}),
        ("0 0 0 1 1 * 2020-2026", {}),
        ("@at 2026-05-01T12:00:00Z", {}),
        ("0 0 1 6 *", {"end": NOON + timedelta(days=10)}),
        ("@every 1d", {"end": NOON - timedelta(days=10)}),
    ],
)
def test_with_now_a_schedule_that_has_fired_for_the_last_time_is_refused(text, arguments):
    assert Schedule.parse(text, **arguments).previous(at("2199-01-01"))
    with pytest.raises(ScheduleError, match="never fire again") as raised:
        Schedule.parse(text, now=NOON, **arguments)
    assert raised.value.field == "schedule"
    assert "2026-05-01T12:00:00+00:00" in raised.value.allowed


def test_with_now_a_schedule_that_begins_later_is_taken():
    assert Schedule.parse("0 0 1 6 *", start=NOON + timedelta(days=900), now=NOON).next(NOON) == at("2029-06-01")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"dst_gap": "jump"}, "dst_gap"), ({"dst_repeat": "twice"}, "dst_repeat"), ({"jitter": -1}, "jitter"),
     ({"jitter": float("nan")}, "jitter"), ({"jitter": float("inf")}, "jitter"), ({"timezone": "Mars"}, "timezone")],
)  # fmt: skip
def test_bad_arguments_are_named(arguments, field):
    with pytest.raises(ScheduleError) as raised:
        Schedule.parse("* * * * *", **arguments)
    assert raised.value.field == field


def test_jitter_spreads_keys_is_stable_and_counts_milliseconds():
    delays = set()
    for key in map(str, range(300)):
        schedule = Schedule.parse("0 12 * * *", key=key, jitter=2.5)
        start = schedule.jittered(NOON)
        assert start == Schedule.parse("0 12 * * *", key=key, jitter=2.5).jittered(
            NOON.astimezone(ZoneInfo("Asia/Tokyo"))
        )
        assert NOON <= start < NOON + timedelta(seconds=2.5)
        assert start.microsecond % 1000 == 0
        delays.add(start - NOON)
    assert len(delays) > 200
    assert max(delays) > 2 * SECOND
    assert Schedule.parse("0 12 * * *").jittered(NOON) == NOON


@given(st.integers(0, 10**6), st.floats(0, 10_000), st.sampled_from(["* * * * * *", "*/5 * * * *", "30 2 * * *"]))
def test_jitter_never_reaches_the_next_fire(minute, jitter, text):
    schedule = Schedule.parse(text, timezone="Europe/Paris", key=str(minute), jitter=jitter)
    fire = schedule.next(NOON + timedelta(minutes=minute))
    assert fire <= schedule.jittered(fire) < schedule.next(fire)


TEXTS = [
    "* * * * *", "*/7 3-5 * 6 *", "0 0 29 2 *", "30 2 * * *", "0 9 L-3 * *", "15 14 LW,15W * fri#2", "*/20 * * * * *",
    "5,50 59 23 31 12 ? 2020-2090/7", "0 0 13 * 5", "@every 95s", "0 */3 * * mon-fri",
]  # fmt: skip
ZONES = ["UTC", "Europe/Paris", "America/Santiago", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"]


@settings(max_examples=300)
@given(
    st.sampled_from(TEXTS),
    st.sampled_from(ZONES),
    st.integers(86_400 * 2_000, 86_400 * 65_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
    st.sampled_from(["first", "both"]),
)
def test_previous_undoes_next(text, zone, moment, repeat):
    schedule = Schedule.parse(text, timezone=zone, dst_repeat=repeat)
    following = schedule.next(moment)
    if following is None:
        assert "2020-2090" in text
        return
    assert following > moment
    before = schedule.previous(following)
    assert before is None or before <= moment
    assert before is None or schedule.next(before) == following
    assert schedule.previous(following + SECOND) == following
