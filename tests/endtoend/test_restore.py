"""The rehearsal: a running installation is backed up and goes on, its database, keys and etcd are lost, and the backup
is restored. Nothing that a worker still had is missing, nothing is there twice, and what is lost is told."""

import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.endtoend import databases
from tests.endtoend.client import wait_for
from tests.endtoend.installation import ROOT, Installation
from tests.site.conftest import mariadb_socket

__all__ = ["mariadb_socket"]

GONE = 4
"""Records that the console's own worker no longer has."""


@pytest.fixture(params=["sqlite", "mariadb"])
def it(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    environment = {"ECTS_RESYNC_SECONDS": "5"}
    if request.param == "mariadb":
        socket = request.getfixturevalue("mariadb_socket")
        environment["ECTS_DATABASE_URL"] = f"mysql://root@/ects?unix_socket={socket}"
    made = Installation(tmp_path / "var", environment)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def manage(it: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(
        command, cwd=ROOT, env=it.environment, capture_output=True, text=True, timeout=240, check=False
    )


def test_a_lost_installation_is_restored(it: Installation, tmp_path: Path) -> None:
    worker = it.add_worker("stays")
    [node] = [node["id"] for node in it.nodes() if node["name"] == "stays"]
    account, own = tmp_path / "account", tmp_path / "own"
    edited = it.task("shell", f'echo "first $ECTS_RUN_ID" >> {account}')
    it.post("secrets/", {"name": "FRUIT", "value": "apple"})
    each = {"nodes": [node], "overlap": "allow"}
    kept = it.pipeline("* * * * * *", [{"task": edited, "environment": {"F": "{{ secrets.FRUIT }}"}}], **each)
    gone = it.pipeline("@manual", [{"task": it.task("shell", "true")}], nodes=[node])
    mine = it.pipeline(
        "* * * * * *", [{"task": it.task("shell", f'echo "own $ECTS_RUN_ID" >> {own}')}], overlap="allow"
    )
    wait_for("both fire", lambda: len(lines(account)) >= 3 and len(lines(own)) >= 3)

    made = manage(it, "backup", str(tmp_path / "backup.tar"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
    it.api.patch(f"tasks/{edited}/", json={"content": f'echo "second $ECTS_RUN_ID" >> {account}'}).raise_for_status()
    it.api.delete(f"pipelines/{gone}/").raise_for_status()
    later = it.task("shell", f'echo "later $ECTS_RUN_ID" >> {account}')
    it.pipeline("* * * * * *", [{"task": later}], name="made-later", **each)
    wait_for("the edits hold", lambda: {line.split()[0] for line in lines(account)} == {"first", "second", "later"})
    count = len(lines(own))
    wait_for("more is delivered", lambda: len(it.ended(kept)) >= 8 and len(lines(own)) >= count + 6, 60)

    lose_everything(it)
    seen = len(lines(account))
    wait_for("the worker goes on", lambda: len(lines(account)) >= seen + 2)
    refused = manage(it, "restore", str(tmp_path / "none.tar"))
    assert refused.returncode == 1
    restored = manage(it, "restore", str(tmp_path / "backup.tar"))
    assert restored.returncode == 0, restored.stderr
    it.start()
    assert worker.poll() is None

    wait_for("the older state is back", lambda: lines(account)[-1].startswith("first"), 60)
    assert it.get(f"pipelines/{gone}/")["id"] == gone
    assert it.run_now(gone)["state"] == "succeeded", "signed by the key of the backup, which every worker trusts"
    it.disable(kept)
    wait_for("all that the worker had is told", lambda: set(executed(account)) <= succeeded(it, node), 60)
    rows = Counter(run["id"] for run in it.listed("runs/", node=node))
    assert set(rows.values()) == {1}
    assert set(Counter(executed(account)).values()) == {1}, "nothing ran twice"
    assert succeeded(it, node) - set(executed(account)) <= {run["id"] for run in it.runs(gone)}
    it.disable(mine)
    wait_for(
        "no more is missing than what the console's own worker no longer had",
        lambda: len(set(executed(own)) - {run["id"] for run in it.runs(mine, limit=500)}) <= GONE,
        60,
    )
    for words in (": a change of", "pipeline made-later", f"{GONE} of its records were lost"):
        wait_for(f"doctor tells: {words}", lambda words=words: words in manage(it, "doctor").stdout, 60)


def lose_everything(it: Installation) -> None:
    """The console's machine is gone, but for its name; the worker on it comes back with a journal that is cut."""
    assert it.process is not None
    it.process.terminate()
    it.process.wait(120)
    if url := it.environment.get("ECTS_DATABASE_URL", ""):
        name = databases.name_of(url)
        databases.execute(url, f"DROP DATABASE {name}")
        databases.execute(url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    for path in it.directory.glob("ects.sqlite3*"):
        path.unlink()
    shutil.rmtree(it.directory / "secrets")
    shutil.rmtree(it.directory / "etcd" / "data")
    with closing(sqlite3.connect(it.directory / "worker" / "journal.db", isolation_level=None)) as journal:
        [(stream, last)] = journal.execute("SELECT id, last FROM streams WHERE kind = 'state' ORDER BY id DESC LIMIT 1")
        cut = journal.execute(
            "DELETE FROM records WHERE stream = ? AND sequence BETWEEN ? AND ?", (stream, last - GONE - 3, last - 4)
        )
        assert cut.rowcount == GONE


def lines(account: Path) -> list[str]:
    return account.read_text().splitlines() if account.exists() else []


def executed(account: Path) -> list[str]:
    return [line.split()[1] for line in lines(account)]


def succeeded(it: Installation, node: str) -> set[str]:
    return {run["id"] for run in it.listed("runs/", node=node, state="succeeded", limit=500)}
