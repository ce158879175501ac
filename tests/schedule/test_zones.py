"""Every zone of the tz database: the tables against zoneinfo, the fires around its next ten changes against cron's."""

import zoneinfo
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.schedule.models import EPOCH, Expression, debian_cron, walls
from workers.engine.cron import ScheduleError
from workers.engine.schedule import Schedule
from workers.engine.zones import Zone, load_zone

ZONES = sorted(zoneinfo.available_timezones())
SINCE = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
ALL = frozenset(range(60))
HOURS = frozenset(range(24))
YEARS_2200 = 7_258_118_400


def _offset(zone: ZoneInfo, instant: int) -> int:
    moment = (EPOCH + timedelta(seconds=instant)).astimezone(zone)
    return int(moment.utcoffset().total_seconds())


def test_tables_agree_with_zoneinfo_on_both_sides_of_every_change_and_between():
    for key in ZONES:
        table, zone = load_zone(key), ZoneInfo(key)
        instants = {moment for start in table.starts if start > 0 for moment in (start - 1, start)}
        instants |= set(range(0, YEARS_2200, 86_400 * 61))
        for instant in instants:
            if instant < YEARS_2200:
                assert table.offset(instant) == _offset(zone, instant), (key, instant)


def test_no_change_of_a_zone_is_left_out():
    """Any two neighbouring instants that zoneinfo gives different offsets have a change of ours between them."""
    for key in ZONES[::17]:
        table, zone = load_zone(key), ZoneInfo(key)
        for instant in range(0, YEARS_2200, 86_400 * 20):
            if _offset(zone, instant) != _offset(zone, instant + 86_400 * 20):
                assert any(instant < start <= instant + 86_400 * 20 for start in table.starts), (key, instant)


def _next_changes(table: Zone, count: int) -> list[int]:
    return [start for start in table.starts if start > SINCE][:count]


def _expressions(wall: datetime) -> list[Expression]:
    """Fixed-time ones that fall on the wall clock given, alone and every hour by list, and wildcard ones."""
    minute, hour = frozenset({wall.minute}), frozenset({wall.hour})
    every_hour = ",".join(map(str, range(24)))
    return [
        Expression(f"{wall.minute} {wall.hour} * * *", minute, hour),
        Expression(f"{wall.minute} {every_hour} * * *", minute, HOURS),
        Expression(f"{wall.minute} * * * *", minute, HOURS),
        Expression(f"*/20 {wall.hour} * * *", frozenset({0, 20, 40}), hour),
    ]


def test_the_next_ten_changes_of_every_zone_fire_as_debian_cron_does():
    checked, known = 0, {}
    for key in ZONES:
        table = load_zone(key)
        for change in _next_changes(table, 10):
            before, after = table.offset(change - 1), table.offset(change)
            signature = (change, before, after)
            instant = EPOCH + timedelta(seconds=change)
            if signature not in known:  # many zones are one another's aliases: the model needs to run once
                clock = walls(instant - timedelta(hours=2), instant + timedelta(hours=4), ZoneInfo(key))
                inside = (instant + timedelta(seconds=(before + after) // 2)).replace(tzinfo=None)
                known[signature] = [(expression, debian_cron(expression, clock)) for expression in _expressions(inside)]
            for expression, expected in known[signature]:
                schedule = Schedule.parse(expression.text, timezone=key)
                fires = schedule.between(instant - timedelta(hours=2), instant + timedelta(hours=4), 1000)
                assert fires == expected, (key, expression.text, instant)
                checked += 1
    assert checked > 5_000


@pytest.mark.parametrize("key", ["Mars/Olympus", "", "../etc/passwd", "Europe", "Europe/Pariss"])
def test_what_is_not_a_zone_is_refused_by_name(key):
    with pytest.raises(ScheduleError) as raised:
        load_zone(key)
    assert (raised.value.field, raised.value.found) == ("timezone", key)
    assert "Europe/Paris" in str(raised.value)


def test_the_first_instant_of_a_wall_time_is_found_in_gaps_and_repeats():
    paris = load_zone("Europe/Paris")
    gap = int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp())
    assert [paris.instant(gap + 3600 + late) for late in (-1, 0, 1800, 3599, 3600)] == [gap - 1, gap, gap, gap, gap]
    back = int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp())
    assert paris.instant(back + 3600) == back - 3600
    assert paris.instant(back + 7199) == back - 1
    assert paris.instant(back + 7200) == back + 3600
