"""Blackouts: the wire form, what each entry covers, and the fires that are left, against a model by the minute."""

import json
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.engine.calendars import Blackout, DateRange, NamedDate, WeeklyWindow
from workers.engine.schedule import Schedule, ScheduleError, next_fires

OFFICE = WeeklyWindow(("mon", "tue", "wed", "thu", "fri"), "09:00", "17:30")
WIRE = {
    "name": "Freeze",
    "timezone": "Europe/Paris",
    "policy": "end",
    "dates": [{"date": "12-25", "name": "Christmas"}, {"date": "2026-07-14", "name": ""}],
    "ranges": [{"start": "2026-12-24T18:00", "end": "2027-01-02", "name": "holidays"}],
    "weekly": [{"days": ["mon", "fri"], "start": "22:00", "end": "06:00", "name": ""}],
}


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def test_the_wire_form_comes_back_and_is_json():
    assert Blackout.from_dict(json.loads(json.dumps(WIRE))).to_dict() == WIRE
    assert Blackout.from_dict({"name": "empty"}) == Blackout("empty")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": 5}, "name"),
        ({"timezone": "Mars"}, "timezone"),
        ({"policy": "wait"}, "policy"),
        ({"dates": "2026-12-25"}, "dates"),
        ({"dates": ["2026-12-25"]}, "dates[0]"),
        ({"dates": [{"date": "2026-12-25"}, {"date": "2026-02-30"}]}, "dates[1].date"),
        ({"dates": [{"date": "13-01"}]}, "dates[0].date"),
        ({"dates": [{"date": "Christmas"}]}, "dates[0].date"),
        ({"dates": [{}]}, "dates[0].date"),
        ({"ranges": [{"start": "2026-12-24"}]}, "ranges[0].end"),
        ({"ranges": [{"start": "later", "end": "2026-12-24"}]}, "ranges[0].start"),
        ({"ranges": [{"start": "2026-12-24", "end": "2026-12-23"}]}, "ranges[0].end"),
        ({"ranges": [{"start": "2026-12-24T10:00", "end": "2026-12-24T10:00"}]}, "ranges[0].end"),
        ({"weekly": [{"days": ["mon"], "start": "25:00"}]}, "weekly[0].start"),
        ({"weekly": [{"days": ["mon"], "end": "24:01"}]}, "weekly[0].end"),
        ({"weekly": [{"days": ["mon"], "end": "9:00"}]}, "weekly[0].end"),
        ({"weekly": [{"days": ["monday"]}]}, "weekly[0].days"),
        ({"weekly": [{"days": []}]}, "weekly[0].days"),
        ({"weekly": [{"days": ["mon"], "until": "9:00"}]}, "weekly[0].until"),
        ({"holidays": []}, "calendar.holidays"),
    ],
)
def test_what_is_wrong_in_the_wire_form_is_named(change, field):
    with pytest.raises(ScheduleError) as raised:
        Blackout.from_dict({"name": "x"} | change)
    assert raised.value.field == field


def test_a_calendar_needs_a_name():
    with pytest.raises(ScheduleError) as raised:
        Blackout.from_dict({})
    assert raised.value.field == "calendar.name"


@pytest.mark.parametrize(
    ("entry", "first", "last"),
    [
        ({"dates": (NamedDate("2026-07-14"),)}, "2026-07-14T00:00", "2026-07-14T23:59"),
        ({"dates": (NamedDate("12-25"),)}, "2031-12-25T00:00", "2031-12-25T23:59"),
        ({"dates": (NamedDate("02-29"),)}, "2028-02-29T00:00", "2028-02-29T23:59"),
        ({"dates": (NamedDate("2026-03-29"),)}, "2026-03-29T00:00", "2026-03-29T23:59"),  # 23 hours
        ({"ranges": (DateRange("2026-07-14", "2026-07-15"),)}, "2026-07-14T00:00", "2026-07-15T23:59"),
        ({"ranges": (DateRange("2026-07-14T08:00", "2026-07-15T09:30"),)}, "2026-07-14T08:00", "2026-07-15T09:29"),
        ({"ranges": (DateRange("2026-07-14T06:00Z", "2026-07-14T07:00Z"),)}, "2026-07-14T08:00", "2026-07-14T08:59"),
        ({"weekly": (OFFICE,)}, "2026-07-13T09:00", "2026-07-13T17:29"),
        ({"weekly": (WeeklyWindow(("sun",), "22:00", "06:00"),)}, "2026-07-12T22:00", "2026-07-13T05:59"),
        ({"weekly": (WeeklyWindow(("sat",)),)}, "2026-10-24T00:00", "2026-10-24T23:59"),
    ],
)
def test_what_an_entry_covers(entry, first, last):
    schedule = Schedule.parse("* * * * *", calendars=[Blackout("x", timezone="Europe/Paris", **entry)])
    start, end = at(first, "Europe/Paris"), at(last, "Europe/Paris")
    assert [schedule.blacked_out(moment) for moment in (start - timedelta(minutes=1), start, end)] == [None, "x", "x"]
    assert schedule.blacked_out(end + timedelta(minutes=1)) is None


def test_overlapping_entries_are_all_seen():
    ranges = (
        DateRange("2026-01-01", "2026-12-31"),
        DateRange("2026-03-01", "2026-03-02"),
        DateRange("2026-04-01", "2026-04-02"),
    )
    schedule = Schedule.parse("@daily", calendars=[Blackout("x", ranges=ranges)])
    assert next_fires(schedule, at("2025-12-31T12:00"), 1) == [at("2027-01-01")]


def test_names_say_the_calendar_and_the_entry():
    calendar = Blackout("Freeze", dates=(NamedDate("2026-12-25", "Christmas"), NamedDate("2026-12-26")))
    schedule = Schedule.parse("@daily", calendars=[calendar])
    assert schedule.blacked_out(at("2026-12-25T10:00")) == "Freeze: Christmas"
    assert schedule.blacked_out(at("2026-12-26T10:00")) == "Freeze"
    assert schedule.blacked_out(at("2026-12-27T10:00")) is None


def test_skipped_fires_are_gone_but_the_ledger_can_learn_of_them():
    schedule = Schedule.parse("0 */6 * * *", calendars=[Blackout("Freeze", dates=(NamedDate("2026-12-25"),))])
    start, end = at("2026-12-24T12:00"), at("2026-12-26T06:00")
    assert schedule.between(start, end, 9) == [at("2026-12-24T18:00"), at("2026-12-26"), at("2026-12-26T06:00")]
    raw = schedule.raw_between(start, end, 9)
    assert len(raw) == 7
    assert [fire for fire in raw if schedule.blacked_out(fire)] == raw[1:5]
    assert schedule.raw_next(at("2026-12-24T18:00")) == at("2026-12-25")
    assert schedule.next(at("2026-12-24T18:00")) == at("2026-12-26")
    assert schedule.previous(at("2026-12-26")) == at("2026-12-24T18:00")


def test_policy_end_fires_once_when_the_blackout_ends():
    schedule = Schedule.parse("*/10 * * * *", calendars=[Blackout("x", policy="end", weekly=(OFFICE,))])
    monday = at("2026-07-13T08:50")
    assert next_fires(schedule, monday, 2) == [at("2026-07-13T17:30"), at("2026-07-13T17:40")]
    assert schedule.next(at("2026-07-13T12:00")) == at("2026-07-13T17:30")
    assert schedule.previous(at("2026-07-13T17:31")) == at("2026-07-13T17:30")
    assert schedule.previous(at("2026-07-13T17:30")) == monday


def test_policy_end_owes_nothing_when_no_fire_fell_in():
    schedule = Schedule.parse("0 3 * * *", calendars=[Blackout("x", policy="end", weekly=(OFFICE,))])
    assert next_fires(schedule, at("2026-07-13T02:00"), 2) == [at("2026-07-13T03:00"), at("2026-07-14T03:00")]


def test_policy_end_owes_nothing_for_times_before_the_start_or_after_the_end():
    office = Blackout("x", policy="end", weekly=(OFFICE,))
    late = Schedule.parse("0 10 * * *", calendars=[office], start=at("2026-07-13T11:00"))
    assert late.next(at("2026-07-13T00:00")) == at("2026-07-14T17:30")
    assert late.next(at("2026-07-13T12:00")) == at("2026-07-14T17:30")
    assert late.previous(at("2026-07-14T12:00")) is None
    early = Schedule.parse("0 10 * * *", calendars=[office], end=at("2026-07-13T11:00"))
    assert early.next(at("2026-07-12T18:00")) is None


def test_blackouts_that_touch_are_one():
    days = tuple(WeeklyWindow((day,)) for day in ("fri", "sat", "sun"))
    schedule = Schedule.parse("0 12 * * *", calendars=[Blackout("x", policy="end", weekly=days)])
    assert next_fires(schedule, at("2026-07-16T12:00"), 2) == [at("2026-07-20"), at("2026-07-20T12:00")]


def test_skip_wins_over_end():
    calendars = [Blackout("later", policy="end", weekly=(OFFICE,)), Blackout("never", dates=(NamedDate("2026-07-13"),))]
    schedule = Schedule.parse("0 12 * * *", calendars=calendars)
    assert next_fires(schedule, at("2026-07-12T12:00"), 1) == [at("2026-07-14T17:30")]
    assert schedule.blacked_out(at("2026-07-13T12:00")) == "never"


def test_a_fire_put_off_into_a_skipped_time_is_dropped():
    evening = Blackout("never", ranges=(DateRange("2026-07-13T17:30", "2026-07-13T18:00"),))
    schedule = Schedule.parse("0 12 * * *", calendars=[Blackout("later", policy="end", weekly=(OFFICE,)), evening])
    assert schedule.next(at("2026-07-12T12:00")) == at("2026-07-14T17:30")
    assert schedule.previous(at("2026-07-13T20:00")) == at("2026-07-12T12:00")


def test_a_schedule_that_lies_wholly_inside_never_fires():
    always = Blackout("x", weekly=(WeeklyWindow(("mon", "tue", "wed", "thu", "fri", "sat", "sun")),))
    for policy in ("skip", "end"):
        calendar = Blackout.from_dict(always.to_dict() | {"policy": policy})
        schedule = Schedule.parse("* * * * *", calendars=[calendar])
        assert schedule.next(at("2026-07-12")) is None
        assert schedule.previous(at("2026-07-12")) is None


@st.composite
def calendars(draw: st.DrawFn) -> Blackout:
    """A calendar around the second week of July 2026."""
    days = st.integers(6, 19).map(lambda day: f"2026-07-{day:02}")
    clocks = st.integers(0, 47).map(lambda half: f"{half // 2:02}:{half % 2 * 30:02}")
    dates = draw(st.lists(days, max_size=2))
    weekly = draw(st.lists(st.tuples(st.sampled_from(["mon", "wed", "sat", "sun"]), clocks, clocks), max_size=3))
    spans = draw(st.lists(st.tuples(days, clocks, st.integers(1, 60)), max_size=2))
    ranges = []
    for day, clock, hours in spans:
        start = datetime.fromisoformat(f"{day}T{clock}")
        ranges.append(DateRange(start.isoformat(), (start + timedelta(hours=hours)).isoformat()))
    return Blackout(
        "x",
        timezone=draw(st.sampled_from(["UTC", "Asia/Kathmandu"])),
        policy=draw(st.sampled_from(["skip", "end"])),
        dates=tuple(map(NamedDate, dates)),
        ranges=tuple(ranges),
        weekly=tuple(WeeklyWindow((day,), start, end) for day, start, end in weekly),
    )


def _covers(calendar: Blackout, instant: datetime) -> bool:
    """The wire form read naively: no change of the clock in these zones and weeks."""
    local = instant.astimezone(ZoneInfo(calendar.timezone)).replace(tzinfo=None)
    if any(day.date == local.date().isoformat() for day in calendar.dates):
        return True
    if any(datetime.fromisoformat(r.start) <= local < datetime.fromisoformat(r.end) for r in calendar.ranges):
        return True
    for window in calendar.weekly:
        for back in (0, 1):
            day = datetime.combine(local.date() - timedelta(days=back), datetime.min.time())
            start, end = (
                day + timedelta(hours=int(text[:2]), minutes=int(text[3:])) for text in (window.start, window.end)
            )
            if end <= start:
                end += timedelta(days=1)
            if f"{day:%a}".lower() in window.days and start <= local < end:
                return True
    return False


def _model(raw: list[datetime], calendars: list[Blackout]) -> list[datetime]:
    """Drop what ``skip`` covers; move on by quarter hours (the grid of all entries) what ``end`` covers."""

    @cache  # many fires are put off by the same steps
    def is_covered(policy: str, instant: datetime) -> bool:
        return any(_covers(calendar, instant) for calendar in calendars if calendar.policy == policy)

    fires = set()
    for fire in raw:
        moved = fire
        while is_covered("end", moved):
            moved += timedelta(minutes=15)
        if not any(is_covered("skip", instant) for instant in (fire, moved)):
            fires.add(moved)
    return sorted(fires)


@settings(max_examples=60)
@given(
    st.lists(calendars(), max_size=3), st.sampled_from(["*/15 * * * *", "0 */5 * * *", "30 12 * * *", "0 0 * * mon"])
)
def test_the_fires_left_are_those_of_the_model(chosen, text):
    schedule = Schedule.parse(text, timezone="UTC", calendars=chosen)
    start, end = at("2026-06-26"), at("2026-07-24")
    expected = [fire for fire in _model(schedule.raw_between(start, end, 9999), chosen) if fire <= end]
    window = [fire for fire in expected if fire > at("2026-06-28")]  # what was put off from before has fired
    assert schedule.between(at("2026-06-28"), end, 9999) == window
    for fire in window[:: max(len(window) // 12, 1)]:
        assert schedule.next(fire - timedelta(seconds=1)) == fire
        assert schedule.previous(fire + timedelta(seconds=1)) == fire
        before = [earlier for earlier in expected if earlier < fire]
        if before:  # none: the one before lies outside the model's weeks
            assert schedule.previous(fire) == before[-1]
