"""Charts as markup that a browser draws: what the bars measure, what they say, and the newest runs behind them."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from logs.charts import Column, columns, short, sparkline
from logs.models import Run
from logs.newest import newest_runs

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Whatever language the request of another test asked for."""
    with translation.override("en"):
        yield


def made(number: int, state: str = "succeeded", took: float | None = 1, **more: Any) -> Run:
    at = NOON + timedelta(minutes=number)
    values = {
        "pipeline": uuid.UUID(int=7),
        "node": uuid.UUID(int=101),
        "started_at": at,
        "finished_at": None if took is None else at + timedelta(seconds=took),
    }
    return Run(uuid=uuid.uuid4(), scheduled_at=at, state=state, **values | more)


def bars(markup: str) -> list[ElementTree.Element]:
    """The rectangles that are coloured; reading them shows that the markup is well formed."""
    return [one for one in ElementTree.fromstring(markup).iter("rect") if "ects-fill" in one.attrib["class"]]


def test_a_sparkline_has_a_bar_for_each_run_as_tall_as_it_took() -> None:
    drawn = bars(sparkline([made(0, took=1), made(1, "failed", took=2), made(2, "running", took=None)]))
    assert [bar.attrib["class"] for bar in drawn] == ["ects-fill-succeeded", "ects-fill-failed", "ects-fill-running"]
    low, high, none = (float(bar.attrib["height"]) for bar in drawn)
    assert high == 22
    assert none < low < high
    assert all(float(bar.attrib["y"]) + float(bar.attrib["height"]) == 22 for bar in drawn)
    assert int(drawn[-1].attrib["x"]) == 29 * 6, "the newest stands at the right end"


def test_a_bar_says_its_state_its_time_in_the_viewers_zone_and_how_long_it_took() -> None:
    with timezone.override("Asia/Shanghai"):
        drawn = bars(sparkline([made(0, "timed_out", took=2.25)]))
    assert drawn[0].findtext("title") == "Timed out · 2026-03-02 20:00:00 · 2.2 s"


def test_a_sparkline_shows_the_last_thirty_and_tells_how_many_went_wrong() -> None:
    runs = [made(number, "failed" if number % 10 == 0 else "succeeded") for number in range(35)]
    markup = sparkline([*runs, made(35, "skipped")])
    assert len(bars(markup)) == 30
    assert ElementTree.fromstring(markup).attrib["aria-label"] == "Last 30 runs, 3 of them not well"
    assert "no runs yet" in sparkline([])


def test_a_state_from_elsewhere_stays_text() -> None:
    assert "<script" not in sparkline([made(0, '"><script>')])


def test_the_parts_of_a_column_stand_on_each_other() -> None:
    chart = [Column("12:00", "12:00 · much", (("succeeded", 60), ("failed", 20))), Column("", "nothing", ())]
    drawn = bars(columns(chart, "words"))
    spans = [(float(bar.attrib["y"]), float(bar.attrib["height"])) for bar in drawn]
    assert spans == [(25, 75), (0, 25)], "80 is the top of the axis"
    assert [bar.attrib["class"] for bar in drawn] == ["ects-fill-succeeded", "ects-fill-failed"]


def test_a_column_is_told_and_never_vanishes() -> None:
    chart = [Column("a", "<b> & more", (("failed", 1),)), Column("b", "much", (("succeeded", 1_000_000),))]
    tree = ElementTree.fromstring(columns(chart, "what it shows"))
    assert [one.text for one in tree.iter("title")] == ["<b> & more", "much"]
    assert [one.attrib["aria-label"] for one in tree.iter("svg")] == ["what it shows"]
    assert float(bars(columns(chart, ""))[0].attrib["height"]) == 1


@pytest.mark.parametrize(
    ("most", "axis"),
    [
        (0, ["4", "3", "2", "1", "0"]),
        (5, ["8", "6", "4", "2", "0"]),
        (130, ["160", "120", "80", "40", "0"]),
        (1_000_000, ["1.2M", "900k", "600k", "300k", "0"]),
    ],
)
def test_the_axis_ends_above_the_columns_with_numbers_that_are_easy_to_read(most: int, axis: list[str]) -> None:
    tree = ElementTree.fromstring(columns([Column("", "", (("succeeded", most),))], ""))
    assert [one.text for one in tree[0]] == axis


def test_numbers_in_few_characters() -> None:
    assert [short(one) for one in (0, 7, 999, 1000, 1250, 34_000_000)] == ["0", "7", "999", "1k", "1.2k", "34M"]


@pytest.mark.django_db
def test_the_newest_runs_of_many_pipelines_come_in_one_query_oldest_first() -> None:
    one, other, none = (uuid.uuid4() for _ in range(3))
    Run.objects.bulk_create(
        [made(number, pipeline=(one, other)[number % 3 == 0]) for number in range(99)]
        + [made(99, "running", None, pipeline=other)]
    )
    with CaptureQueriesContext(connection) as asked:
        found = newest_runs([one, other, none, one], most=5)
        numbers = {
            pipeline: [(run.scheduled_at - NOON) // timedelta(minutes=1) for run in runs]
            for pipeline, runs in found.items()
        }
    assert len(asked) == 1
    assert numbers == {one: [92, 94, 95, 97, 98], other: [87, 90, 93, 96, 99]}
    assert found[other][-1].state == "running"
    assert newest_runs([]) == {}
