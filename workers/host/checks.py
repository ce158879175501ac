"""What the doctor looks at on a worker's host: its own state and disk, the console, and etcd. Without a database."""

import os
import resource
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx

from coordination import records
from coordination.crypto import Refused, verify
from coordination.errors import CoordinationError
from coordination.etcd import SyncEtcd
from coordination.finding import Check, Finding, fail, ok, warn
from coordination.keys import Keys
from coordination.records import IngestBatch
from workers.engine import identity
from workers.engine.courier import trust
from workers.engine.identity import Identity, IdentityError, StateLock
from workers.engine.standing import SKEW_LIMIT

LITTLE_DISK = 256 << 20
"""Bytes free, below which output may soon not be kept."""

FEW_FILES = 4096
"""Open files allowed, below which many runs at once may fail to start."""

MUCH_BACKLOG = 10_000
"""Records that are not delivered."""

TIMEOUT = 5.0
"""Seconds for the console's and etcd's answers."""

JOIN = "Join: manage.py runworker --server URL with an enrolment token from the console (Nodes, Add a node)."


def checks(state_dir: Path, machine: str) -> dict[str, Check]:
    """By subject, in the order in which they make sense; what needs an identity is left out without one."""
    try:
        known = identity.load(state_dir, machine) if state_dir.is_dir() else None
    except IdentityError as error:
        sentence = str(error)
        return {"identity": lambda: iter([fail("identity", sentence, "Give another --state-dir, or join again.")])}
    if known is None:
        words = f"{state_dir} holds none: this host has not joined"
        return {"identity": lambda: iter([fail("identity", words, JOIN)])}
    return {
        "identity": lambda: _identity(state_dir, known),
        "journal": lambda: _journal(state_dir),
        "host": lambda: _host(state_dir),
        "console": lambda: _console(known),
        "etcd": lambda: _etcd(known),
    }


def _identity(state_dir: Path, known: Identity) -> Iterator[Finding]:
    yield ok("identity", f"{known.name} ({known.node}), of {known.server_url}")
    for path, allowed in ((state_dir, 0o700), (state_dir / identity.FILE, 0o600)):
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            yield fail("identity", f"others can read {path} (mode {mode:o})", f"chmod {allowed:o} {path}")
    try:
        with StateLock(state_dir):
            yield warn("worker", "does not run here now", "Start it: manage.py runworker, or its systemd unit.")
    except IdentityError:
        yield ok("worker", "runs")


def _journal(state_dir: Path) -> Iterator[Finding]:
    path = state_dir / "journal.db"
    if not path.exists():
        yield warn("journal", "there is none yet", "It is made by the first start.")
        return
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=TIMEOUT)) as journal:
        [(said,)] = journal.execute("PRAGMA quick_check(1)")
        query = "SELECT COALESCE(SUM(last - acknowledged), 0) FROM streams"
        waiting = int(journal.execute(query).fetchone()[0]) if said == "ok" else 0
    if said != "ok":
        yield fail("journal", f"is damaged: {said}", "Restart the worker: it keeps the file and begins a new one.")
    elif waiting > MUCH_BACKLOG:
        advice = "Is the console reachable, and its database quick enough? Nothing is lost meanwhile."
        yield warn("journal", f"{waiting} records are not delivered", advice)
    else:
        yield ok("journal", f"is whole; {waiting} records are not delivered")
    for damaged in sorted(state_dir.glob("journal.db.damaged-*")):
        if not damaged.name.endswith(("-wal", "-shm")):
            advice = "What could be read was carried over. Keep it if you want to look into it, else delete it."
            yield warn("journal", f"{damaged.name}: an earlier one was damaged", advice)


def _host(state_dir: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(state_dir).free
    words = f"{free / (1 << 30):.1f} GB free in {state_dir}"
    yield ok("host", words) if free >= LITTLE_DISK else warn("host", words, "Free some space: output is dropped first.")
    if not os.access(state_dir, os.W_OK):
        yield fail("host", f"{state_dir} cannot be written", "Run this and the worker as its owner.")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files < FEW_FILES and files != resource.RLIM_INFINITY:
        yield warn("host", f"only {files} open files are allowed", "LimitNOFILE=65536 in its unit, or ulimit -n 65536.")


def _console(known: Identity) -> Iterator[Finding]:
    """With the node's own token: a batch without records changes nothing there."""
    body = records.encode(IngestBatch(stream="", kind="state", first=0))
    headers = {"Authorization": f"Node {known.token}", "Content-Type": "application/json"}
    url = f"{known.server_url}/api/v1/ingest/"
    try:
        with httpx.Client(verify=trust(os.environ), timeout=TIMEOUT) as client:
            began = time.monotonic()
            reply = client.post(url, content=body, headers=headers)
            took = time.monotonic() - began
    except (httpx.HTTPError, OSError) as error:
        advice = "Does it run, and can this host reach it (name, port, certificate, proxy)? Results are kept meanwhile."
        yield fail("console", f"{known.server_url} does not answer: {error}", advice)
        return
    if reply.status_code in (401, 403):
        advice = "Make a token for this node in the console (its page), then manage.py runworker --rejoin."
        yield fail("console", "does not accept this node's token: it was revoked, or the node deleted", advice)
    elif reply.status_code != 200:
        yield fail("console", f"answers {reply.status_code}", "See the console's log, and manage.py doctor there.")
    else:
        yield ok("console", f"{known.server_url} takes this node's results, in {took * 1000:.0f} ms")
        yield _skew(records.decode_reply(reply.content).server_time, took)


def _skew(there: datetime, took: float) -> Finding:
    skew = (datetime.now(UTC) - there).total_seconds() - took / 2
    words = f"is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the console's"
    if abs(skew) <= SKEW_LIMIT:
        return ok("clock", words)
    return fail("clock", f"{words}: fires come at the wrong time, and nothing shared is claimed", "Run NTP here.")


def _etcd(known: Identity) -> Iterator[Finding]:
    keys = Keys(known.prefix)
    try:
        with closing(SyncEtcd(known.etcd)) as gateway:
            epoch = gateway.get(keys.epoch(), timeout=TIMEOUT)
            config = gateway.get(keys.config(), timeout=TIMEOUT)
            held = gateway.snapshot(keys.pipelines(known.node), timeout=TIMEOUT).items
    except CoordinationError as error:
        advice = "Can this host reach them, with this user, password and certificates? It fires what it knows."
        yield fail("etcd", f"{', '.join(known.etcd.endpoints)}: {error}", advice)
        return
    yield ok("etcd", f"{', '.join(known.etcd.endpoints)} answer; {len(held)} documents are there for this node")
    if epoch is None:
        advice = "Start manage.py runmaster: an empty etcd is filled again by itself. Never restore one from a backup."
        yield fail("etcd", f"there is nothing under {known.prefix}/: it was emptied, or is another one", advice)
    elif config is not None:
        try:
            verify("config", config.value, known.verify_keys)
        except Refused as error:
            advice = "Another installation writes to this etcd, or the console's keys were replaced: join again."
            yield fail("etcd", f"what the console wrote there is not signed by whom this node trusts: {error}", advice)
