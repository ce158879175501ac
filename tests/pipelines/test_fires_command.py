"""``manage.py fires``."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command


def fires(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("fires", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_instants_in_the_zone():
    assert fires("30 2 * * *", "--timezone", "Europe/Paris", "--after", "2026-03-28T00:00:00Z", "--count", "3") == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_choices_of_daylight_saving():
    options = ("30 2 * * *", "--timezone", "Europe/Paris", "--after")
    assert fires(*options, "2026-03-29T00:00", "--count", "1", "--dst-gap", "skip") == ["2026-03-30T02:30:00+02:00"]
    both = fires(*options, "2026-10-25T00:00", "--count", "2", "--dst-repeat", "both")
    assert both == ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]


def test_the_key_decides_what_h_means():
    instants = {fires("H H * * *", "--key", key, "--count", "1", "--after", "2026-01-01")[0] for key in "abc"}
    assert len(instants) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("61 * * * *",), ("@daily", "--timezone", "Mars/Olympus"), ("@daily", "--after", "soon"),
        ("@daily", "--count", "0"), ("",), ("@daily", "--timezone", "../x"), ("0 0 0 1 1 ? 2020",),
        ("0 0 0 1 1 ? 2020", "--after", "2021-01-01"), ("@at 2020-01-01T00:00Z",),
    ],
)  # fmt: skip
def test_bad_text_ends_with_2_and_the_reason(arguments):
    with pytest.raises(CommandError) as caught:
        fires(*arguments)
    assert caught.value.returncode == 2
    assert str(caught.value)


def test_what_is_over_now_was_still_to_come_then():
    assert fires("0 0 0 1 1 ? 2020", "--after", "2019-06-01") == ["2020-01-01T00:00:00+00:00"]


def test_a_schedule_that_ends_later_has_no_fires_after_that():
    assert fires("0 0 0 1 1 ? 2199", "--after", "2199-01-02") == []
