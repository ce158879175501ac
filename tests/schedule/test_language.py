"""The language of cron expressions, form by form, and every way to get it wrong."""

from datetime import UTC, datetime

import pytest

from workers.engine.cron import ScheduleError, compile_cron
from workers.engine.schedule import Schedule, next_fires

START = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)  # February 2026 begins on a Sunday and has 28 days


def _next(text: str, count: int, key: str = "") -> list[str]:
    fires = next_fires(Schedule.parse(text, key=key), START, count)
    return [fire.strftime("%y-%m-%d %H:%M:%S") for fire in fires]


def _days(text: str, count: int) -> list[str]:
    return [fire[3:8] for fire in _next(f"0 0 {text}", count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", ["26-02-01 00:00:00", "26-02-01 00:01:00"]),
        ("*/25 * * * *", ["26-02-01 00:00:00", "26-02-01 00:25:00", "26-02-01 00:50:00", "26-02-01 01:00:00"]),
        ("10/25 1 * * *", ["26-02-01 01:10:00", "26-02-01 01:35:00", "26-02-02 01:10:00"]),
        ("59/15 1 * * *", ["26-02-01 01:59:00", "26-02-02 01:59:00"]),
        ("10-20/5,7 3 * * *", ["26-02-01 03:07:00", "26-02-01 03:10:00", "26-02-01 03:15:00", "26-02-01 03:20:00"]),
        ("05 09 * * *", ["26-02-01 09:05:00"]),
        ("  5\t9  *   * * ", ["26-02-01 09:05:00"]),
        ("30 5 9 * * *", ["26-02-01 09:05:30"]),
        ("*/20 5 9 * * *", ["26-02-01 09:05:00", "26-02-01 09:05:20", "26-02-01 09:05:40", "26-02-02 09:05:00"]),
        ("59,58 59 23 31 12 *", ["26-12-31 23:59:58", "26-12-31 23:59:59", "27-12-31 23:59:58"]),
        ("0 0 0 1 1 * 2199", ["99-01-01 00:00:00"]),
        ("0 0 0 1 1 * 2027,2030-2040/5", ["27-01-01 00:00:00", "30-01-01 00:00:00", "35-01-01 00:00:00"]),
        ("0 0 0 1 1 * */100", ["70-01-01 00:00:00"]),
        ("0 0 29 2 *", ["28-02-29 00:00:00", "32-02-29 00:00:00"]),
        ("@yearly", ["27-01-01 00:00:00"]),
        ("@annually", ["27-01-01 00:00:00"]),
        ("@monthly", ["26-02-01 00:00:00", "26-03-01 00:00:00"]),
        ("@weekly", ["26-02-01 00:00:00", "26-02-08 00:00:00"]),
        ("@daily", ["26-02-01 00:00:00", "26-02-02 00:00:00"]),
        ("@Midnight", ["26-02-01 00:00:00", "26-02-02 00:00:00"]),
        (" @HOURLY ", ["26-02-01 00:00:00", "26-02-01 01:00:00"]),
    ],
)
def test_times(text, expected):
    assert _next(text, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # months and days by name
        ("1 MAR,april *", "03-01 04-01 03-01"),
        ("1 Sep-november *", "09-01 10-01 11-01 09-01"),
        ("* * Monday", "02-02 02-09"),
        ("* * tue-THU", "02-03 02-04 02-05 02-10"),
        ("* * mon-fri/2", "02-02 02-04 02-06 02-09"),
        ("* * 0", "02-01 02-08"),
        ("* * 7", "02-01 02-08"),
        ("* * 5-7", "02-01 02-06 02-07 02-08"),
        ("* * fri-sun", "02-01 02-06 02-07 02-08"),
        ("* * sun-mon", "02-01 02-02 02-08"),
        ("* * */3", "02-01 02-04 02-07 02-08"),
        # both day fields: either, unless one begins with * or is ?
        ("13 * fri", "02-06 02-13 02-20 02-27 03-06"),
        ("*/7 * 1", "06-01 06-08 06-15 06-22 06-29"),
        ("1-7 * */7", "02-01 03-01 04-05"),
        ("? * mon", "02-02 02-09"),
        ("3 * ?", "02-03 03-03"),
        # Quartz's forms
        ("L * *", "02-28 03-31 04-30"),
        ("l-3 * *", "02-25 03-28 04-27"),
        ("L-28 * *", "03-03 04-02 05-03"),
        ("LW * *", "02-27 03-31 04-30 05-29"),
        ("15W * *", "02-16 03-16 04-15 05-15 06-15 07-15 08-14"),
        ("1W * *", "02-02 03-02 04-01 05-01 06-01 07-01 08-03"),
        ("31W * *", "03-31 05-29 07-31 08-31 10-30"),
        ("1,15W,L * *", "02-01 02-16 02-28 03-01"),
        ("* * 5L", "02-27 03-27 04-24"),
        ("* * friL", "02-27 03-27 04-24"),
        ("* * 0L,7l", "02-22 03-29"),
        ("* * 5#2", "02-13 03-13 04-10"),
        ("* * FRI#5", "05-29 07-31 10-30"),
        ("* * 1#1,3L", "02-02 02-25 03-02 03-25"),
        ("L * 5#2", "02-13 02-28 03-13 03-31"),
    ],
)
def test_days(text, expected):
    assert _days(text, len(expected.split())) == expected.split()


def test_equal_expressions_share_their_masks():
    one, other = compile_cron("*/5 9-17 * * mon-fri"), compile_cron(" */5  9-17 * *  MON-FRI")
    assert one is other
    assert compile_cron("0 3 * * mon-fri").days is one.days
    assert compile_cron("*/5 9-17 1 * *").times is one.times


HASHED = [
    ("H * * * *", range(60), "minute"),
    ("0 H * * *", range(24), "hour"),
    ("0 0 H * *", range(1, 29), "day"),
    ("0 0 1 H *", range(1, 13), "month"),
    ("H(10-19) 0 * * *", range(10, 20), "minute"),
]


@pytest.mark.parametrize(("text", "values", "part"), HASHED)
def test_h_is_one_value_of_its_range_the_same_for_the_same_key(text, values, part):
    chosen = {}
    for key in map(str, range(400)):
        fire = next_fires(Schedule.parse(text, key=key), START, 1)[0]
        assert fire == next_fires(Schedule.parse(text.lower(), key=key), START, 1)[0]
        chosen[key] = getattr(fire, part)
    assert set(chosen.values()) == set(values)


def test_h_is_stable_over_versions():
    """A new release must not move anybody's schedule."""
    assert _next("H H * * *", 1, key="0b6d1c4e-1f0f-4f0e-8a51-3b6d8f1f2a11") == ["26-02-01 00:52:00"]


def test_h_differs_between_fields():
    pairs = {tuple(map(int, _next("H H * * * *", 1, key=str(key))[0].split(":")[1:])) for key in range(60)}
    assert len({minute - second for minute, second in pairs}) > 10


@pytest.mark.parametrize(
    ("text", "low", "high", "step"),
    [("H/15 0 1 2 *", 0, 59, 15), ("H(10-39)/10 0 1 2 *", 10, 39, 10), ("H(0-5)/5 0 1 2 *", 0, 5, 5)],
)
def test_h_with_a_step_begins_within_the_first_step(text, low, high, step):
    firsts = set()
    for key in map(str, range(200)):
        schedule = Schedule.parse(text, key=key)
        minutes = [fire.minute for fire in schedule.between(START, datetime(2026, 2, 1, 1, tzinfo=UTC), 60)]
        assert low <= minutes[0] < low + step
        assert minutes == list(range(minutes[0], high + 1, step))
        firsts.add(minutes[0])
    assert firsts == set(range(low, low + step))


def test_h_with_a_step_is_a_wildcard_for_daylight_saving_like_the_star_it_stands_for():
    assert not Schedule.parse("H/15 2 * * *").fixed_time
    assert Schedule.parse("H 2 * * *").fixed_time


@pytest.mark.parametrize(
    ("text", "field", "found", "allowed"),
    [
        ("60 * * * *", "minute", "60", "0 to 59"),
        ("* 24 * * *", "hour", "24", "0 to 23"),
        ("* * 0 * *", "day of month", "0", "1 to 31"),
        ("* * 32 * *", "day of month", "32", "1 to 31"),
        ("* * * 13 *", "month", "13", "1 to 12"),
        ("* * * 0 *", "month", "0", "1 to 12"),
        ("* * * * 8", "day of week", "8", "0 to 7"),
        ("60 * * * * *", "second", "60", "0 to 59"),
        ("0 0 0 1 1 * 1969", "year", "1969", "1970 to 2199"),
        ("0 0 0 1 1 * 2200", "year", "2200", "1970 to 2199"),
        ("x * * * *", "minute", "x", "0 to 59"),
        ("-1 * * * *", "minute", "-1", "0 to 59"),
        ("1- * * * *", "minute", "1-", "0 to 59"),
        ("1-2-3 * * * *", "minute", "2-3", "0 to 59"),
        ("1.5 * * * *", "minute", "1.5", "0 to 59"),
        ("1_0 * * * *", "minute", "1_0", "0 to 59"),
        ("¹ * * * *", "minute", "¹", "0 to 59"),
        ("٣ * * * *", "minute", "٣", "0 to 59"),
        ("+5 * * * *", "minute", "+5", "0 to 59"),
        ("1, * * * *", "minute", "", "0 to 59"),
        ("1,,2 * * * *", "minute", "", "0 to 59"),
        ("** * * * *", "minute", "**", "0 to 59"),
        ("? * * * *", "minute", "?", "0 to 59"),
        ("L * * * *", "minute", "L", "0 to 59"),
        ("* * * ? *", "month", "?", "1 to 12"),
        ("* * * Foo *", "month", "Foo", "jan"),
        ("* * * janu *", "month", "janu", "jan"),
        ("* * * mon *", "month", "mon", "jan"),
        ("* * * * jan", "day of week", "jan", "sun"),
        ("* * * JAN-Dex *", "month", "Dex", "jan"),
        ("*/0 * * * *", "minute", "*/0", "1 to 59"),
        ("*/60 * * * *", "minute", "*/60", "1 to 59"),
        ("*/100 * * * *", "minute", "*/100", "1 to 59"),
        ("*/ * * * *", "minute", "*/", "1 to 59"),
        ("*/x * * * *", "minute", "*/x", "1 to 59"),
        ("*/-5 * * * *", "minute", "*/-5", "1 to 59"),
        ("*/5/5 * * * *", "minute", "*/5/5", "1 to 59"),
        ("10-20/11 * * * *", "minute", "10-20/11", "1 to 10"),
        ("* */24 * * *", "hour", "*/24", "1 to 23"),
        ("* * */32 * *", "day of month", "*/32", "1 to 31"),
        ("* * * */13 *", "month", "*/13", "1 to 12"),
        ("* * * * */8", "day of week", "*/8", "1 to 7"),
        ("0 0 0 1 1 * */230", "year", "*/230", "1 to 229"),
        ("5-1 * * * *", "minute", "5-1", "smaller value first"),
        ("* * * nov-feb *", "month", "nov-feb", "smaller value first"),
        ("* * * * fri-mon", "day of week", "fri-mon", "smaller value first"),
        ("* * L-31 * *", "day of month", "L-31", "L-1 to L-30"),
        ("* * 32W * *", "day of month", "32", "1 to 31"),
        ("* * 0W * *", "day of month", "0", "1 to 31"),
        ("* * LW-1 * *", "day of month", "LW", "1 to 31"),
        ("* * L/2 * *", "day of month", "L", "1 to 31"),
        ("* * 1-5W * *", "day of month", "5W", "1 to 31"),
        ("* * W * *", "day of month", "W", "15W"),
        ("* * * * L", "day of week", "L", "5L"),
        ("* * * * 5L-6", "day of week", "5L", "0 to 7"),
        ("* * * * 8L", "day of week", "8", "0 to 7"),
        ("* * * * 5#0", "day of week", "5#0", "1 to 5"),
        ("* * * * 5#6", "day of week", "5#6", "1 to 5"),
        ("* * * * 8#1", "day of week", "8", "0 to 7"),
        ("* * * * 5#", "day of week", "5#", "0 to 7"),
        ("* * * * 5#1#1", "day of week", "5#1#1", "0 to 7"),
        ("H(5) * * * *", "minute", "H(5)", "0 to 59"),
        ("H(10-70) * * * *", "minute", "70", "0 to 59"),
        ("H(20-10) * * * *", "minute", "20-10", "smaller value first"),
        ("H/60 * * * *", "minute", "H/60", "1 to 59"),
        ("H(0-9)/20 * * * *", "minute", "H(0-9)/20", "1 to 9"),
        ("H-5 * * * *", "minute", "H-5", "0 to 59"),
        ("0 0 0 1 1 * H", "year", "H", "1970 to 2199"),
        ("R * * * *", "minute", "R", "0 to 59"),
        ("", "schedule", "0 fields", "5 fields"),
        ("* * * *", "schedule", "4 fields", "5 fields"),
        ("* * * * * * * *", "schedule", "8 fields", "5 fields"),
        ("hourly", "schedule", "hourly", "@daily"),
        ("@fortnightly", "schedule", "@fortnightly", "@every"),
        ("@daily 5", "schedule", "@daily 5", "@every"),
        ("@manual now", "schedule", "@manual now", "@every"),
        ("* " * 600, "schedule", "1200 characters", "at most 1000"),
        # days that no calendar has
        ("0 0 30 2 *", "day of month", "30 2", "a day that occurs"),
        ("0 0 31 2,4,6,9,11 ?", "day of month", "31 2,4,6,9,11", "a day that occurs"),
        ("0 0 31W feb *", "day of month", "31W feb", "a day that occurs"),
        ("0 0 L-29 2 *", "day of month", "L-29 2", "a day that occurs"),
        ("0 0 0 29 2 * 2027", "day of month", "29 2 * 2027", "a day that occurs"),
        ("0 0 */31 * mon#4", "day of month", "*/31 * mon#4", "a day that occurs"),
    ],
)
def test_what_is_wrong_is_said(text, field, found, allowed):
    with pytest.raises(ScheduleError) as raised:
        Schedule.parse(text)
    error = raised.value
    assert (error.field, error.found) == (field, found)
    assert allowed in error.allowed
    assert field in str(error)
    assert repr(found) in str(error)
    assert error.allowed in str(error)
    assert str(error).endswith(".")
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("text", ["0 0 1 1 * 2030", "0 12 * * ? 2026-2028", "0 0 1 1 * 2030/2"])
def test_six_fields_that_end_in_a_year_get_a_hint(text):
    with pytest.raises(ScheduleError, match=f"seven fields: write the second first, '0 {text[:5]}") as raised:
        Schedule.parse(text)
    assert raised.value.found == text.split()[-1]


def test_advice_can_be_followed():
    with pytest.raises(ScheduleError, match="write 22-23,0-2 to go over the end"):
        Schedule.parse("0 22-2 * * *")
    assert _next("0 22-23,0-2 * * *", 4)[2:] == ["26-02-01 02:00:00", "26-02-01 22:00:00"]
