"""Bench of an idle worker: its memory, its guard's, and the seconds from its exec until it is ready.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}. The worker is started as the product
starts it (``manage.py runworker`` with an identity), against a private etcd that holds one pipeline for it, and a
console that takes everything in, over HTTP and over HTTPS. Medians of several workers, one after the other; the ratio
is the figure that was aimed at divided by ours, or a bare Python interpreter's divided by ours. "rss" is what ps
shows, the mapped pages of libraries included; "pss" shares out the pages that several processes have in common, and
so depends on who else is running (this bench is, in the same Python); "anonymous" is what the worker alone needs and
the kernel cannot drop (proc(5), smaps_rollup).
"""

import argparse
import gzip
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordination import crypto, documents, records
from coordination.documents import PipelineDocument, StepDocument, TaskDocument
from coordination.keys import Keys
from tests.certificates import Authority
from tests.etcd_server import EtcdServer, running, wait_until
from tests.site.processes import ROOT, environment
from workers.engine import identity

NODE = "22222222-2222-2222-2222-222222222222"
PIPELINE = "11111111-1111-1111-1111-111111111111"

AIM_MB = 40
AIM_SECONDS = 1.0

SETTLED = 15.0
"""Seconds after which a worker is idle: it has delivered, reported again and renewed its leases."""

HURRIED = 2.0
"""The same for --quick: delivered, at least."""

TIMEOUT = 60.0


class Measured(NamedTuple):
    """One worker. Memory in kilobytes (1024 bytes); times in seconds."""

    rss: int
    pss: int
    anonymous: int
    guard_rss: int
    guard_pss: int
    from_exec: float
    from_command: float


class Console(BaseHTTPRequestHandler):
    """Takes every record in."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        batch = records.decode_batch(gzip.decompress(self.rfile.read(int(self.headers["Content-Length"]))))
        last = batch.first + len(batch.records) - 1
        answer = records.encode(records.IngestReply(sequence=last, server_time=datetime.now(UTC)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@contextmanager
def console(certificate: Authority | None) -> Iterator[str]:
    """The URL of a console."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Console)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{'https' if certificate else 'http'}://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def enrol(directory: Path, url: str, store: EtcdServer) -> None:
    """A node's identity in ``directory``, and its pipeline in etcd."""
    signer, (private, _) = crypto.Signer(os.urandom(32)), crypto.new_node_key()
    known = identity.Identity(
        node=NODE,
        name="idle",
        server_url=url,
        token="token",
        private_key=private,
        verify_keys={signer.key_id: signer.verify_key},
        store=identity.Etcd(endpoints=(store.endpoint,), prefix="/ects"),
        machine_id=identity.machine_id(),
    )
    identity.save(directory, known)
    pipeline = PipelineDocument(
        pipeline=PIPELINE,
        node=NODE,
        generation=1,
        not_before=datetime.now(UTC),
        name="once a year",
        # Six months away.
        schedule=f"0 4 1 {(datetime.now(UTC) + timedelta(days=180)).month} *",
        timezone="Europe/Berlin",
        steps=(StepDocument(task=TaskDocument(id=1, name="say", kind="shell", content="echo hello"), position=1),),
    )
    envelope = signer.sign("pipeline", documents.encode(pipeline))
    # Not by our own client: the pages of its libraries would then be shared with the worker, and its pss look small.
    key = Keys("/ects").pipeline(NODE, PIPELINE)
    store.api("kv/put", {"key": b64encode(key.encode()).decode(), "value": b64encode(envelope).decode()})


def measure(state_dir: Path, settle: float, trust: Path | None) -> Measured:
    """Starts a worker, waits until it is idle, looks at it, stops it."""
    env = environment(state_dir.parent)
    if trust is not None:
        env["SSL_CERT_FILE"] = str(trust)
    command = [sys.executable, "manage.py", "runworker", "--state-dir", str(state_dir)]
    began = time.monotonic()
    worker = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = Log(worker)
    try:
        executed = wait_for_exec(worker.pid)
        ready = log.wait_for(" is ready")
        time.sleep(settle)
        assert worker.poll() is None, log.text
        memory, guard = rollup(worker.pid), rollup(guard_of(worker.pid))
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(TIMEOUT)
    assert " WARNING " not in log.text, log.text
    return Measured(
        memory["Rss"], memory["Pss"], memory["Anonymous"], guard["Rss"], guard["Pss"], ready - executed, ready - began
    )


class Log:
    """What a worker writes, and when (monotonic seconds)."""

    def __init__(self, worker: subprocess.Popen[bytes]) -> None:
        self._lines: list[tuple[float, str]] = []
        self._worker = worker
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def text(self) -> str:
        return "".join(line for _, line in self._lines)

    def wait_for(self, words: str) -> float:
        """When a line with these words came."""
        return wait_until(lambda: [at for at, line in self._lines if words in line], words, TIMEOUT)[0]

    def _read(self) -> None:
        assert self._worker.stderr is not None
        for line in self._worker.stderr:
            self._lines.append((time.monotonic(), line.decode()))


def wait_for_exec(pid: int) -> float:
    """When the command has become the engine, to 2 ms."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        if b"workers.engine" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return time.monotonic()
        time.sleep(0.002)
    raise AssertionError("runworker did not become the engine")


def guard_of(pid: int) -> int:
    """The worker's only child."""
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def rollup(pid: int) -> dict[str, int]:
    """Sums over a process's mappings, kilobytes."""
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) for row in rows}


def interpreter() -> dict[str, int]:
    """What ``rollup`` says of a Python that has imported asyncio and nothing else."""
    program = "import asyncio, sys; sys.stdout.write('x'); sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        memory = rollup(process.pid)
        process.communicate()
    return memory


def say(figure: str, value: float, unit: str, against: str, other: float) -> None:
    """One line."""
    shown = round(value, 3 if unit == "s" else 1)
    line = {"figure": figure, "value": shown, "unit": unit, "against": against, "ratio": round(other / value, 3)}
    print(json.dumps(line), flush=True)


def report(how: str, taken: list[Measured]) -> None:
    """The figures of one kind of console."""
    middle = Measured(*(median(column) for column in zip(*taken, strict=True)))
    bare = interpreter()
    say(f"idle worker, rss, {how}", middle.rss / 1024, "MB", f"{AIM_MB} MB", AIM_MB)
    for figure, ours, field in (
        ("idle worker, rss", middle.rss, "Rss"),
        ("idle worker, pss", middle.pss, "Pss"),
        ("idle worker, anonymous", middle.anonymous, "Anonymous"),
        ("guard, rss", middle.guard_rss, "Rss"),
        ("guard, pss", middle.guard_pss, "Pss"),
    ):
        say(f"{figure}, {how}", ours / 1024, "MB", "a bare Python with asyncio", bare[field] / 1024)
    say(f"exec until ready, {how}", middle.from_exec, "s", f"{AIM_SECONDS:g} s", AIM_SECONDS)
    say(f"runworker until ready, {how}", middle.from_command, "s", f"{AIM_SECONDS:g} s", AIM_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one worker of each kind, measured soon after its start")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        authority = Authority(directory, "authority").create()
        certificate = authority.issue("server", "serverAuth")
        for how, shown in (("http", None), ("https", certificate)):
            taken = []
            for turn in range(1 if quick else 5):
                state_dir = directory / f"{how}{turn}" / "worker"
                with running(directory / f"etcd-{how}{turn}") as store, console(shown) as url:
                    enrol(state_dir, url, store)
                    trust = authority.certificate if shown else None
                    taken.append(measure(state_dir, HURRIED if quick else SETTLED, trust))
            report(how, taken)


if __name__ == "__main__":
    main()
