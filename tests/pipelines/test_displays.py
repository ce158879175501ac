"""What the list tells of a pipeline's schedule."""

from zoneinfo import ZoneInfo

import pytest
from django.utils.timezone import override

from pipelines.displays import schedule_code
from pipelines.models import Pipeline


@pytest.mark.parametrize(
    ("schedule", "zone", "viewer", "is_told"),
    [
        ("30 2 * * *", "Asia/Shanghai", "UTC", True),
        ("30 2 * * *", "UTC", "Europe/Paris", True),
        ("30 2 * * *", "Europe/Paris", "Europe/Paris", False),
        ("30 2 * * *", "UTC", "UTC", False),
        ("*/5 * * * *", "Asia/Shanghai", "UTC", False),
        ("@at 2035-01-01T03:00", "Asia/Shanghai", "UTC", True),
        ("@at 2035-01-01T03:00+02:00", "Asia/Shanghai", "UTC", False),
        ("@at 2035-01-01T03:00-05", "Asia/Shanghai", "UTC", False),
    ],
)
def test_the_zone_of_a_time_that_is_not_by_the_viewer_s_clock(schedule, zone, viewer, is_told):
    with override(ZoneInfo(viewer)):
        shown = schedule_code(Pipeline(schedule=schedule, timezone=zone))
    assert (f"· {zone}" in shown) == is_told
