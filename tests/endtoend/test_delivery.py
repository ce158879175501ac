"""A long absence of the console and a worker killed in the middle of output: every run and every byte comes, once."""

import os
import signal
import subprocess
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.endtoend.client import instant, wait_for
from tests.endtoend.installation import Installation, descendants

PIPELINES = int(os.environ.get("ECTS_TEST_PIPELINES", "20"))
"""Runs a second."""

SECONDS = int(os.environ.get("ECTS_TEST_ABSENCE", "4"))
"""Of the console's absence, and of each time before and after."""

LINES = 400
SCRIPT = """\
echo "begun $ECTS_RUN_ID $ECTS_SCHEDULED_AT" >> {account}
seq -f "$ECTS_RUN_ID line %g" 1 200; sleep 0.3; seq -f "$ECTS_RUN_ID line %g" 201 400
echo "ended $ECTS_RUN_ID" >> {account}
"""


def test_every_run_and_every_byte_comes_once(ects: Installation, tmp_path: Path) -> None:
    account = tmp_path / "account"
    account.touch()
    worker = ects.add_worker("delivery")
    node = next(node["id"] for node in ects.nodes() if node["name"] == "delivery")
    steps = [{"task": ects.task("shell", SCRIPT.format(account=account))}]
    pipelines = [
        ects.pipeline("* * * * * *", steps, nodes=[node], overlap="allow", misfire="skip") for _ in range(PIPELINES)
    ]
    wait_for("they run", lambda: _begun(account) >= PIPELINES * SECONDS, 60 + SECONDS * 4)
    console = [web := ects.child("gunicorn"), *descendants(web)]
    for pid in console:
        os.kill(pid, signal.SIGSTOP)
    try:
        before = _begun(account)
        wait_for("they go on", lambda: _begun(account) >= before + PIPELINES * SECONDS // 2, 60 + SECONDS * 4)
        worker = _killed_and_started_again(ects, worker)
        before = _begun(account)
        wait_for("they go on again", lambda: _begun(account) >= before + PIPELINES * SECONDS // 2, 60 + SECONDS * 4)
    finally:
        for pid in console:
            os.kill(pid, signal.SIGCONT)
    for pipeline in pipelines:
        ects.disable(pipeline)
    rows, written = wait_for("all is told", lambda: _told(ects, pipelines, account), 60 + SECONDS * 4)
    _compare(ects, pipelines, rows, written)


def _killed_and_started_again(ects: Installation, worker: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    ects.workers.remove(worker)
    again = ects.manage("runworker", "--state-dir", str(ects.directory / "worker-delivery"))
    ects.workers.append(again)
    return again


def _begun(account: Path) -> int:
    return account.read_text().count("begun ")


def _executions(written: str) -> list[str]:
    return [line.split()[1] for line in written.splitlines() if line.startswith("begun ")]


def _told(
    ects: Installation, pipelines: list[str], account: Path
) -> tuple[dict[str, list[dict[str, Any]]], str] | None:
    """The rows of each pipeline and the account, once the ledger shows exactly what ran, with an end. Of one moment:
    the last runs may be begun after their pipelines are disabled. Of one that is lost nobody knows whether it had
    begun: its beginning is durable before that."""
    rows = {pipeline: ects.runs(pipeline, limit=500) for pipeline in pipelines}
    written = account.read_text()
    ran = [row for found in rows.values() for row in found if row["started_at"]]
    executed = set(_executions(written))
    known = {row["id"] for row in ran if row["state"] != "lost" or row["id"] in executed}
    is_over = all(row["state"] != "running" for row in ran)
    return (rows, written) if is_over and known == executed else None


def _compare(ects: Installation, pipelines: list[str], rows: dict[str, list[dict[str, Any]]], written: str) -> None:
    executions = Counter(_executions(written))
    ended = {line.split()[1] for line in written.splitlines() if line.startswith("ended ")}
    assert set(executions.values()) == {1}, "none ran twice"
    for pipeline in pipelines:
        _without_hole(rows[pipeline])
    ran = {row["id"]: row for found in rows.values() for row in found if row["started_at"]}
    assert any(row["state"] == "lost" for row in ran.values()), "the worker was killed while jobs were going"
    for run, row in ran.items():
        whole = "".join(f"{run} line {number}\n" for number in range(1, LINES + 1))
        # What is told of the ends does not wait for a backlog of output.
        if row["state"] != "lost":
            wait_for("its output is told", lambda run=run, whole=whole: len(_output(ects, run)) >= len(whole))
        output = _output(ects, run)
        if row["state"] == "lost":
            assert whole.startswith(output), "the beginning, once"
        else:
            assert row["state"] == "succeeded"
            assert run in ended
            assert output == whole


def _output(ects: Installation, run: str) -> str:
    return ects.api.get(f"runs/{run}/output/").text


def _without_hole(rows: list[dict[str, Any]]) -> None:
    """Every second from the first to the last is accounted for, once."""
    seconds: Counter[datetime] = Counter()
    for row in rows:
        begin, end = instant(row["scheduled_at"]), instant(row["until"] or row["scheduled_at"])
        step = (end - begin) / max(row["count"] - 1, 1)
        seconds.update(begin + step * number for number in range(row["count"]))
    assert set(seconds.values()) == {1}
    assert len(seconds) == (max(seconds) - min(seconds)).total_seconds() + 1
