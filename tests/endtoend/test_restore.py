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
from typing import NamedTuple

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


class Defined(NamedTuple):
    """What there is before the loss. ``edited`` is the task of ``kept``, which the node ``stays`` fires; ``mine`` is
    fired by the console's own worker."""

    stays: str
    edited: int
    kept: str
    gone: str
    mine: str


def define(it: Installation, account: Path, own: Path) -> Defined:
    [stays] = [node["id"] for node in it.nodes() if node["name"] == "stays"]
    edited = it.task("shell", f'echo "first $ECTS_RUN_ID" >> {account}')
    it.post("secrets/", {"name": "FRUIT", "value": "apple"})
    steps = [{"task": edited, "environment": {"F": "{{ secrets.FRUIT }}"}}]
    kept = it.pipeline("* * * * * *", steps, nodes=[stays], overlap="allow")
    gone = it.pipeline("@manual", [{"task": it.task("shell", "true")}], nodes=[stays])
    mine = it.pipeline(
        "* * * * * *", [{"task": it.task("shell", f'echo "own $ECTS_RUN_ID" >> {own}')}], overlap="allow"
    )
    return Defined(stays, edited, kept, gone, mine)


def go_on(it: Installation, there: Defined, account: Path, own: Path) -> None:
    """What the backup does not have: an edit, a deletion, a new pipeline, and more runs of the old ones."""
    it.api.patch(
        f"tasks/{there.edited}/", json={"content": f'echo "second $ECTS_RUN_ID" >> {account}'}
    ).raise_for_status()
    it.api.delete(f"pipelines/{there.gone}/").raise_for_status()
    later = it.task("shell", f'echo "later $ECTS_RUN_ID" >> {account}')
    it.pipeline("* * * * * *", [{"task": later}], name="made-later", nodes=[there.stays], overlap="allow")
    wait_for("the edits hold", lambda: {line.split()[0] for line in lines(account)} == {"first", "second", "later"})
    count = len(lines(own))
    wait_for("more is delivered", lambda: len(it.ended(there.kept)) >= 8 and len(lines(own)) >= count + 6)


def test_a_lost_installation_is_restored(it: Installation, tmp_path: Path) -> None:
    worker = it.add_worker("stays")
    account, own = tmp_path / "account", tmp_path / "own"
    there = define(it, account, own)
    wait_for("both fire", lambda: len(lines(account)) >= 3 and len(lines(own)) >= 3)

    made = manage(it, "backup", str(tmp_path / "backup.tar"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
    go_on(it, there, account, own)

    lose_everything(it)
    seen = len(lines(account))
    wait_for("the worker goes on", lambda: len(lines(account)) >= seen + 2)
    refused = manage(it, "restore", str(tmp_path / "none.tar"))
    assert refused.returncode == 1
    restored = manage(it, "restore", str(tmp_path / "backup.tar"))
    assert restored.returncode == 0, restored.stderr
    it.start()
    assert worker.poll() is None

    wait_for("the older state is back", lambda: lines(account)[-1].startswith("first"))
    assert it.get(f"pipelines/{there.gone}/")["id"] == there.gone
    signed = it.run_now(there.gone)
    assert signed["state"] == "succeeded", "signed by the key of the backup, which every worker trusts"
    compare(it, there, account, own)
    for words in (": a change of", "pipeline made-later", f"{GONE} of its records were lost"):
        wait_for(f"doctor tells: {words}", lambda words=words: words in manage(it, "doctor").stdout)


def compare(it: Installation, there: Defined, account: Path, own: Path) -> None:
    """The ledger shows what ran, once; of the console's own worker no more is missing than it no longer had."""
    it.disable(there.kept)
    wait_for("all that the worker had is told", lambda: set(executed(account)) <= succeeded(it, there.stays))
    rows = Counter(run["id"] for run in it.listed("runs/", node=there.stays))
    assert set(rows.values()) == {1}
    assert set(Counter(executed(account)).values()) == {1}, "nothing ran twice"
    assert succeeded(it, there.stays) - set(executed(account)) <= {run["id"] for run in it.runs(there.gone)}
    it.disable(there.mine)
    wait_for(
        "no more is missing than what the console's own worker no longer had",
        lambda: len(set(executed(own)) - {run["id"] for run in it.runs(there.mine, limit=500)}) <= GONE,
    )


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
