"""Old history goes by age, count and bytes of output; what runs stays, and the statistics stay."""

import uuid
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from logs import orphans, retention, rollups
from logs.models import Output, Retention, Rollup, Run, StepRun, Stream
from logs.retention import Share, prune
from pipelines.models import Pipeline

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)
NODE, PIPELINE, OTHER = (uuid.UUID(int=number) for number in (1, 2, 3))


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows make many batches."""
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr(orphans, "STRETCH", 3)


def make(number: int, days: float = 0, *, output: int = 0, pipeline: uuid.UUID = PIPELINE, **more: Any) -> Run:
    """A run that ended so many days ago, with a step that wrote so many bytes, in pieces of at most 10."""
    end = NOW - timedelta(days=days)
    values: dict[str, Any] = {
        "uuid": uuid.UUID(int=1000 + number),
        "pipeline": pipeline,
        "pipeline_name": f"p{pipeline.int}",
        "node": NODE,
        "node_name": "n",
        "state": "succeeded",
        "scheduled_at": end - timedelta(seconds=1),
        "started_at": end - timedelta(seconds=1),
        "finished_at": end,
    }
    run = Run.objects.create(**values | more)
    rollups.move([], [rollups.counted(run)])
    StepRun.objects.create(
        run=run, index=0, position=1, task=1, task_name="t", kind="shell", state="succeeded", output_bytes=output
    )
    for piece, offset in enumerate(range(0, output, 10)):
        data = b"x" * min(10, output - offset)
        Output.objects.create(run=run.uuid, index=0, number=piece, offset=offset, data=data)
    return run


def left() -> set[int]:
    """Numbers of the runs that are there; nothing of the others may be there."""
    there = {run.uuid.int for run in Run.objects.all()}
    assert {step.run_id.int for step in StepRun.objects.all()} <= there
    assert {piece.run.int for piece in Output.objects.all()} <= there
    return {number - 1000 for number in there}


def with_output() -> set[int]:
    return {piece.run.int - 1000 for piece in Output.objects.all()}


def both(expected: list[Share]) -> None:
    """A dry run says the same and changes nothing."""
    before = (left(), with_output())
    assert prune(NOW, dry_run=True) == expected
    assert (left(), with_output()) == before
    assert prune(NOW) == expected
    assert prune(NOW) == []


def test_by_age_for_all() -> None:
    for number in range(10):
        make(number, 89.9 + number * 0.05, output=25)
    make(20, 200, state="missed", started_at=None, finished_at=None)
    make(21, 200, pipeline=OTHER)
    make(22, 200, state="running", finished_at=None)
    statistics = list(Rollup.objects.values())
    both([Share(PIPELINE, "p2", runs=8), Share(OTHER, "p3", runs=1)])
    assert left() == {0, 1, 2, 22}
    assert list(Rollup.objects.values()) == statistics


def test_a_pipeline_has_an_age_of_its_own(settings: Any) -> None:
    settings.ECTS_KEEP_DAYS = 50
    for number, days in enumerate((100, 60, 40, 20, 5)):
        make(number, days)
        make(10 + number, days, pipeline=OTHER)
    Retention.objects.create(pipeline=PIPELINE, days=30)
    both([Share(PIPELINE, "p2", runs=3), Share(OTHER, "p3", runs=2)])
    assert left() == {3, 4, 12, 13, 14}


def test_an_age_of_0_is_no_limit() -> None:
    make(1, 5000)
    make(2, 5000, pipeline=OTHER)
    Retention.objects.create(pipeline=OTHER, days=0)
    both([Share(PIPELINE, "p2", runs=1)])
    assert left() == {2}


def test_by_count_the_newest_stay_and_what_runs() -> None:
    Retention.objects.create(pipeline=PIPELINE, runs=4)
    make(0, state="running", finished_at=None, output=5)
    for number in range(1, 12):
        make(number, output=5)
    make(20, state="lost", provisional=True, pipeline=OTHER)
    both([Share(PIPELINE, "p2", runs=7)])
    assert left() == {0, 8, 9, 10, 11, 20}


def test_runs_that_stay_do_not_hide_those_that_go() -> None:
    Retention.objects.create(pipeline=PIPELINE, runs=1)
    for number in range(7):
        make(number, state="running", finished_at=None)
    for number in range(7, 10):
        make(number)
    both([Share(PIPELINE, "p2", runs=2)])
    assert left() == {*range(7), 9}


def test_what_the_worker_may_still_say_is_not_counted_twice() -> None:
    """A provisional end stays until its age: the worker's word has to find it."""
    Retention.objects.create(pipeline=PIPELINE, runs=1)
    make(1, state="lost", provisional=True)
    make(2)
    make(3)
    both([Share(PIPELINE, "p2", runs=1)])
    assert left() == {1, 3}


def test_by_count_for_all_but_those_with_their_own(settings: Any) -> None:
    settings.ECTS_KEEP_RUNS = 2
    for number in range(5):
        make(number)
        make(10 + number, pipeline=OTHER)
    make(20, 200, pipeline=OTHER)
    Retention.objects.create(pipeline=OTHER, runs=4)
    both([Share(PIPELINE, "p2", runs=3), Share(OTHER, "p3", runs=3)])
    assert left() == {3, 4, 12, 13, 14}


def test_by_bytes_older_output_goes_and_its_runs_stay() -> None:
    Retention.objects.create(pipeline=PIPELINE, output_bytes=70)
    make(0, output=9, state="running", finished_at=None)
    for number in range(1, 8):
        make(number, output=30 if number % 2 else 0)
    make(10, output=500, pipeline=OTHER)
    both([Share(PIPELINE, "p2", relieved=2, output_bytes=60)])
    assert left() == {*range(8), 10}
    assert with_output() == {0, 5, 7, 10}
    step = StepRun.objects.get(run__uuid=uuid.UUID(int=1001))
    assert (step.output_bytes, step.output_dropped) == (30, 30)


def test_bytes_count_only_what_the_other_limits_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 100)
    Retention.objects.create(pipeline=PIPELINE, runs=3, output_bytes=20)
    for number in range(6):
        make(number, output=10)
    both([Share(PIPELINE, "p2", runs=3, relieved=1, output_bytes=10)])
    assert (left(), with_output()) == ({3, 4, 5}, {4, 5})
    Retention.objects.update(runs=None, days=1)
    make(7, 3, output=10)
    both([Share(PIPELINE, "p2", runs=1)])
    assert (left(), with_output()) == ({3, 4, 5}, {4, 5})


def test_what_has_no_run_goes_when_none_came_in_a_day() -> None:
    make(1, output=5)
    for number in range(2, 9):
        make(number, output=5)
    Run.objects.exclude(uuid=uuid.UUID(int=1001)).delete()
    now = timezone.now()
    assert orphans.prune(now) == 0
    later = now + timedelta(days=1, minutes=1)
    assert orphans.prune(later, dry_run=True) == 14
    assert orphans.prune(later) == 14
    assert (left(), with_output()) == ({1}, {1})


def test_statistics_by_the_hour_go_in_the_end() -> None:
    make(1, 401)
    make(2, 5)
    prune(NOW, dry_run=True)
    of_each = 2  # One of the pipeline, one of all pipelines.
    assert Rollup.objects.filter(span="hour").count() == 2 * of_each
    prune(NOW)
    assert Rollup.objects.filter(span="day").count() == 2 * of_each
    assert Rollup.objects.filter(span="hour").count() == of_each


def test_streams_go_that_have_been_silent_and_have_a_successor() -> None:
    for node, kind, days in (
        (1, "state", 31), (1, "state", 30.5), (1, "output", 40), (2, "state", 90), (3, "state", 31), (3, "state", 1),
    ):  # fmt: skip
        Stream.objects.create(
            node=uuid.UUID(int=node), stream=uuid.uuid4(), kind=kind, updated_at=NOW - timedelta(days=days)
        )
    prune(NOW, dry_run=True)
    assert Stream.objects.count() == 6
    prune(NOW)
    rows = Stream.objects.order_by("node", "kind").values_list("node", "kind", "updated_at")
    assert [(node.int, kind, (NOW - at).days) for node, kind, at in rows] == [
        (1, "output", 40), (1, "state", 30), (2, "state", 90), (3, "state", 1),
    ]  # fmt: skip


def test_a_transaction_holds_no_more_than_a_batch() -> None:
    for number in range(20):
        make(number, 200, output=95)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        prune(NOW)
    deletes = [query["sql"] for query in queries if query["sql"].startswith("DELETE")]
    assert any("logs_output" in sql for sql in deletes)
    assert all(sql.partition(" IN (")[2].count(",") < 3 for sql in deletes if " IN (" in sql)
    assert left() == set()


def test_the_command_says_what_would_go() -> None:
    now = timezone.now()
    make(1, (NOW - now) / timedelta(days=1) + 200)
    make(2, (NOW - now) / timedelta(days=1), output=2048)
    make(3, (NOW - now) / timedelta(days=1), output=10)
    Retention.objects.create(pipeline=PIPELINE, output_bytes=100)
    said = [StringIO(), StringIO(), StringIO()]
    call_command("prunelogs", "--dry-run", stdout=said[0])
    assert left() == {1, 2, 3}
    call_command("prunelogs", stdout=said[1])
    call_command("prunelogs", stdout=said[2])
    line = f"p2 ({PIPELINE}): 1 runs; the output of 1 more (2.0\xa0KB)\n1 runs "
    assert said[0].getvalue() == line + "would be deleted\n"
    assert said[1].getvalue() == line + "were deleted\n"
    assert said[2].getvalue() == "0 runs were deleted\n"
    assert left() == {2, 3}


def test_it_is_set_over_the_api(client: Client) -> None:
    client.force_login(User.objects.create_superuser("admin"))
    pipeline = Pipeline.objects.create(name="nightly", schedule="@daily")

    def post(**body: Any) -> Any:
        return client.post("/api/v1/retention/", body, content_type="application/json")

    made = post(pipeline=str(pipeline.pk), days=7, output_bytes=0)
    assert made.status_code == 201, made.content
    row = made.json()
    assert (row["pipeline_name"], row["days"], row["runs"], row["output_bytes"]) == (pipeline.name, 7, None, 0)
    assert post(pipeline=str(pipeline.pk), days=8).status_code == 400
    assert "no such pipeline" in str(post(pipeline=str(uuid.uuid4())).json())
    for wrong in ({"days": -1}, {"days": 10**9}, {"runs": 2**31}, {"output_bytes": 2**63}, {"days": "x"}):
        assert client.patch(f"/api/v1/retention/{row['id']}/", wrong, "application/json").status_code == 400, wrong
    moved = client.patch(f"/api/v1/retention/{row['id']}/", {"pipeline": str(uuid.uuid4())}, "application/json")
    assert moved.status_code == 400
    assert client.patch(f"/api/v1/retention/{row['id']}/", {"runs": 5}, "application/json").json()["runs"] == 5
    assert client.get(f"/api/v1/retention/?pipeline={pipeline.pk}").json()["count"] == 1
    assert client.delete(f"/api/v1/retention/{row['id']}/").status_code == 204
    client.logout()
    assert post(pipeline=str(pipeline.pk)).status_code in (401, 403)


def test_it_is_set_in_the_admin(client: Client) -> None:
    client.force_login(User.objects.create_superuser("admin"))
    pipeline = Pipeline.objects.create(name="nightly", schedule="@daily")
    page = client.get("/admin/logs/retention/add/")
    assert pipeline.name in page.content.decode()
    form = {"pipeline": str(pipeline.pk), "days": "3", "runs": "", "output_bytes": "0"}
    assert client.post("/admin/logs/retention/add/", form).status_code == 302
    row = Retention.objects.get()
    assert (row.pipeline, row.pipeline_name, row.days, row.runs, row.output_bytes) == (
        pipeline.pk, pipeline.name, 3, None, 0,
    )  # fmt: skip
    assert "has limits of its own already" in client.post("/admin/logs/retention/add/", form).content.decode()
    assert client.post(f"/admin/logs/retention/{row.pk}/change/", {"days": "", "runs": "9"}).status_code == 302
    row.refresh_from_db()
    assert (row.days, row.runs, row.pipeline_name) == (None, 9, pipeline.name)
    assert pipeline.name in client.get("/admin/logs/retention/").content.decode()
