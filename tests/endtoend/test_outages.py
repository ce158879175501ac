"""The console is away while a worker goes on: nothing is lost, nothing is doubled, and the order is kept."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.endtoend import databases
from tests.endtoend.client import instant, wait_for
from tests.endtoend.installation import Installation, descendants


def _counted(ects: Installation, account: Path) -> str:
    job = ects.task("shell", f'echo "$ECTS_SCHEDULED_AT" | tee -a {account}')
    pipeline = ects.pipeline("* * * * * *", [{"task": job, "position": 0}], overlap="allow")
    wait_for("it runs", lambda: account.exists())
    return pipeline


def _lines(account: Path) -> list[str]:
    return account.read_text().split()


def _whole(ects: Installation, pipeline: str, account: Path) -> None:
    """Every execution has its row with its output, once, newest first."""
    ects.disable(pipeline)

    def told() -> list[dict[str, Any]] | None:
        """Of one moment in which nothing is on its way: the last runs may be begun after the pipeline is disabled."""
        rows = [row for row in ects.runs(pipeline) if row["started_at"]]
        found = [step["output"].strip() for row in rows for step in row["steps"]]
        is_over = all(row["state"] == "succeeded" for row in rows)
        return rows if is_over and sorted(found) == sorted(_lines(account)) else None

    rows = wait_for("each execution is told, once, with its output", told)
    assert rows
    moments = [instant(row["scheduled_at"]) for row in rows]
    assert moments == sorted(moments, reverse=True)


def test_the_web_process_hangs(ects: Installation, tmp_path: Path) -> None:
    account = tmp_path / "account"
    pipeline = _counted(ects, account)
    web = ects.child("gunicorn")
    stopped = [web, *descendants(web)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_for("it goes on firing", lambda: len(_lines(account)) >= 8)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    _whole(ects, pipeline, account)


def test_the_database_is_locked(ects: Installation, tmp_path: Path) -> None:
    account = tmp_path / "account"
    pipeline = _counted(ects, account)
    with databases.locked(ects.environment, ects.directory):
        before = len(_lines(account))
        wait_for("it goes on firing", lambda: len(_lines(account)) >= before + 8)
    _whole(ects, pipeline, account)
