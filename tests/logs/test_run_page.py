"""The page of a run: its steps in time, its output, and what can be taken away."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from coordination.records import StepRecord, Try
from logs import arrival, tail
from logs.models import Output, Run, StepRun
from tests.logs.makers import NOON, PIPELINE, Worker
from tests.logs.makers import run as run_record
from tests.logs.test_run_list import admin
from tests.logs.test_runs_api import make

__all__ = ["admin"]
pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def step(
    run: Run, index: int, begin: float | None, end: float | None, state: str = "succeeded", **more: Any
) -> StepRun:
    values: dict[str, Any] = {
        "position": index,
        "task": 1,
        "task_name": f"task-{index}",
        "kind": "shell",
        "attempts": 1,
    }
    times = {"started_at": None if begin is None else at(begin), "finished_at": None if end is None else at(end)}
    return StepRun.objects.create(run=run, index=index, state=state, **values | times | more)


def write(run: Run, index: int, *pieces: tuple[int, bytes]) -> None:
    for number, (offset, data) in enumerate(pieces):
        Output.objects.create(run=run.uuid, index=index, number=number, offset=offset, data=data)


@contextmanager
def written_before(place: int, run: Run, data: bytes) -> Iterator[None]:
    """Output of the first step comes in before the question to the database that is the ``place``-th of the block."""
    asked = count(1)

    def interrupted(execute: Any, sql: str, *rest: Any) -> Any:
        if next(asked) == place:
            write(run, 0, (0, data))
        return execute(sql, *rest)

    with connection.execute_wrapper(interrupted):
        yield


def opened(admin: Client, run: Run) -> str:
    reply = admin.get(reverse("admin:logs_run_change", args=[run.pk]))
    assert reply.status_code == 200
    return reply.content.decode()


def bars(text: str) -> list[tuple[float, float, str]]:
    found = re.findall(r'<rect x="([\d.]+)%" y="3" width="([\d.]+)%"[^>]*class="ects-fill-(\w+)"', text)
    return [(float(x), float(width), state) for x, width, state in found]


def test_steps_and_their_tries_lie_in_time(admin: Client) -> None:
    run = make(1, state="failed", started_at=AT, finished_at=at(10))
    step(run, 0, 0, 5)
    tries = [
        {"started_at": at(5).isoformat(), "finished_at": at(6).isoformat(), "reason": "exit <3>"},
        {"started_at": at(8).isoformat()},
    ]
    step(run, 1, 5, 10, "timed_out", attempts=2, tries=tries)
    step(run, 2, None, None, "skipped")
    text = opened(admin, run)
    assert bars(text) == [(0, 50, "succeeded"), (50, 10, "failed"), (80, 20, "timed_out")]
    assert "<title>try 1: Failed · 12:00:05 · 1.00 s · exit &lt;3&gt;</title>" in text
    assert "<title>try 2: Timed out · 12:00:08 · 2.00 s</title>" in text
    assert re.findall(r'class="ects-wait" x="([\d.]+)%" y="9" width="([\d.]+)%"', text) == [("60.0", "20.0")]
    assert re.findall(r'style="left: ([\d.]+)%">([^<]+)<', text)[:2] == [("0.00", "0 s"), ("20.00", "2 s")]


@pytest.mark.parametrize(("begin", "end"), [(0, 0), (0, -5), (3600 * 24 * 9, 3600 * 24 * 9)])
def test_no_time_at_all_is_drawn_inside(admin: Client, begin: float, end: float) -> None:
    """A clock that was set back, a run of no time, one of nine days."""
    run = make(1, started_at=AT, finished_at=at(end))
    step(run, 0, begin, end)
    [(x, width, _state)] = bars(opened(admin, run))
    assert 0 <= x <= x + width <= 100
    assert width >= 0.4


def test_a_run_of_which_nothing_has_begun(admin: Client) -> None:
    text = opened(admin, make(1, state="missed", reason="the worker was not running", count=4, until=at(60)))
    assert "No step has begun." in text
    assert "×4 the worker was not running (until 2026-03-01 12:01:00)" in text
    assert bars(text) == []


def test_output_is_escaped_and_keeps_its_lines(admin: Client) -> None:
    run = make(1, started_at=AT, finished_at=at(1))
    step(run, 0, 0, 1)
    write(run, 0, (0, b"\n<script>alert(1)</script>\r100 %\n\xff"))
    assert ">\n\n&lt;script&gt;alert(1)&lt;/script&gt;&#13;100 %\n\ufffd</pre>" in opened(admin, run)


def test_a_download_is_what_was_written(admin: Client) -> None:
    run = make(1, pipeline_name="Orders & <more>")
    step(run, 1, 0, 1)
    write(run, 1, (0, b"\x1b[31m\xff\x00\r\n"), (7, b"<b>"), (20, b"end"))
    reply = admin.get(f"/admin/logs/run/{run.uuid}/output/1/")
    assert reply.getvalue() == b"\x1b[31m\xff\x00\r\n<b>\n[... 10 bytes dropped ...]\nend"
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="orders-more-20260301T120001Z-step-2.log"'
    assert admin.get(f"/admin/logs/run/{run.uuid}/output/7/").status_code == 404


def test_the_parts_hold_no_output(admin: Client) -> None:
    """The follower brings that."""
    run = make(1, state="running", started_at=AT)
    step(run, 0, 0, None, "running")
    write(run, 0, (0, b"secret words"))
    text = admin.get(f"/admin/logs/run/{run.uuid}/parts/").content.decode()
    assert 'data-step="0"' in text
    assert "secret words" not in text


def test_the_parts_say_of_a_step_that_ended_what_will_follow(admin: Client) -> None:
    run = make(1, state="running", started_at=AT)
    step(run, 0, 0, 1)
    step(run, 1, 1, 2, output_bytes=5)
    write(run, 1, (0, b"words"))
    text = admin.get(f"/admin/logs/run/{run.uuid}/parts/").content.decode()
    assert re.findall(r"data-silent>(.*?)</p>", text) == ["It wrote nothing.", "What it wrote has not come in yet."]


def test_who_may_not_see_runs_sees_no_part_of_one(client: Client) -> None:
    client.force_login(User.objects.create_user("eve", is_staff=True))
    run = make(1)
    step(run, 0, 0, 1)
    for name in ("parts/", "output/0/", "poll/"):
        assert client.get(f"/admin/logs/run/{run.uuid}/{name}").status_code == 403, name


def test_tries_come_from_the_worker() -> None:
    worker = Worker("n")
    tries = (Try(started_at=NOON, finished_at=NOON, reason="no"), Try(started_at=NOON))
    record = StepRecord(
        run=run_record(1).run, index=0, position=1, task=3, task_name="t", kind="shell", state="succeeded", tries=tries
    )  # fmt: skip
    worker.send(1, run_record(1), record)
    assert StepRun.objects.get().tries == [
        {"started_at": "2026-03-01T12:00:00Z", "finished_at": "2026-03-01T12:00:00Z", "reason": "no"},
        {"started_at": "2026-03-01T12:00:00Z"},
    ]
    assert str(Run.objects.get().pipeline) == PIPELINE


def test_output_that_comes_before_its_step_is_not_passed_over(admin: Client) -> None:
    """A worker sends a step's record as it stands by then: a short one may have written, and be told of, before."""
    run = make(1, state="running", started_at=AT)
    step(run, 0, 0, 1)
    write(run, 0, (0, b"first\n"))
    write(run, 1, (0, b"early\n"), (6, b"words\n"))
    [cursor] = re.findall(r'data-cursor="(\d+)"', opened(admin, run))
    assert tail.news(run.uuid, int(cursor))["pieces"] == []
    assert [piece[0] for piece in tail.news(run.uuid, 0)["pieces"]] == [0]
    step(run, 1, 1, None, "running")
    told = tail.news(run.uuid, int(cursor))
    assert [piece[:2] for piece in told["pieces"]] == [[1, 0], [1, 6]]
    assert tail.at_end(run.uuid) == told["cursor"]


@pytest.mark.parametrize("place", [1, 2, 3])
def test_output_that_comes_in_between_two_looks_for_the_cursor_is_not_passed_over(place: int) -> None:
    run = make(1, state="running", started_at=AT)
    with written_before(place, run, b"early\n"):
        cursor = tail.at_end(run.uuid)
    assert cursor < Output.objects.get().pk


def test_an_end_that_comes_in_before_the_output(admin: Client) -> None:
    """A worker with much output to deliver sends its endings first; the page goes on following."""
    run = make(1, started_at=AT, finished_at=at(1))
    step(run, 0, 0, 1, output_bytes=12)
    write(run, 0, (0, b"first\n"))
    [cursor] = re.findall(r'data-ended="" data-cursor="(\d+)"', opened(admin, run))
    assert tail.news(run.uuid, int(cursor))["ended"] is False
    step(run, 1, 0, 1, output_bytes=5)
    assert "What it wrote has not come in yet." in opened(admin, run)
    write(run, 1, (0, b"other"))
    Output.objects.create(run=run.uuid, index=0, number=1, offset=6, data=b"last.\n")
    told = tail.news(run.uuid, int(cursor))
    assert len(told["pieces"]) == 2
    assert told["ended"] is True
    assert 'data-ended="1"' in opened(admin, run)


def test_the_last_output_that_comes_in_while_a_follower_is_told_is_not_the_end() -> None:
    """Whenever it does: what was told and what was missed are of one moment."""
    run = make(1, started_at=AT, finished_at=at(1))
    step(run, 0, 0, 1, output_bytes=5)
    for place in range(1, 6):
        with written_before(place, run, b"words"):
            told = tail.news(run.uuid, 0)
        assert told["ended"] == bool(told["pieces"]), f"before question {place}"
        Output.objects.all().delete()


def test_output_that_never_comes_in_is_not_waited_for_for_ever(admin: Client) -> None:
    run = make(1, started_at=AT, finished_at=at(1))
    long_ago = now() - arrival.PATIENCE
    step(run, 0, 0, 1, output_bytes=12, received_at=long_ago)
    step(run, 1, 0, 1, output_bytes=12, output_dropped=12, received_at=long_ago)
    step(run, 2, 0, 1, received_at=long_ago)
    assert tail.news(run.uuid, 0)["ended"] is True
    text = opened(admin, run)
    assert 'data-ended="1"' in text
    assert re.findall(r"data-silent>(.*?)</p>", text) == [
        "What it wrote is not here: it was deleted to keep the history small, or was never delivered.",
        "It wrote nothing.",
    ]
