"""The life of a node: drained, renamed, given another token, moved, retired. No run is lost, none doubled."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation, descendants
from tests.endtoend.test_delivery import _without_hole


class Host:
    """A worker with a pipeline that fires every second and writes down each run."""

    def __init__(self, ects: Installation, name: str, account: Path) -> None:
        self.ects = ects
        self.account = account
        account.touch()
        self.state = ects.directory / f"worker-{name}"
        self.worker = ects.add_worker(name)
        self.node = next(node["id"] for node in ects.nodes() if node["name"] == name)
        job = ects.task("shell", f'echo "$ECTS_RUN_ID" >> {account}; echo "on {{{{ node }}}}"')
        self.pipeline = ects.pipeline("* * * * * *", [{"task": job}], nodes=[self.node], overlap="allow")

    def act(self, act: str) -> Any:
        return self.ects.post(f"nodes/{self.node}/{act}/", {}, 200)

    def row(self) -> dict[str, Any]:
        return dict(self.ects.get(f"nodes/{self.node}/"))

    def ran(self) -> int:
        return len(self.account.read_text().split())

    def goes_on(self, runs: int = 3) -> None:
        seen = self.ran()
        wait_for("it fires", lambda: self.ran() >= seen + runs)

    def stop(self) -> None:
        self.worker.send_signal(signal.SIGTERM)
        assert self.worker.wait(120) == 0
        self.ects.workers.remove(self.worker)

    def start(self, *options: str, **environment: str) -> None:
        self.worker = self.ects.manage("runworker", "--state-dir", str(self.state), *options, **environment)
        self.ects.workers.append(self.worker)

    def rows(self) -> list[dict[str, Any]]:
        return self.ects.runs(self.pipeline, limit=500)

    def compare(self) -> None:
        """The ledger shows exactly what ran, once, and no second without an entry."""
        self.ects.disable(self.pipeline)
        executed, rows = wait_for("the ledger shows what ran, and no more", self._agreed)
        assert set(executed.values()) == {1}, "none ran twice"
        _without_hole(rows)

    def _agreed(self) -> tuple[Counter[str], list[dict[str, Any]]] | None:
        """What ran and what is told, of one moment in which nothing is on its way: the last runs may be begun, and told
        of, after the pipeline is disabled."""
        rows = self.rows()
        executed = Counter(self.account.read_text().split())
        begun = {row["id"] for row in rows if row["started_at"]}
        ended = {row["id"] for row in rows if row["state"] == "succeeded"}
        return (executed, rows) if begun == ended == set(executed) else None


@contextmanager
def _console_away(ects: Installation) -> Iterator[None]:
    """The web processes stand still; the database and etcd do not."""
    console = [web := ects.child("gunicorn"), *descendants(web)]
    wait_for("they stand still, none of them amid a change of the database", lambda: _stopped(ects, console))
    try:
        yield
    finally:
        _signal(console, signal.SIGCONT)


def _stopped(ects: Installation, console: Sequence[int]) -> bool:
    """Who is stopped amid a change keeps the lock of a SQLite file, which no fault of the network does."""
    _signal(console, signal.SIGSTOP)
    changes = sqlite3.connect(ects.directory / "ects.sqlite3", timeout=0.5, isolation_level=None)
    with closing(changes), suppress(sqlite3.OperationalError):
        changes.execute("BEGIN IMMEDIATE")
        changes.execute("ROLLBACK")
        return True
    _signal(console, signal.SIGCONT)
    return False


def _signal(processes: Sequence[int], number: signal.Signals) -> None:
    for pid in processes:
        os.kill(pid, number)


def _manage(ects: Installation, *words: str) -> subprocess.Popen[bytes]:
    done = ects.manage(*words)
    assert done.wait(240) == 0, ects.log.read_text()[-2000:]
    return done


def test_a_node_drains_over_a_restart_and_learns_its_new_name(ects: Installation, tmp_path: Path) -> None:
    host, release = Host(ects, "drained", tmp_path / "account"), tmp_path / "release"
    slow = ects.pipeline(
        "@manual", [{"task": ects.task("shell", f"until [ -e {release} ]; do sleep 0.1; done")}], nodes=[host.node]
    )
    [going] = ects.post(f"pipelines/{slow}/run/", {"environment": {}}, 202)["runs"]
    host.goes_on()
    host.act("drain")
    wait_for("it drains", lambda: host.row()["draining"])
    wait_for("only the slow one is going", lambda: (row := host.row())["draining"] and row["running"] == 1)
    seen = host.ran()
    assert ects.get(f"runs/{going}/")["state"] == "running"
    assert "draining" in ects.post(f"pipelines/{slow}/run/", {"environment": {}}, 409)["detail"]
    release.touch()
    _manage(ects, "node", "drain", "drained", "--wait", "30")
    assert ects.get(f"runs/{going}/")["state"] == "succeeded"

    host.stop()
    assert ects.api.patch(f"nodes/{host.node}/", json={"name": "renamed"}).status_code == 200
    host.start()
    wait_for("it is back", lambda: host.row()["status"] == "online")
    wait_for("it knows its name", lambda: json.loads((host.state / "identity.json").read_text())["name"] == "renamed")
    assert host.row()["draining"]
    assert host.ran() <= seen + 1, "nothing begins, not after the restart either"
    host.act("undrain")
    host.goes_on()
    host.compare()
    assert {row["reason"] for row in host.rows() if row["state"] == "skipped"} == {"the node is draining"}
    newest = next(row for row in host.rows() if row["state"] == "succeeded")
    assert ects.api.get(f"runs/{newest['id']}/output/").text == "on renamed\n"


def test_another_token_refuses_nothing_of_a_backlog(ects: Installation, tmp_path: Path) -> None:
    host = Host(ects, "rotated", tmp_path / "account")
    host.goes_on()
    before = json.loads((host.state / "identity.json").read_text())["token"]
    refusals = ects.log.read_text().count("does not accept this node's token")
    with _console_away(ects):
        _manage(ects, "node", "rotate", "rotated")
        host.goes_on(5)
    wait_for("it has the new one", lambda: not host.row()["is_rotating"])
    assert json.loads((host.state / "identity.json").read_text())["token"] != before
    host.goes_on()
    host.compare()
    assert ects.log.read_text().count("does not accept this node's token") == refusals


def test_a_node_moves_with_its_backlog_and_is_retired(ects: Installation, tmp_path: Path) -> None:
    host = Host(ects, "moved", tmp_path / "account")
    host.goes_on()
    with _console_away(ects):
        host.goes_on()
        host.stop()
    _as_on_another_machine(host)
    refused = ects.manage("runworker", "--state-dir", str(host.state))
    assert refused.wait(120) == 2
    wait_for("it is offline", lambda: host.row()["status"] == "offline")
    token = ects.post("enrolment-tokens/", {"node": host.node, "uses": 1, "expires_in": 600})["token"]
    host.start("--rejoin", "--server", ects.url, ECTS_ENROLMENT_TOKEN=token)
    wait_for("it is back", lambda: host.row()["status"] == "online")
    host.goes_on()
    host.compare()

    ects.api.patch(f"pipelines/{host.pipeline}/", json={"enabled": True})
    host.goes_on()
    assert host.act("retire")["retired_at"]
    wait_for("its worker says why", lambda: "does not accept this node's token" in ects.log.read_text())
    wait_for("it fires nothing more", lambda: _stands_still(host))
    assert ects.get(f"pipelines/{host.pipeline}/")["nodes"] == []
    assert host.rows(), "its history stays"


def _as_on_another_machine(host: Host) -> None:
    """Its state directory, copied to where the machine id is another."""
    copied = host.state.with_name("worker-moved-here")
    shutil.copytree(host.state, copied)
    shutil.rmtree(host.state)
    known = json.loads((copied / "identity.json").read_text())
    if not known["machine_id"]:
        pytest.fail("this machine has no /etc/machine-id")
    (copied / "identity.json").write_text(json.dumps(known | {"machine_id": "0" * 32}))
    host.state = copied


def _stands_still(host: Host) -> bool:
    """For two seconds of a pipeline that fires each second."""
    seen, stood = host.ran(), 0
    for _ in range(25):
        os.sched_yield()
        subprocess.run(["sleep", "0.1"], check=True)
        stood = stood + 1 if host.ran() == seen else 0
        seen = host.ran()
    return stood >= 20
