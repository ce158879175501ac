"""The list of runs in the admin: days, names, pages, reasons."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from logs import search
from logs.models import Run
from pipelines.models import Pipeline
from tests.logs.test_runs_api import make

pytestmark = pytest.mark.django_db

LIST = "/admin/logs/run/"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def page(admin: Client, address: str = "") -> Any:
    reply = admin.get(address if address.startswith("/") else LIST + address)
    assert reply.status_code == 200
    return reply.context["cl"]


def numbers(shown: Any) -> list[int]:
    return [run.uuid.int - 1000 for run in shown.result_list]


def test_pages_go_on_and_back_over_every_run_once(admin: Client) -> None:
    for number in range(120):
        make(number)
    shown, forth = page(admin), []
    while True:
        forth.append(numbers(shown))
        if not shown.older_url:
            break
        shown = page(admin, shown.older_url)
    assert [number for each in forth for number in each] == list(range(119, -1, -1))
    assert [len(each) for each in forth] == [50, 50, 20]
    back = [numbers(shown)]
    while shown.newer_url:
        shown = page(admin, shown.newer_url)
        back.append(numbers(shown))
    assert back == forth[::-1]


def test_pages_of_a_day_are_in_the_order_of_its_instants(admin: Client) -> None:
    """Also of those at one instant, and of those that came late."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for number in range(70):
        make(number, scheduled_at=noon - timedelta(minutes=number // 3))
    first = page(admin, "?day=2026-03-01")
    second = page(admin, first.older_url)
    seen = list(first.result_list) + list(second.result_list)
    assert len({run.pk for run in seen}) == 70
    assert [run.scheduled_at for run in seen] == sorted((run.scheduled_at for run in seen), reverse=True)
    assert not second.older_url
    assert numbers(page(admin, second.newer_url)) == numbers(first)


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        ("2026-03-28", "2026-03-27T23:00:00", "2026-03-28T22:59:59"),
        ("2026-03-29", "2026-03-28T23:00:00", "2026-03-29T21:59:59"),
        ("2026-10-25", "2026-10-24T22:00:00", "2026-10-25T22:59:59"),
    ],
)
def test_a_day_is_that_of_the_viewer(admin: Client, day: str, first: str, last: str) -> None:
    """In Berlin, the days with 23 and with 25 hours too."""
    begin, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
    second = timedelta(seconds=1)
    for number, at in enumerate([begin - second, begin, end, end + second]):
        make(number, scheduled_at=at)
    admin.cookies["ects_zone"] = quote("Europe/Berlin", safe="")
    assert numbers(page(admin, f"?day={day}")) == [2, 1]


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "0001-01-01", "9999-12-31", "20260301x"])
def test_what_is_no_day_narrows_nothing(admin: Client, day: str) -> None:
    make(1)
    assert numbers(page(admin, f"?day={day}")) == [1]


def test_a_pipeline_is_named_or_told_by_its_id(admin: Client) -> None:
    orders, both = Pipeline.objects.bulk_create([Pipeline(name="orders"), Pipeline(name="orders and more")])
    make(1, pipeline=orders.pk, pipeline_name="orders")
    make(2, pipeline=both.pk, pipeline_name="orders and more")
    for given, expected in {
        "orders": [1], "ORDERS": [1], "and m": [2], "ord": [], "nobody": [], str(both.pk): [2], str(uuid.uuid4()): [],
    }.items():  # fmt: skip
        assert numbers(page(admin, f"?pipeline={quote(given)}")) == expected, given
    told = admin.get(f"{LIST}?pipeline={both.pk}").content.decode()
    assert 'value="orders and more"' in told


def test_filters_stay_on_the_next_page(admin: Client) -> None:
    for number in range(60):
        make(number, state="failed" if number % 60 else "succeeded")
    shown = page(admin, "?state__exact=failed&day=2026-03-01")
    following = page(admin, shown.older_url)
    assert numbers(shown) + numbers(following) == list(range(59, 0, -1))
    assert numbers(page(admin, "?state__exact=nonsense")) == []


def test_the_reason_stands_in_the_row_without_a_query_for_each(admin: Client) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin.get(LIST)
        return len(captured)

    make(1)
    few = asked()
    for number in range(2, 40):
        reason = "run by eve; Step 2 <b> failed: It ended with exit code 3."
        make(number, state="failed", trigger="manual", requested_by="eve", reason=reason)
    assert asked() == few
    text = admin.get(LIST).content.decode()
    assert text.count(">Step 2 &lt;b&gt; failed: It ended with exit code 3.<") == 38
    assert text.count("Manual, by eve") == 38


def test_an_edge_that_is_gone_or_nonsense_is_no_error(admin: Client) -> None:
    make(1)
    for edge in ("before=999", "after=x", "before=-1", "after=99999999999999999999"):
        assert numbers(page(admin, f"?{edge}")) == [1], edge
    assert Run.objects.count() == 1


def test_a_search_by_a_name_says_that_it_finds_the_newest_only(admin: Client) -> None:
    """Without older pages to go to, one would think that there are no more."""
    pipeline = Pipeline.objects.create(name="nightly")
    for number in range(search.OF_EACH + 1):
        make(number, pipeline=pipeline.pk)
    for query, count in (("?q=night", search.OF_EACH), (f"?q={pipeline.pk}", search.OF_EACH + 1), ("", 21)):
        reply = admin.get(LIST + query)
        assert len(reply.context["cl"].result_list) == count
        assert (f"The newest {search.OF_EACH} runs of each" in reply.content.decode()) is (query == "?q=night")
