"""kill -9 of each part in turn, while a pipeline fires every second and its job keeps an account of its own."""

import os
import signal
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.endtoend.client import instant, wait_for
from tests.endtoend.installation import Installation

PARTS = {
    "etcd": "--listen-client-urls",
    "web": "gunicorn",
    "master": "runmaster",
    "worker": "workers.engine --state-dir",
}


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_lost_or_doubled(ects: Installation, tmp_path: Path, part: str) -> None:
    account = tmp_path / "account"
    job = ects.task("shell", f'echo "$ECTS_SCHEDULED_AT" >> {account}')
    pipeline = ects.pipeline("* * * * * *", [{"task": job, "position": 0}], overlap="allow")
    wait_for("two runs", lambda: len(_lines(account)) >= 2)

    os.kill(ects.child(PARTS[part]), signal.SIGKILL)
    killed = datetime.now(UTC)
    if part == "worker":
        # A restart may be quicker than the schedule: keep it down over at least one instant.
        wait_for("two seconds without a worker", lambda: _kept_down(ects, killed + timedelta(seconds=2)))
    wait_for("it fires again", lambda: _newest(account) > killed + timedelta(seconds=3))
    wait_for("all is well again", ects.is_ready)
    ects.disable(pipeline)

    end = _newest(account)
    rows = wait_for("the ledger is complete", lambda: _complete(ects, pipeline, end))
    ran = [instant(row["scheduled_at"]) for row in rows if row["started_at"]]
    first = min(ran)
    expected = {first + timedelta(seconds=i) for i in range(int((end - first).total_seconds()) + 1)}
    assert sorted(_lines(account)) == sorted(set(_lines(account))), "a run was doubled"
    told = {instant(row["scheduled_at"]): row for row in rows}
    assert set(told) >= expected, "an expected fire has no entry in the ledger"
    done = {instant(line) for line in _lines(account)}
    for moment in expected:
        # Of one that is lost nobody knows whether it had begun: its beginning is durable before that.
        if told[moment]["state"] != "lost":
            assert (moment in done) == (told[moment]["state"] == "succeeded"), told[moment]
    if part != "worker":
        assert done >= expected, "a run was lost although the worker lived"
    else:
        missed = [row for row in rows if row["state"] == "missed"]
        assert missed
        assert missed[0]["reason"] == "the worker was not running"


def _kept_down(ects: Installation, until: datetime) -> bool:
    for part in (PARTS["worker"], "runworker"):
        with suppress(AssertionError, ProcessLookupError):
            os.kill(ects.child(part), signal.SIGKILL)
    return datetime.now(UTC) > until


def _lines(account: Path) -> list[str]:
    return account.read_text().split() if account.exists() else []


def _newest(account: Path) -> datetime:
    return max(map(instant, _lines(account)))


def _complete(ects: Installation, pipeline: str, end: datetime) -> list[dict]:
    """All rows, once every one up to ``end`` has a final state."""
    rows = ects.runs(pipeline)
    moments = {instant(row["scheduled_at"]) for row in rows}
    return rows if end in moments and all(row["state"] != "running" for row in rows) else []
