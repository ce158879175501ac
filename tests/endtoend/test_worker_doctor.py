"""``manage.py doctor --worker`` names what is wrong with a worker's host, on copies of a real worker's state."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from msgspec import structs

from coordination import crypto, records
from tests.endtoend.installation import Installation
from tests.site.processes import manage
from workers.engine import identity

SUBJECTS = {"identity", "worker", "journal", "host", "console", "clock", "etcd"}


def asked(state_dir: Path, status: int) -> dict[str, str]:
    """What is wrong, by subject, each with its advice; an empty text where all is well."""
    done: subprocess.CompletedProcess[str] = manage(
        state_dir.parent, "doctor", "--worker", "--state-dir", str(state_dir), "--json"
    )
    assert done.returncode == status, done.stdout + done.stderr
    found: dict[str, str] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        wrong = "" if line["verdict"] == "ok" else f"{line['words']} -> {line['advice']}\n"
        assert wrong == "" or line["advice"]
        found[line["subject"]] = found.get(line["subject"], "") + wrong
    return found


@pytest.fixture
def state(ects: Installation, tmp_path: Path) -> Path:
    """A copy, of which the worker knows nothing."""
    copy = tmp_path / "worker"
    copy.mkdir(mode=0o700)
    shutil.copy(ects.directory / "worker" / identity.FILE, copy)
    return copy


def change(state: Path, **fields: object) -> None:
    known = identity.load(state, identity.machine_id())
    assert known is not None
    identity.save(state, structs.replace(known, **fields))


@contextmanager
def console(ahead: float) -> Iterator[str]:
    """One that takes everything, and whose clock is so many seconds ahead."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            now = datetime.now(UTC) + timedelta(seconds=ahead)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(records.encode(records.IngestReply(sequence=0, server_time=now)))

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_worker_that_is_well(ects: Installation) -> None:
    found = asked(ects.directory / "worker", 0)
    assert found == dict.fromkeys(SUBJECTS, "")


def test_a_host_that_has_not_joined(tmp_path: Path) -> None:
    assert "has not joined -> Join: manage.py runworker" in asked(tmp_path / "none", 1)["identity"]


def test_a_revoked_token_and_an_etcd_out_of_reach(ects: Installation, state: Path) -> None:
    known = identity.load(state, identity.machine_id())
    assert known is not None
    change(state, token="another", store=structs.replace(known.store, endpoints=("127.0.0.1:1",)))
    (state / "journal.db").write_bytes(os.urandom(8192))
    (state / identity.FILE).chmod(0o644)
    found = asked(state, 1)
    assert "does not accept this node's token" in found["console"]
    assert "--rejoin" in found["console"]
    assert "127.0.0.1:1" in found["etcd"]
    assert "could not be looked at: file is not a database" in found["journal"]
    assert f"chmod 600 {state}" in found["identity"]
    assert "does not run here" in found["worker"]


def test_a_clock_that_is_off_and_keys_that_nobody_trusts(ects: Installation, state: Path) -> None:
    stranger = crypto.Signer(os.urandom(32))
    with console(ahead=10) as url:
        change(state, server_url=url, verify_keys={stranger.key_id: stranger.verify_key})
        found = asked(state, 1)
    assert "s behind the console's" in found["clock"]
    assert "NTP" in found["clock"]
    assert "not signed by whom this node trusts" in found["etcd"]


def test_a_console_out_of_reach_and_an_etcd_that_was_emptied(ects: Installation, state: Path) -> None:
    known = identity.load(state, identity.machine_id())
    assert known is not None
    change(state, server_url="http://127.0.0.1:1", store=structs.replace(known.store, prefix="/nothing"))
    found = asked(state, 1)
    assert "does not answer" in found["console"]
    assert "Never restore one from a backup" in found["etcd"]
