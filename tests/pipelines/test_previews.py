"""What the form says of a schedule and of bindings before they are saved."""

import re
from datetime import UTC, datetime

import pytest
from django.urls import reverse
from django.utils import timezone

from pipelines import previews
from pipelines.models import Pipeline
from tests.pipelines import makers

pytestmark = pytest.mark.django_db


def _text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=UTC), "Here the clock goes forward by 60 minutes."),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), "Here the clock goes back by 60 minutes."),
        (datetime(2026, 6, 1, 12, tzinfo=UTC), ""),
    ],
)
def test_changes_of_the_clock_are_marked(after: datetime, words: str) -> None:
    page = _text(previews.fires(Pipeline(schedule="30 12 * * *", timezone="Europe/Berlin"), after))
    assert ("the clock goes" in page) == bool(words)
    assert words in page
    assert page.count("12:30:00 CE") == 5


def test_the_change_stands_between_the_fires_that_it_lies_between() -> None:
    after = datetime(2026, 3, 28, 0, tzinfo=UTC)
    page = _text(previews.fires(Pipeline(schedule="30 12 * * *", timezone="Europe/Berlin"), after))
    before, behind = page.split("Here the clock")
    assert "2026-03-28 12:30:00 CET" in before
    assert "2026-03-29 12:30:00 CEST" in behind


def test_fires_are_told_in_the_viewers_zone_too() -> None:
    pipeline = Pipeline(schedule="0 8 * * *", timezone="Asia/Shanghai")
    with timezone.override("America/New_York"):
        page = _text(previews.fires(pipeline, datetime(2026, 7, 1, tzinfo=UTC)))
    assert "2026-07-02 08:00:00 CST for you: Wed 07-01 20:00:00 EDT" in page
    with timezone.override("Asia/Shanghai"):
        assert "for you" not in previews.fires(pipeline, datetime(2026, 7, 1, tzinfo=UTC))


def test_a_crowd_at_the_same_second_is_warned_of() -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    for number in range(3):
        Pipeline.objects.create(name=f"other-{number}", schedule="0 3 * * *", enabled=True)
    Pipeline.objects.create(name="disabled", schedule="0 3 * * *")
    Pipeline.objects.create(name="broken", schedule="nonsense", enabled=True)
    own = Pipeline.objects.create(name="own", schedule="0 3 * * *", enabled=True)
    page = _text(previews.fires(own, noon))
    told = re.search(r"At 03:00:00, 3 other pipelines fire too \((.*)\)", page)
    assert told
    assert set(told[1].split(", ")) == {"other-0", "other-1", "other-2"}
    own.schedule = "1 3 * * *"
    assert "other pipelines" not in previews.fires(own, noon)
    Pipeline.objects.filter(name="other-0").update(paused=True)
    own.schedule = "0 3 * * *"
    assert "other pipelines" not in previews.fires(own, noon)


def test_where_it_will_run(refusing) -> None:
    near = makers.node("near", labels={"site": "berlin", "disk": "ssd"}, online=True)
    makers.node("far", labels={"site": "berlin"})
    makers.node("elsewhere", labels={"site": "paris"})
    url = reverse("admin:pipelines_pipeline_places")

    def page(**given: str) -> str:
        return _text(refusing.get(url, given).content.decode())

    assert page() == "Nowhere yet: choose nodes by name, or name labels."
    assert page(node_labels="site=berlin") == "Each fire on all of these 2 nodes. far offline near"
    assert page(node_labels="site=berlin\ndisk=ssd") == "Each fire on one node. near"
    assert "None of them is online" in page(node_labels="site=paris")
    assert "it will run nowhere" in page(node_labels="site=rome")
    named = {"bindings-0-node": str(near.pk), "placement": "one_sticky", "node_labels": "site=paris"}
    assert page(**named).startswith("Each fire on one of these 2 nodes. elsewhere offline near")
    assert "near" not in page(**named, **{"bindings-0-DELETE": "on"})
    for bad in ({"node_labels": "no separator"}, {"bindings-0-node": "\0"}, {"node_labels": "{"}, {"placement": "x"}):
        assert refusing.get(url, bad).status_code == 200
