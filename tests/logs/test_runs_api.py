"""The list and the page of runs over the API."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from logs.models import Output, Run, StepRun

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NODE, PIPELINE = uuid.UUID(int=1), uuid.UUID(int=2)


def make(number: int, **more: Any) -> Run:
    values: dict[str, Any] = {
        "uuid": uuid.UUID(int=1000 + number),
        "pipeline": PIPELINE,
        "pipeline_name": "p",
        "node": NODE,
        "node_name": "n",
        "state": "succeeded",
        "scheduled_at": NOON + timedelta(seconds=number),
    }
    return Run.objects.create(**values | more)


@pytest.fixture
def api(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def listed(api: Client, **parameters: Any) -> list[dict[str, Any]]:
    reply = api.get("/api/v1/runs/", parameters)
    assert reply.status_code == 200, reply.content
    return reply.json()["results"]


def test_newest_first_in_pages_and_never_counted(api: Client) -> None:
    for number in range(7):
        make(number)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = api.get("/api/v1/runs/", {"limit": 3}).json()
    assert not [query for query in queries if "COUNT(" in query["sql"].upper()]
    seen = [row["scheduled_at"] for row in page["results"]]
    while page["next"]:
        page = api.get(page["next"]).json()
        seen += [row["scheduled_at"] for row in page["results"]]
    assert len(seen) == 7
    assert seen == sorted(seen, reverse=True)


def test_filters(api: Client) -> None:
    make(1)
    make(2, state="failed")
    make(3, node=uuid.UUID(int=9))
    make(4, pipeline=uuid.UUID(int=9))
    assert len(listed(api, state="failed")) == 1
    assert len(listed(api, node=NODE)) == 3
    assert len(listed(api, pipeline=PIPELINE)) == 3
    assert len(listed(api, since="2026-03-01T12:00:03Z")) == 2
    for bad in ({"state": "x"}, {"node": "x"}, {"since": "x"}, {"pipeline": "\0"}):
        assert api.get("/api/v1/runs/", bad).status_code == 400
    assert api.get("/api/v1/runs/", {"cursor": "x"}).status_code == 404


def test_output_whole_on_the_page_and_its_end_in_the_list(api: Client) -> None:
    run = make(1)
    StepRun.objects.create(run=run, index=0, position=1, task=1, task_name="t", kind="shell", state="succeeded")
    Output.objects.create(run=run.uuid, index=0, number=0, offset=0, data=b"x" * 5000 + b"\xe4\xb8")
    Output.objects.create(run=run.uuid, index=0, number=1, offset=5002, data=b"\xad!")
    Output.objects.create(run=run.uuid, index=0, number=2, offset=6004, data=b"\xffend")
    whole = api.get(f"/api/v1/runs/{run.uuid}/").json()["steps"][0]["output"]
    assert whole == "x" * 5000 + "中!" + "\n[... 1000 bytes dropped ...]\n" + "�end"
    [row] = listed(api)
    assert len(row["steps"][0]["output"]) < 4200
    assert row["steps"][0]["output"].endswith("�end")
    assert api.get(f"/api/v1/runs/{run.uuid}/output/").content.decode() == whole
    assert api.get(f"/api/v1/runs/{run.uuid}/output/", {"step": "7"}).status_code == 404
    assert api.get(f"/api/v1/runs/{run.uuid}/output/", {"step": "x"}).status_code == 404


def test_what_a_job_writes_is_escaped_in_the_admin(api: Client) -> None:
    run = make(1, reason="<script>alert(1)</script>")
    StepRun.objects.create(run=run, index=0, position=1, task=1, task_name="<b>t</b>", kind="shell", state="failed")
    Output.objects.create(run=run.uuid, index=0, number=0, offset=0, data=b"<script>alert(2)</script>")
    page = api.get(f"/admin/logs/run/{run.pk}/change/").content.decode()
    assert "&lt;script&gt;alert(2)" in page
    assert "<script>alert(" not in page
    assert api.get("/admin/logs/run/").status_code == 200


def test_nobody_reads_without_signing_in(client: Client) -> None:
    assert client.get("/api/v1/runs/").status_code in (401, 403)
