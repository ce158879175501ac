"""Keys are replaced while a worker fires every second, and while another one is away: no fire is lost or refused."""

import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.endtoend.client import instant, wait_for
from tests.endtoend.installation import ROOT, Installation
from workers.engine import identity


def _rotate(ects: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "rotatekeys", *words]
    return subprocess.run(
        command, cwd=ROOT, env=ects.environment, capture_output=True, text=True, timeout=240, check=False
    )


def _state(ects: Installation, name: str) -> Path:
    return ects.directory / f"worker-{name}"


def _trusts(ects: Installation, name: str) -> set[str]:
    known = identity.load(_state(ects, name), identity.machine_id())
    assert known is not None
    return set(known.verify_keys)


def _lines(account: Path) -> list[str]:
    return account.read_text().splitlines() if account.exists() else []


def _is_whole(rows: list[dict[str, Any]]) -> bool:
    """Every second from the first to the last has run, once."""
    if any(row["state"] == "running" for row in rows):
        return False
    seconds: Counter[datetime] = Counter(instant(row["scheduled_at"]) for row in rows)
    assert {row["state"] for row in rows} == {"succeeded"}, [row for row in rows if row["state"] != "succeeded"]
    assert set(seconds.values()) == {1}
    return len(seconds) == (max(seconds) - min(seconds)).total_seconds() + 1


def _replace_signing_key(ects: Installation) -> None:
    """Killed once in the midst of it, and told of whom it has to do without."""
    killed = subprocess.Popen(
        [sys.executable, "-u", "manage.py", "rotatekeys", "signing"],
        cwd=ROOT,
        env=ects.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    assert "made the key" in killed.stdout.readline()
    killed.kill()
    killed.wait()
    killed.stdout.close()
    told = _rotate(ects, "signing")
    assert told.returncode == 1, told.stdout
    assert "away" in told.stderr, told.stderr
    assert "--retire" in told.stderr
    told = _rotate(ects, "signing", "--retire")
    assert told.returncode == 0, told.stderr


def _replace_encryption_key(ects: Installation) -> None:
    told = _rotate(ects, "encryption")
    assert told.returncode == 0, told.stderr
    ects.post("secrets/", {"name": "PEAR", "value": "pear"})
    told = _rotate(ects, "encryption", "--retire")
    assert told.returncode == 0, told.stderr
    assert len((ects.directory / "secrets" / "encryption_key").read_text().split()) == 1


def test_keys_are_replaced_while_workers_fire(ects: Installation, tmp_path: Path) -> None:
    ects.add_worker("stays")
    away = ects.add_worker("away")
    nodes = {node["name"]: node["id"] for node in ects.nodes()}
    ects.post("secrets/", {"name": "FRUIT", "value": "apple"})
    account = tmp_path / "account"
    steps = [
        {"task": ects.task("shell", f'[ "$F" = apple ] && echo "$ECTS_NODE $EDITED $ECTS_SCHEDULED_AT" >> {account}')}
    ]
    steps[0]["environment"] = {"F": "{{ secrets.FRUIT }}"}
    pipeline = ects.pipeline("* * * * * *", steps, nodes=[nodes["stays"], nodes["away"]], overlap="allow")
    wait_for("both fire", lambda: {line.split()[0] for line in _lines(account)} == {nodes["stays"], nodes["away"]})
    away.terminate()
    away.wait(120)
    ects.workers.remove(away)
    wait_for("one is offline", lambda: [n for n in ects.nodes() if n["name"] == "away" and n["status"] == "offline"])

    first = _trusts(ects, "stays")
    _replace_signing_key(ects)
    wait_for("the one that stays trusts the new key alone", lambda: not _trusts(ects, "stays") & first)
    assert ects.run_now(ects.pipeline("@manual", [{"task": ects.task("shell", "true")}]))["state"] == "succeeded"
    _replace_encryption_key(ects)

    assert _trusts(ects, "away") == first
    ects.workers.append(ects.manage("runworker", "--state-dir", str(_state(ects, "away"))))
    wait_for("the one that was away has followed", lambda: _trusts(ects, "away") == _trusts(ects, "stays"), 60)
    steps[0]["environment"]["EDITED"] = "edited"
    reply = ects.api.patch(f"pipelines/{pipeline}/", json={"steps": steps})
    assert reply.status_code == 200, reply.text
    wait_for(
        "it obeys the new key",
        lambda: [line for line in _lines(account) if line.startswith(f"{nodes['away']} edited")],
        60,
    )
    ects.disable(pipeline)
    wait_for("all is told", lambda: len(ects.runs(pipeline, state="succeeded")) == len(_lines(account)), 60)
    wait_for("every second has run, once", lambda: _is_whole(ects.runs(pipeline, node=nodes["stays"])), 60)
    assert set(Counter(_lines(account)).values()) == {1}, "nothing ran twice"
    told = [sentence for node in ects.nodes() for sentence in node["incidents"] if "signing keys" in sentence]
    assert not told, "every node could follow"
