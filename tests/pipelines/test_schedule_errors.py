"""What is wrong with a schedule is said in the viewer's language, whatever is wrong with it."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import translation

from pipelines.calendars import entry_error
from pipelines.models import CalendarEntry, Pipeline
from pipelines.schedule_errors import sentence
from pipelines.validation import schedule_errors
from workers.engine.schedule import Schedule, ScheduleError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("61 * * * *", {}), ("* 25 * * *", {}), ("* * 32 * *", {}), ("* * * 13 *", {}), ("* * * * 8", {}),
    ("61 * * * * *", {}), ("0 0 0 1 1 * 1900", {}), ("* * *", {}), ("nonsense", {}), ("x" * 1001, {}),
    ("* * * * * 2030", {}), ("0 0 30 2 *", {}), ("* * * * 5#6", {}), ("0 0 L-31 * *", {}), ("30-10 * * * *", {}),
    ("*/99 * * * *", {}), ("H(5 * * * *", {}), ("@sometimes", {}), ("@every 0s", {}), ("@every soon", {}),
    ("@at noon", {}), ("0 0 0 1 1 * 2020", {"now": NOW}), ("@at 2020-01-01T00:00Z", {"now": NOW}),
    ("* * * * *", {"now": NOW, "end": datetime(2020, 1, 1, tzinfo=UTC)}),
    ("@at 2026-03-29T02:30", {"timezone": "Europe/Paris", "dst_gap": "skip"}),
    ("30 2 29 3 * 2026", {"timezone": "Europe/Paris", "dst_gap": "skip"}),
    ("* * * * *", {"timezone": "Mars/Olympus"}), ("* * * * *", {"jitter": -1}),
    ("* * * * *", {"start": NOW, "end": datetime(2020, 1, 1, tzinfo=UTC)}),
]  # fmt: skip

KEPT = re.compile(
    r"'[^']*'|“[^”]*”|@\w+( [\w:.+-]+)?|\w+/\w+|mon-fri|jan|sun|IANA|tzdata|cron|ISO|UTC|LW|15W|jitter|H\b"
)
"""What an error quotes, and names that are the same in every language."""


def _said(schedule: str, arguments: dict[str, Any]) -> str:
    with pytest.raises(ScheduleError) as caught:
        Schedule.parse(schedule, **{"timezone": "UTC", "key": "k", **arguments})
    with translation.override("en"):
        assert sentence(caught.value) == str(caught.value)
    with translation.override("zh-hans"):
        return sentence(caught.value)


@pytest.mark.parametrize(("schedule", "arguments"), WRONG)
def test_nothing_is_left_in_english(schedule: str, arguments: dict[str, Any]) -> None:
    said = _said(schedule, arguments)
    assert "允许的是" in said
    assert not re.search("[A-Za-z]{2,}", KEPT.sub("", said)), said


def test_what_is_quoted_is_kept() -> None:
    assert _said("61 * * * *", {}).startswith("分钟：填写的是 '61'，允许的是：0 至 59；")
    assert "3 个字段" in _said("* * *", {})


def test_of_a_calendar_too() -> None:
    with translation.override("zh-hans"):
        assert entry_error(CalendarEntry(kind="date", start="soon"), "UTC") == (
            "date",
            "'soon' 不可用：请填写日期，例如 2026-12-25；或 12-25，表示每年。",
        )


def test_a_wrong_zone_hides_no_wrong_text() -> None:
    found = schedule_errors(Pipeline(schedule="61 * * * *", timezone="Mars/Olympus"), NOW, [])
    assert found.keys() == {"timezone", "schedule"}
    right = Pipeline(schedule="@at 2026-01-02T03:04:04", timezone="America/New_Yrok", enabled=True)
    assert schedule_errors(right, NOW, []).keys() == {"timezone"}, "in its own zone it is still to come"
