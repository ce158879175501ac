"""The web is reloaded and restarted under load: requests on their way come to their end, and every run is told once."""

import os
import signal
import socket
from collections import Counter
from pathlib import Path
from typing import Any

from coordination import records
from coordination.records import IngestBatch, NodeReport
from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation, descendants
from workers.engine import identity

PIPELINES = 8
"""Runs a second."""


def _half_sent(ects: Installation) -> tuple[socket.socket, bytes]:
    """A delivery of which the web has the beginning; and the rest of it."""
    known = identity.load(ects.directory / "worker", identity.machine_id())
    assert known is not None
    batch = IngestBatch(stream="", kind="state", first=0, report=NodeReport(version="half" + "-" * 2000))
    body = records.encode(batch)
    head = (
        f"POST /api/v1/ingest/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Node {known.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", ects.port), timeout=20)
    connection.sendall(head.encode() + body[:1000])
    return connection, body[1000:]


def _processes(ects: Installation) -> set[int]:
    return set(descendants(ects.child("gunicorn")))


def _reload(ects: Installation) -> None:
    before = _processes(ects)
    os.kill(ects.child("gunicorn"), signal.SIGHUP)
    wait_for("two new processes answer", lambda: len(_processes(ects) - before) >= 2)


def test_a_request_on_its_way_is_answered_by_the_process_that_leaves(ects: Installation) -> None:
    before = _processes(ects)
    connection, rest = _half_sent(ects)
    with connection:
        _reload(ects)
        assert before & _processes(ects), "the process that has the request waits for its end"
        connection.sendall(rest)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    wait_for("the former processes are gone", lambda: not before & _processes(ects))


def test_under_load_every_run_is_told_once(ects: Installation, tmp_path: Path) -> None:
    account = tmp_path / "account"
    job = ects.task("shell", f'echo "$ECTS_RUN_ID" >> {account}; echo "$ECTS_RUN_ID"')
    pipelines = [ects.pipeline("* * * * * *", [{"task": job}], overlap="allow") for _ in range(PIPELINES)]
    wait_for("they run", lambda: account.exists() and len(account.read_text().split()) > PIPELINES)
    for _ in range(2):
        _reload(ects)
    web = ects.child("gunicorn")
    os.kill(web, signal.SIGTERM)
    wait_for("another web process answers", lambda: _is_another(ects, web), 60)
    for pipeline in pipelines:
        ects.disable(pipeline)
    executed, rows = wait_for("each run is told, with its output", lambda: _agreed(ects, pipelines, account))
    assert set(Counter(executed).values()) == {1}
    assert len(rows) == len(executed)


def _is_another(ects: Installation, web: int) -> bool:
    try:
        return ects.child("gunicorn") != web and ects.is_ready()
    except AssertionError:
        return False


def _agreed(ects: Installation, pipelines: list[str], account: Path) -> tuple[list[str], list[dict[str, Any]]] | None:
    """What ran and what is told, of one moment in which nothing is on its way: the last runs may be begun after their
    pipelines are disabled, and a backlog of output comes after the states."""
    rows = [run for pipeline in pipelines for run in ects.runs(pipeline, limit=500) if run["started_at"]]
    executed = account.read_text().split()
    told = {run["id"]: "".join(step["output"] for step in run["steps"]).strip() for run in rows}
    is_over = all(run["state"] == "succeeded" for run in rows)
    return (executed, rows) if is_over and told == {run: run for run in executed} else None
