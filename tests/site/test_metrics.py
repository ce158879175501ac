"""``/metrics``: who may read it, and that its figures are those of the database."""

import json
import socket
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from coordination.records import RunRecord
from logs import history
from pipelines.models import Control, Publication
from tests.logs.makers import Worker, run
from tests.site.processes import ROOT, environment
from workers.models import Node

pytestmark = pytest.mark.django_db(transaction=True)  # they are read beside the request


def read(client, **headers) -> dict[tuple[str, ...], float]:
    """Each sample by its name and its labels' values in the order of their names."""
    reply = client.get("/metrics", headers=headers)
    assert reply.status_code == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.content.decode())
        for sample in family.samples
    }


def test_what_the_console_knows(client) -> None:
    now = timezone.now()
    node = Node.objects.create(
        name='quoted "one"', online=True, running=3, capacity=9, backlog=7, clock_skew=-1.5, incidents=["disk full"],
        last_seen=now - timedelta(seconds=30), etcd_connected=False,
    )  # fmt: skip
    Node.objects.create(name="new")
    Publication.objects.create(
        pipeline=uuid.uuid4(), node=node.pk, wanted=2, wanted_at=now - timedelta(seconds=90), pending=True
    )
    Publication.objects.create(pipeline=uuid.uuid4(), node=node.pk, wanted=1, published=1, pending=False)
    for state, count, age in (("missed", 5, 1), ("skipped", 1, 1), ("lost", 100, 30)):
        record = RunRecord(
            run=str(uuid.uuid4()), pipeline=str(uuid.uuid4()), pipeline_name="p", state=state, trigger="schedule",
            scheduled_at=now - timedelta(hours=age), count=count,
        )  # fmt: skip
        history.provide(record, node.pk, node.name, now)
    found = read(client)
    assert found["ects_node_online", "worker", 'quoted "one"'] == 1
    assert found["ects_node_online", "worker", "new"] == 0
    assert found["ects_node_running", "worker", 'quoted "one"'] == 3
    assert found["ects_node_capacity", "worker", 'quoted "one"'] == 9
    assert found["ects_node_backlog_records", "worker", 'quoted "one"'] == 7
    assert found["ects_node_clock_skew_seconds", "worker", 'quoted "one"'] == -1.5
    assert ("ects_node_clock_skew_seconds", "worker", "new") not in found
    assert found["ects_node_incidents", "worker", 'quoted "one"'] == 1
    assert found["ects_node_etcd_connected", "worker", 'quoted "one"'] == 0
    assert 29 < found["ects_node_last_seen_seconds", "worker", 'quoted "one"'] < 60
    assert found["ects_outbox_pending",] == 1
    assert 89 < found["ects_outbox_oldest_seconds",] < 120
    assert found["ects_fires_24h", "missed"] == 5
    assert found["ects_fires_24h", "skipped"] == 1
    assert found["ects_fires_24h", "lost"] == 0
    assert found["ects_paused",] == 0
    Control.objects.update_or_create(pk=1, defaults={"paused": True})
    assert read(client)["ects_paused",] == 1


def test_names_begin_with_ects(client) -> None:
    assert {name for name, *_ in read(client) if not name.startswith("ects_")} == set()


def test_an_empty_installation(client) -> None:
    found = read(client)
    assert found["ects_outbox_pending",] == found["ects_outbox_oldest_seconds",] == found["ects_runs_running",] == 0


def test_ingest_is_counted(client) -> None:
    def grown(before: dict[tuple[str, ...], float], name: str, *labels: str) -> float:
        return read(client)[name, *labels] - before[name, *labels]

    worker, before = Worker("one"), read(client)
    now = timezone.now()
    ended = run(1, "succeeded", started_at=now, finished_at=now - timedelta(seconds=3))
    worker.send(1, ended, run(2))
    worker.send(1, ended, run(2))
    assert grown(before, "ects_ingest_batches_total", "taken") == 2
    assert grown(before, "ects_ingest_records_total") == 2, "a repetition brings nothing new"
    assert grown(before, "ects_ingest_lag_seconds_count") == 1
    assert 3 <= grown(before, "ects_ingest_lag_seconds_sum") < 30
    assert grown(before, "ects_ingest_seconds_count") == 2
    other = Worker("two")
    assert other.send(1, run(1)).get("refused") == 1
    assert grown(before, "ects_ingest_batches_total", "refused") == 1
    assert worker.post(b"nonsense").status_code == 400
    assert grown(before, "ects_http_requests_total", "ingest", "2xx") == 3
    assert grown(before, "ects_http_requests_total", "ingest", "4xx") == 1


def test_others_need_the_token(client, settings) -> None:
    far = {"REMOTE_ADDR": "192.0.2.1"}
    assert client.get("/metrics", **far).status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer "}, **far).status_code == 403
    settings.ECTS_METRICS_TOKEN = "s3cret"
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}, **far).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer \xe9"}, **far).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer s3cret"}, **far).status_code == 200


def test_staff_may_look(client) -> None:
    users = get_user_model().objects
    client.force_login(users.create_user("reader", password="x"))
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1").status_code == 403
    client.force_login(users.create_user("operator", password="x", is_staff=True))
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1").status_code == 200


ASK = """
import json, sys, time, django
django.setup()
from django.test import Client
client, form = Client(raise_request_exception=False), {"username": "a", "password": "b"}
if sys.argv[1] == "refuses":
    assert client.post("/admin/login/", form).status_code == 500
    assert client.post("/api/v1/auth/token/", form).status_code == 503
client.get("/healthz")  # what is loaded with the first request takes its time, too
began = time.monotonic()
reply = client.get("/metrics")
print(json.dumps([reply.status_code, reply.content.decode(), time.monotonic() - began]))
"""


@pytest.mark.parametrize(("how", "failed"), [("refuses", 2), ("hangs", 0)])
def test_without_the_database_what_was_counted_is_told(tmp_path: Path, how: str, failed: int) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if how == "hangs":
            server.listen()
        env = environment(
            tmp_path,
            DJANGO_SETTINGS_MODULE="ects_site.settings",
            ECTS_DATABASE_URL=f"mysql://u:p@127.0.0.1:{server.getsockname()[1]}/d",
        )
        asked = subprocess.run(
            [sys.executable, "-c", ASK, how], cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=True
        )
    status, text, seconds = json.loads(asked.stdout)
    assert status == 200
    assert seconds < 7
    assert "\nects_database_reached 0.0\n" in text
    assert f"\nects_database_errors_total {failed}.0\n" in text
    assert "ects_outbox_pending" not in text
