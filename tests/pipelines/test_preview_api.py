"""The preview of schedules over the API, and what the API says to bodies that are none."""

from datetime import UTC, datetime

import pytest

from tests.pipelines import makers
from tests.pipelines.test_api import refusing

__all__ = ["refusing"]


def test_schedule_preview(refusing):
    query = "schedule=30+2+*+*+*&timezone=Asia/Shanghai&after=2026-01-01T00:00:00Z&count=2"
    assert refusing("GET", f"schedules/preview/?{query}") == {
        "fires": ["2026-01-01T18:30:00Z", "2026-01-02T18:30:00Z"], "words": "At 02:30",
    }  # fmt: skip
    assert len(refusing("GET", "schedules/preview/?schedule=*+*+*+*+*")["fires"]) == 5
    assert refusing("GET", "schedules/preview/?schedule=@manual")["fires"] == []
    first, second = (refusing("GET", f"schedules/preview/?schedule=H+H+*+*+*&key={key}")["fires"] for key in ("a", "b"))
    assert first != second


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "schedule"),
        ("schedule=", "schedule"),
        ("schedule=x", "schedule"),
        ("schedule=%00", "schedule"),
        ("schedule=*+*+*+*+*&timezone=x", "timezone"),
        ("schedule=*+*+*+*+*&timezone=%00", "timezone"),
        ("schedule=*+*+*+*+*&dst_gap=x", "dst_gap"),
        ("schedule=*+*+*+*+*&dst_repeat=x", "dst_repeat"),
        ("schedule=*+*+*+*+*&after=x", "after"),
        ("schedule=*+*+*+*+*&count=0", "count"),
        ("schedule=*+*+*+*+*&count=99999999999999999999", "count"),
        ("schedule=*+*+*+*+*&count=x", "count"),
        ("schedule=0+0+0+1+1+?+2020", "schedule"),
    ],
)
def test_a_bad_preview_names_its_field(refusing, query, field):
    assert list(refusing("GET", f"schedules/preview/?{query}", status=400)) == [field]


@pytest.mark.parametrize("after", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-01-01T00:00:00-23:00"])
def test_previews_at_the_ends_of_time(refusing, after):
    fires = refusing("GET", f"schedules/preview/?schedule=*+*+*+*+*&after={after}&count=1")["fires"]
    assert all(datetime.fromisoformat(fire) > datetime(1969, 12, 31, tzinfo=UTC) for fire in fires)


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=nonsense",
    ],
)
def test_bodies_of_other_kinds_are_no_500(refusing, kind):
    for body in (b"", b"steps=1&headers=2", b"\xff\xfe", b"[" * 100_000):
        for path in ("tasks/", "pipelines/", "secrets/"):
            reply = refusing.client.generic("POST", f"/api/v1/{path}", data=body, content_type=kind)
            assert reply.status_code in (400, 415), (path, body[:20], reply.content)


def test_a_body_nested_too_deep_is_a_400(refusing):
    refusing("POST", "tasks/", "[" * 100_000, 400)
    refusing("POST", "tasks/", '{"a":' * 100_000, 400)


def test_it_can_be_browsed(refusing):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    secret = makers.secret("A", "b")
    for path in ("tasks/", "pipelines/", f"pipelines/{pipeline.pk}/", f"secrets/{secret.pk}/", "control/",
                 "schedules/preview/?schedule=@daily"):  # fmt: skip
        page = refusing.client.get(f"/api/v1/{path}", headers={"accept": "text/html"})
        assert page.status_code == 200, path
        assert b"<html" in page.content
