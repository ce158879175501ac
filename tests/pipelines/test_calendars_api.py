"""Calendars over the API."""

from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from pipelines.models import Calendar, CalendarEntry, Pipeline
from tests.pipelines import makers
from tests.pipelines.test_api import Api, new_pipeline


@pytest.fixture
def api(console) -> Api:
    return Api(get_user_model().objects.create_superuser("admin"))


@pytest.fixture
def refusing(db) -> Api:
    return Api(get_user_model().objects.create_superuser("admin"))


FREEZE = {
    "name": "Freeze", "description": "d", "timezone": "Europe/Paris", "policy": "end",
    "dates": [{"date": "12-25", "name": "Christmas"}],
    "ranges": [{"start": "2026-12-24T18:00", "end": "2027-01-02", "name": ""}],
    "weekly": [{"days": ["mon", "fri"], "start": "09:00", "end": "17:30", "name": "office hours"}],
}  # fmt: skip


def test_a_calendar_is_made_changed_and_deleted(refusing):
    made = refusing("POST", "calendars/", FREEZE, 201)
    assert made == {**FREEZE, **{name: made[name] for name in ("id", "created_at", "updated_at")}, "pipelines": []}
    where = f"calendars/{made['id']}/"
    assert refusing("GET", where) == made
    changed = refusing("PATCH", where, {"dates": [{"date": "2027-05-01"}], "weekly": []})
    assert changed["dates"] == [{"date": "2027-05-01", "name": ""}]
    assert changed["weekly"] == []
    assert changed["ranges"] == FREEZE["ranges"]
    replaced = refusing("PUT", where, {"name": "Night", "weekly": [{"days": ["sun", "mon", "sun"]}]})
    assert replaced["weekly"] == [{"days": ["mon", "sun"], "start": "00:00", "end": "24:00", "name": ""}]
    refusing("DELETE", where, status=204)
    refusing("GET", where, status=404)
    assert not CalendarEntry.objects.exists()


def test_pages_and_filters(refusing):
    for name, policy in (("b", "skip"), ("a", "skip"), ("c", "end")):
        refusing("POST", "calendars/", {"name": name, "policy": policy}, 201)
    page = refusing("GET", "calendars/?page_size=2")
    assert page["count"] == 3
    assert [one["name"] for one in refusing("GET", "calendars/")["results"]] == ["a", "b", "c"]
    assert [one["name"] for one in refusing("GET", "calendars/?policy=end")["results"]] == ["c"]
    assert [one["name"] for one in refusing("GET", "calendars/?name=a")["results"]] == ["a"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "taken"}, ["name"]),
        ({"name": "a\0"}, ["name"]),
        ({"timezone": "Mars/Olympus"}, ["timezone"]),
        ({"timezone": "../../etc/passwd"}, ["timezone"]),
        ({"policy": "ask"}, ["policy"]),
        ({"dates": "12-25"}, ["dates"]),
        ({"dates": ["12-25"]}, ["dates"]),
        ({"dates": [{"date": "12-25"}, {"date": "02-30"}]}, ["dates", "1", "date"]),
        ({"dates": [{"name": "x"}]}, ["dates", "0", "date"]),
        ({"ranges": [{"start": "2026-01-02", "end": "2026-01-01"}]}, ["ranges", "0", "end"]),
        ({"ranges": [{"start": "01-02", "end": "2026-01-01"}]}, ["ranges", "0", "start"]),
        ({"weekly": [{"days": []}]}, ["weekly", "0", "days"]),
        ({"weekly": [{"days": ["monday"]}]}, ["weekly", "0", "days"]),
        ({"weekly": [{"days": ["mon"], "start": "9"}]}, ["weekly", "0", "start"]),
        ({"weekly": [{"days": ["mon"], "end": "25:00"}]}, ["weekly", "0", "end"]),
        ({"dates": [{"date": "12-25"}] * 201}, ["non_field_errors"]),
    ],
)
def test_a_bad_calendar_names_what_to_mend(refusing, body, where):
    refusing("POST", "calendars/", {"name": "taken"}, 201)
    errors = refusing("POST", "calendars/", {"name": "n", **body}, 400)
    for name in where:
        assert list(errors) == [name]
        errors = errors[name]
    assert errors
    assert Calendar.objects.count() == 1


def test_entries_are_judged_in_the_zone_that_they_will_have(refusing):
    gap = {"ranges": [{"start": "2026-03-29T02:10", "end": "2026-03-29T02:20"}]}  # skipped by the clocks of Paris
    made = refusing("POST", "calendars/", {"name": "n", **gap}, 201)
    for body in ({"timezone": "Europe/Paris"}, {"timezone": "Europe/Paris", **gap}):
        assert list(refusing("PATCH", f"calendars/{made['id']}/", body, 400)) == ["ranges"]


def test_a_pipeline_observes_calendars(api, console):
    node = makers.node()
    freeze = api("POST", "calendars/", FREEZE, 201)["id"]
    pipeline = new_pipeline(api, [node], calendars=[freeze], schedule="0 12 * * *")
    assert pipeline["calendars"] == [freeze]
    assert api("GET", f"calendars/{freeze}/")["pipelines"] == [pipeline["id"]]
    assert [one["id"] for one in api("GET", f"pipelines/?calendars={freeze}")["results"]] == [pipeline["id"]]
    key = UUID(pipeline["id"])
    sent = console.document(node, key)
    assert [blackout["name"] for blackout in sent.blackouts] == ["Freeze"]
    assert api("PUT", f"calendars/{freeze}/", FREEZE)["pipelines"] == [pipeline["id"]]
    assert console.document(node, key).not_before == sent.not_before, "nothing has changed"
    api("PATCH", f"calendars/{freeze}/", {"weekly": []})
    changed = console.document(node, key)
    assert changed.blackouts[0]["weekly"] == []
    assert changed.not_before > sent.not_before
    assert "Still in use" in api("DELETE", f"calendars/{freeze}/", status=409)["detail"]
    assert api("PATCH", f"pipelines/{pipeline['id']}/", {"name": "other"})["calendars"] == [freeze]
    assert api("PATCH", f"pipelines/{pipeline['id']}/", {"calendars": []})["calendars"] == []
    assert console.document(node, key).blackouts == ()
    api("DELETE", f"calendars/{freeze}/", status=204)


def test_next_fires_and_the_preview_go_by_the_calendars(refusing):
    body = {"name": "2030", "dates": [{"date": "2030-01-02"}], "ranges": [{"start": "2020-01-01", "end": "2029-12-31"}]}
    made = refusing("POST", "calendars/", body, 201)["id"]
    pipeline = new_pipeline(refusing, [], calendars=[made], schedule="0 0 * * *")
    assert pipeline["next_fires"][:2] == ["2030-01-01T00:00:00Z", "2030-01-03T00:00:00Z"]
    query = f"schedules/preview/?schedule=0+0+*+*+*&after=2029-01-01T00:00:00Z&count=2&calendars={made}"
    assert refusing("GET", query)["fires"] == ["2030-01-01T00:00:00Z", "2030-01-03T00:00:00Z"]
    second = refusing("POST", "calendars/", {"name": "x", "dates": [{"date": "01-01"}]}, 201)["id"]
    assert refusing("GET", f"{query}&calendars={second}")["fires"][0] == "2030-01-03T00:00:00Z"


@pytest.mark.parametrize("bad", ["x", "0", "999", "1" * 30, ""])
def test_a_calendar_that_is_not_there(refusing, bad):
    query = f"schedules/preview/?schedule=0+0+*+*+*&calendars={bad}"
    assert list(refusing("GET", query, status=400)) == ["calendars"]
    body = {"name": "n", "calendars": [bad]}
    assert list(refusing("POST", "pipelines/", body, 400)) == ["calendars"]
    assert not Pipeline.objects.exists()


@pytest.mark.parametrize("bad", ["x", "0", "999", "1" * 30])
def test_a_filter_by_a_calendar_that_is_not_there(refusing, bad):
    assert list(refusing("GET", f"pipelines/?calendars={bad}", status=400)) == ["calendars"]


def test_a_pipeline_that_its_calendars_silence_is_refused(refusing):
    body = {"name": "never", "ranges": [{"start": "2020-01-01", "end": "9999-12-31"}]}
    never = refusing("POST", "calendars/", body, 201)["id"]
    pipeline = new_pipeline(refusing, [])
    for wish in ({"calendars": [never]}, {"calendars": [never], "enabled": True}):
        assert list(refusing("PATCH", f"pipelines/{pipeline['id']}/", wish, 400)) == ["calendars"]
    disabled = refusing("PATCH", f"pipelines/{pipeline['id']}/", {"calendars": [never], "enabled": False})
    assert disabled["next_fires"] == []
    assert list(refusing("PATCH", f"pipelines/{pipeline['id']}/", {"enabled": True}, 400)) == ["calendars"]


def test_permissions(db):
    assert APIClient().get("/api/v1/calendars/").status_code in (401, 403)
    nobody = Api(get_user_model().objects.create_user("nobody"))
    made = Calendar.objects.create(name="c")
    nobody("POST", "calendars/", {"name": "x"}, 403)
    nobody("PATCH", f"calendars/{made.pk}/", {"name": "x"}, 403)
    nobody("DELETE", f"calendars/{made.pk}/", status=403)
    assert Calendar.objects.get() == made


def test_it_is_described(refusing):
    schema = refusing("GET", "schema/?format=json")
    assert {"/api/v1/calendars/", "/api/v1/calendars/{id}/"} <= set(schema["paths"])
    parts = schema["components"]["schemas"]
    assert {"dates", "ranges", "weekly", "pipelines"} <= set(parts["Calendar"]["properties"])
    assert parts["Pipeline"]["properties"]["calendars"]["type"] == "array"
    named = [parameter["name"] for parameter in schema["paths"]["/api/v1/schedules/preview/"]["get"]["parameters"]]
    assert "calendars" in named


def test_it_can_be_browsed(refusing):
    made = refusing("POST", "calendars/", FREEZE, 201)["id"]
    for path in ("calendars/", f"calendars/{made}/"):
        page = refusing.client.get(f"/api/v1/{path}", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert b"<html" in page.content
